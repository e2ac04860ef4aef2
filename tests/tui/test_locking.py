"""Locking the vault: what the screens hold goes, what only reads ends, what writes is finished."""

from __future__ import annotations

import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Button, Input, TabbedContent

from tests.fixtures.data_step import lines, questions
from tests.fixtures.finished import SECRET, ActedReview, figures, make_finished, session_at
from tests.fixtures.leftovers import leftovers
from tests.fixtures.screens import drive, until, words
from tests.fixtures.vaults import PASSPHRASE, Original
from workbench.adapters import chatting
from workbench.adapters.reviewing import Review
from workbench.errors import DoesNotFit
from workbench.runs.drafts import Draft, keep_draft
from workbench.tui.app import WorkbenchApp
from workbench.tui.modals.passphrase import PassphraseModal
from workbench.tui.screens.audit import AuditScreen
from workbench.tui.screens.door import UnlockScreen
from workbench.tui.screens.home import HomeScreen
from workbench.tui.screens.records import RecordScreen, RecordsScreen
from workbench.tui.screens.wizard import data_check, data_work
from workbench.tui.session import Locked, Session
from workbench.tui.widgets.records import RecordView
from workbench.vault.store import Vault

NAME = SECRET.split()[-1]  # of a patient; it stands in every record
Open = Callable[[Pilot[int], WorkbenchApp], Awaitable[Callable[[], object]]]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Original:
    return make_finished(tmp_path_factory.mktemp("finished") / "home")


def unlock(app: WorkbenchApp, vault: Vault) -> None:
    """Open the door as it does after the passphrase, without deriving the key."""
    app.session._vault = vault
    app.enter()


# What was shown is gone, and comes back where it is kept


async def records(pilot: Pilot[int], app: WorkbenchApp) -> Callable[[], object]:
    app.go("datasets")
    await until(pilot, lambda: "notes" in words(app))
    await pilot.press("o")
    await until(pilot, lambda: isinstance(app.screen, RecordsScreen))
    await pilot.press("r")
    await until(pilot, lambda: NAME in words(app))
    return lambda: "••••" in words(app)


async def one_record(pilot: Pilot[int], app: WorkbenchApp) -> Callable[[], object]:
    await records(pilot, app)
    await pilot.press("enter")
    await until(pilot, lambda: isinstance(app.screen, RecordScreen))
    await pilot.press("r")
    await until(pilot, lambda: NAME in words(app))
    return lambda: "••••" in words(app)


async def checked(pilot: Pilot[int], app: WorkbenchApp) -> Callable[[], object]:
    told = [{"prompt": f"How is {NAME} {n}?", "completion": f"Well {n}."} for n in range(20)]
    path = lines(app.session.home.parent / "letters.jsonl", told)
    return await _data(pilot, app, Draft(files=(str(path),), reading={"stage": "check"}))


async def sealed(pilot: Pilot[int], app: WorkbenchApp) -> Callable[[], object]:
    data = app.session.vault.catalogue.get("dataset", "notes").object_id
    return await _data(pilot, app, Draft(dataset=data))


async def _data(pilot: Pilot[int], app: WorkbenchApp, draft: Draft) -> Callable[[], object]:
    keep_draft(app.session.vault, draft)
    app.go("wizard")
    await until(pilot, lambda: app.screen.query(RecordView))
    app.screen.query_one(TabbedContent).active = "records"
    await until(pilot, lambda: "••••" in words(app))
    await pilot.press("f4")
    await until(pilot, lambda: NAME in words(app))
    return lambda: "1 of 5" in words(app) and "••••" in words(app)


async def review(pilot: Pilot[int], app: WorkbenchApp) -> Callable[[], object]:
    app.go("wizard")
    await until(pilot, lambda: "••••" in words(app))
    await pilot.press("r")
    await until(pilot, lambda: NAME in words(app))
    app.screen.query_one(TabbedContent).active = "confusion"
    await until(pilot, lambda: f"{NAME}-label" in words(app))
    return lambda: "is not kept" in words(app)


async def talk(pilot: Pilot[int], app: WorkbenchApp) -> Callable[[], object]:
    app.go("playground")
    await until(pilot, lambda: "likeliest words" in words(app))
    await pilot.press(*f"Is {NAME} well", "enter")
    await until(pilot, lambda: f"{NAME} IS WELL" in words(app))
    await pilot.press(*f"and {NAME}")
    return lambda: "Nothing of it is kept" in words(app)


async def settled_without(pilot: Pilot[int], app: WorkbenchApp) -> None:
    """Wait until nothing holds the name; widgets that were removed need a moment to go."""
    for _ in range(40):
        if not leftovers(app, NAME):
            return
        await pilot.pause(0.05)
    assert leftovers(app, NAME) == []


def answer(*_: Any, **told: Any) -> dict[str, Any]:
    text = f"{NAME} IS WELL"
    return {"answers": [
        {"adapter": None, "text": text, "tokens": 3, "seconds": 0.5, "ended": True}
    ]}  # fmt: skip


@pytest.mark.parametrize("opened", [records, one_record, checked, sealed, review, talk])
def test_no_record_text_outlasts_a_lock(
    vault: Vault, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = {"labels": [f"{NAME}-label", "other"], "counts": [[1, 0, 0], [0, 1, 0]]}
    rows = ActedReview().review("").rows
    acted = ActedReview(lambda run: Review(figures(run), {"adapter": labels}, rows))
    acted.go.set()
    monkeypatch.setattr("workbench.adapters.reviewing.review_run", acted)
    monkeypatch.setattr(chatting, "chat", answer)
    session = session_at(vault, "review")

    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        comes_back = await opened(pilot, app)
        assert leftovers(app, NAME), "the search finds what is shown"
        await pilot.press("ctrl+l")
        await until(pilot, lambda: isinstance(app.screen, UnlockScreen))
        await settled_without(pilot, app)
        unlock(app, vault)
        await until(pilot, comes_back)
        assert NAME not in words(app), "it comes back masked"

    app = drive(session, steps)
    assert not app.failure


# What is under way


def test_what_is_written_is_finished_and_the_door_says_so(
    vault: Vault, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = questions(tmp_path / "more.jsonl")
    keep_draft(vault, Draft(files=(str(path),), reading={"stage": "check"}))
    told, go_on = threading.Event(), threading.Event()
    real = data_work.bring_in

    def slow(*args: Any) -> Any:
        told.set()
        go_on.wait(20)
        return real(*args)

    monkeypatch.setattr(data_check, "bring_in", slow)

    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        app.go("wizard")
        await until(pilot, lambda: "All 40 records" in words(app))
        app.screen.query_one("#go", Button).press()
        await until(pilot, told.is_set)
        await pilot.press("ctrl+l")
        await until(pilot, lambda: "finished first: an import" in words(app))
        go_on.set()
        await until(pilot, lambda: "finished first" not in words(app))
        unlock(app, vault)
        await until(pilot, lambda: "to learn from" in words(app))

    drive(Session(vault.home, vault=vault), steps)
    assert vault.catalogue.get("dataset", "more").record["rows"] == 40


def test_a_check_ends_with_the_lock_and_begins_again_after_it(
    vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    from workbench.datasets import collection

    ended: list[str] = []
    begun = threading.Event()
    real = collection.verify_dataset

    def endless(opened: Vault, name: str, tell: Any) -> Any:
        begun.set()
        if ended:
            return real(opened, name, tell)
        try:
            while True:
                tell(1, 3, "verify")
                time.sleep(0.02)
        finally:
            ended.append(name)

    monkeypatch.setattr(collection, "verify_dataset", endless)

    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        app.go("datasets")
        await until(pilot, lambda: "notes" in words(app))
        await pilot.press("v")
        await until(pilot, lambda: "Checking its parts" in words(app))
        await pilot.press("ctrl+l")
        await until(pilot, lambda: ended)
        begun.clear()
        await pilot.pause(0.1)
        assert not begun.is_set(), "nothing begins behind the door"
        unlock(app, vault)
        await until(pilot, lambda: "notes is sound" in words(app))

    drive(Session(vault.home, vault=vault), steps)


# What was typed


def test_an_idle_lock_forgets_a_passphrase_that_is_being_typed(vault: Vault) -> None:
    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        app.go("settings")
        await pilot.press("f6")
        await until(pilot, lambda: isinstance(app.screen, PassphraseModal))
        modal = app.screen
        for field in modal.query(Input):
            field.value = "plum-canary-plum"
        await pilot.pause()
        assert leftovers(app, "plum-canary")
        app.lock.last_key -= 60 * app.settings.idle_minutes
        app.lock.look()
        await until(pilot, lambda: isinstance(app.screen, UnlockScreen))
        await pilot.pause()
        assert leftovers(app, "plum-canary") == []
        unlock(app, vault)
        await until(pilot, lambda: app.screen is modal)
        assert not any(field.value for field in modal.query(Input))

    drive(Session(vault.home, vault=vault), steps)


def test_locking_again_before_the_door_was_left_closes_what_it_asked(
    original: Original, vault: Vault
) -> None:
    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        app.screen.query_one("#secret", Input).value = original.recovery_key
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, PassphraseModal))
        await pilot.press("ctrl+l")
        await until(pilot, lambda: isinstance(app.screen, UnlockScreen))
        assert not app.session.is_open
        assert len(app.screen_stack) == 2, "one door is enough"
        app.screen.query_one("#secret", Input).value = PASSPHRASE
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, HomeScreen))

    drive(Session(vault.home), steps)


# What meets a lock half-way


def test_a_lock_in_the_middle_of_taking_the_vault_gives_it_or_says_so(
    vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = Session(vault.home, vault=vault)

    def locks_meanwhile(self: Session) -> bool:
        self.lock()
        return True

    monkeypatch.setattr(Session, "is_made", property(locks_meanwhile))
    assert session.vault is vault
    with pytest.raises(Locked):
        _ = session.vault


def test_a_lock_before_the_unlocking_was_heard_leaves_the_door_shut(
    vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Session.unlock

    def overtaken(self: Session, secret: str) -> list[str]:
        told = real(self, secret)
        self.lock()
        return told

    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        for unlock_so, opens in ((overtaken, UnlockScreen), (real, HomeScreen)):
            monkeypatch.setattr(Session, "unlock", unlock_so)
            app.screen.query_one("#secret", Input).value = PASSPHRASE
            await pilot.press("enter")
            await until(pilot, lambda: "Opening…" not in words(app))
            assert isinstance(app.screen, opens)

    drive(Session(vault.home), steps)


def test_work_that_found_the_vault_locked_is_not_said_to_go_on(
    vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    def overtaken(*_: Any) -> None:
        raise Locked("The vault is locked.")

    monkeypatch.setattr(Vault, "change_passphrase", overtaken)

    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        app.go("settings")
        await pilot.press("f6")
        await until(pilot, lambda: isinstance(app.screen, PassphraseModal))
        for field in app.screen.query(Input):
            field.value = "four_quiet_herons_wade"
        await pilot.press("enter", "enter", "enter")
        await until(pilot, lambda: "The vault is locked." in words(app))
        assert "Changing the passphrase" not in words(app)

    drive(Session(vault.home, vault=vault), steps)


def test_an_error_behind_the_door_is_told_after_it(vault: Vault) -> None:
    go_on = threading.Event()

    def fails(_: object) -> None:
        go_on.wait(20)
        raise DoesNotFit(f"The disk is full: {NAME} was not written.")

    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        app.go("audit")
        await pilot.pause()
        screen = app.screen
        assert isinstance(screen, AuditScreen)
        worker = screen.begin("export", fails)
        await pilot.press("ctrl+l")
        await until(pilot, lambda: isinstance(app.screen, UnlockScreen))
        go_on.set()
        await until(pilot, lambda: worker.is_finished)
        await pilot.pause()
        assert isinstance(app.screen, UnlockScreen)
        assert NAME not in words(app)
        unlock(app, vault)
        await until(pilot, lambda: NAME in words(app))

    drive(Session(vault.home, vault=vault), steps)
