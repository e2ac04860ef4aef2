"""The Playground with a fake chat, and once with the real engine."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from tests.fixtures.libraries import PASSPHRASE, make_library
from tests.fixtures.screens import LARGE, SMALL, drive, matches, settled, until, words
from workbench.adapters import chatting
from workbench.adapters.registration import register_finished
from workbench.tui.app import WorkbenchApp
from workbench.tui.screens.door import UnlockScreen
from workbench.tui.screens.playground import PlaygroundScreen
from workbench.tui.session import Session
from workbench.vault.store import Vault


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = make_library(tmp_path_factory.mktemp("library"))
    for name in ("alpha", "beta"):
        made.train(name)
        register_finished(made.vault)
        time.sleep(1.1)  # entries are listed by the second in which they were made
    return made.vault.home


@pytest.fixture
def session(kept: Path, tmp_path: Path) -> Session:
    home = tmp_path / "home"
    shutil.copytree(kept, home)
    home.chmod(0o700)
    return Session(home, vault=Vault.unlock(home, PASSPHRASE))


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Answer with what was asked, in capitals, and note each call."""
    calls: list[dict[str, Any]] = []

    def chat(vault: Vault, *, progress: Callable[[int, int, str], None], **told: Any) -> Any:
        calls.append(told)
        while "slow" in told["messages"][-1]["content"]:
            progress(0, 0, "generating")
            time.sleep(0.02)
        names = [vault.catalogue.get("adapter", name).name for name in told["adapters"]]
        text = told["messages"][-1]["content"].upper()
        return {
            "answers": [
                {"adapter": name, "text": text, "tokens": 3, "seconds": 0.5, "ended": True}
                for name in [*([None] if told["with_base"] else []), *names]
            ]
        }

    monkeypatch.setattr(chatting, "chat", chat)
    return calls


async def at_playground(pilot: Pilot[int], app: WorkbenchApp) -> PlaygroundScreen:
    app.go("playground")
    await until(pilot, lambda: "likeliest words" in words(app))
    assert isinstance(app.screen, PlaygroundScreen)
    return app.screen


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_base_and_adapter_answer_side_by_side(
    session: Session, asked: list[dict[str, Any]], size: tuple[int, int]
) -> None:
    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        await at_playground(pilot, app)
        await pilot.press(*"cough", "enter")
        await until(pilot, lambda: words(app).count("COUGH") == 2)
        assert asked[-1]["with_base"] is True
        await pilot.press(*"more", "enter")
        await until(pilot, lambda: words(app).count("MORE") == 2)
        said = [(m["role"], m["content"]) for m in asked[-1]["messages"]]
        assert said == [("user", "cough"), ("assistant", "COUGH"), ("user", "more")]
        await settled(pilot, app)
        matches(app, f"playground-{size[0]}x{size[1]}")
        await pilot.press("f5")
        assert "COUGH" not in words(app)

    drive(session, steps, size)


def test_who_answers_can_be_chosen(session: Session, asked: list[dict[str, Any]]) -> None:
    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        await at_playground(pilot, app)
        await pilot.press("f3", "enter", "down", "enter", "escape")  # the base out, alpha in
        await until(pilot, lambda: "alpha, beta ·" in words(app))
        await pilot.press(*"hi", "enter")
        await until(pilot, lambda: words(app).count("HI") == 2)
        assert len(asked[-1]["adapters"]) == 2
        assert asked[-1]["with_base"] is False

    drive(session, steps)


def test_an_answer_asked_for_beside_the_list_can_still_be_stopped(
    session: Session, asked: list[dict[str, Any]]
) -> None:
    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        screen = await at_playground(pilot, app)
        await pilot.press("f3", "tab", *"slow", "enter")
        await until(pilot, lambda: "generating…" in words(app))
        await pilot.press("escape")
        await until(pilot, lambda: "generating…" in words(app))
        await pilot.press("f6")
        await until(pilot, lambda: "generating" not in words(app))
        assert screen.query_one("#question", Input).value == "slow"

    drive(session, steps)


def test_an_answer_can_be_stopped_and_locking_forgets(
    session: Session, asked: list[dict[str, Any]]
) -> None:
    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        screen = await at_playground(pilot, app)
        await pilot.press(*"slow", "enter")
        await until(pilot, lambda: "generating…" in words(app))
        await pilot.press("f6")
        await until(pilot, lambda: "generating" not in words(app))
        assert screen.query_one("#question", Input).value == "slow", "asked again with one key"
        screen.query_one("#question", Input).value = ""
        await pilot.press(*"secret", "enter")
        await until(pilot, lambda: "SECRET" in words(app))
        await pilot.press("ctrl+l")
        await until(pilot, lambda: isinstance(app.screen, UnlockScreen))
        app.screen.query_one("#secret", Input).value = PASSPHRASE
        await pilot.press("enter")
        await until(pilot, lambda: app.screen is screen)
        assert "SECRET" not in words(app)
        assert "secret" not in words(app)

    drive(session, steps)


@pytest.mark.slow
def test_a_real_answer(session: Session) -> None:
    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        await at_playground(pilot, app)
        await pilot.press(*"cough", "enter")
        await until(pilot, lambda: words(app).count("tokens in") == 2, 90)

    drive(session, steps)
    assert session.vault.verify().ok
