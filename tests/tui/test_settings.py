"""Settings: what is changed takes effect, is kept, and can be taken back."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from unittest import mock

import pytest
from textual.pilot import Pilot
from textual.widgets import Button, Checkbox, Input, OptionList

from tests.fixtures.screens import drive, until, words
from tests.fixtures.staged_home import PASSPHRASE, staged_session
from workbench.errors import WrongPassphrase
from workbench.tui.app import WorkbenchApp
from workbench.tui.keymap import RESERVED, Key, all_keys, clash
from workbench.tui.modals.keys import KeysModal
from workbench.tui.screens.doctor import DoctorScreen
from workbench.tui.screens.home import HomeScreen
from workbench.tui.screens.settings import SettingsScreen
from workbench.tui.session import Session
from workbench.tui.settings import read_settings
from workbench.vault.store import Vault


@pytest.fixture
def session() -> Iterator[Session]:
    staged = staged_session()
    yield staged
    shutil.rmtree(staged.home.parent)


def test_a_theme_is_seen_at_once_and_kept(session: Session) -> None:
    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        app.go("settings")
        await pilot.pause()
        await pilot.press("right", "enter")
        await pilot.pause()
        assert app.theme == "workbench-light"
        assert "Kept." in words(app)
        app.screen.query_one("#animation", Checkbox).toggle()
        app.screen.query_one("#idle", Input).focus()
        await pilot.press(*"25", "enter")
        await pilot.pause()

    drive(session, steps)
    kept = read_settings(session.home)
    assert (kept.theme, kept.animation, kept.idle_minutes) == ("workbench-light", False, 25)


def test_minutes_that_are_none_are_refused(session: Session) -> None:
    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        app.go("settings")
        await pilot.pause()
        field = app.screen.query_one("#idle", Input)
        field.focus()
        await pilot.press(*"9999", "enter")
        await pilot.pause()
        assert "from 0 to 1,440" in words(app)
        assert field.value == "10"

    drive(session, steps)
    assert read_settings(session.home).idle_minutes == 10


def test_a_full_disk_while_saving_is_told_and_the_change_holds(session: Session) -> None:
    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        app.go("settings")
        await pilot.pause()
        full = OSError(28, "No space left on device")
        with mock.patch("workbench.tui.settings.publish_bytes", side_effect=full):
            await pilot.press("right", "enter")
            await pilot.pause()
        assert app.theme == "workbench-light"
        assert "Not kept, in effect until you leave: The disk is full" in words(app)

    drive(session, steps)
    assert read_settings(session.home).theme == "workbench-dark"


def test_a_key_is_changed_by_pressing_another(session: Session) -> None:
    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        app.go("settings")
        await pilot.pause()
        await pilot.press("f5")
        await until(pilot, lambda: isinstance(app.screen, KeysModal), 20)
        rows = app.screen.query_one(OptionList)
        keys = app.screen._keys  # type: ignore[attr-defined]
        rows.highlighted = [key.id for key in keys].index("home.runs")
        await pilot.press("enter", "g")
        await pilot.pause()
        assert "g is taken: Home: Air gap" in words(app)
        await pilot.press("f1")
        await pilot.pause()
        assert "f1 is taken: Everywhere: Help" in words(app), "no help opened meanwhile"
        await pilot.press("t")
        await pilot.pause()
        assert "Runs: t. Keep makes it so." in words(app)
        app.screen.query_one("#keep", Button).press()
        await until(pilot, lambda: isinstance(app.screen, SettingsScreen))
        assert "1 key changed" in words(app)
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, HomeScreen))
        assert " t Runs" in words(app)
        went: list[str] = []
        with mock.patch.object(app, "go", went.append):
            await pilot.press("r", "t")
        assert went == ["runs"]

    drive(session, steps)
    assert json.loads((session.home / "ui.json").read_text())["keys"] == {"home.runs": "t"}


def test_keys_can_be_given_back(session: Session) -> None:
    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        app.change_settings(app.settings.with_changes(keys={"home.runs": "t", "home.air_gap": "y"}))
        app.go("settings")
        await pilot.pause()
        assert "2 keys changed" in words(app)
        await pilot.press("f5")
        await until(pilot, lambda: isinstance(app.screen, KeysModal), 20)
        keys = app.screen._keys  # type: ignore[attr-defined]
        app.screen.query_one(OptionList).highlighted = [k.id for k in keys].index("home.runs")
        await pilot.press("delete")
        app.screen.query_one("#keep", Button).press()
        await until(pilot, lambda: "1 key changed" in words(app))
        await pilot.press("f5")
        await until(pilot, lambda: isinstance(app.screen, KeysModal), 20)
        app.screen.query_one("#reset-all", Button).press()
        await pilot.pause()
        app.screen.query_one("#keep", Button).press()
        await until(pilot, lambda: "every key is its own" in words(app))

    drive(session, steps)
    assert read_settings(session.home).keys == {}


def test_what_cannot_be_a_key_is_refused() -> None:
    keys = all_keys()
    by_id = {key.id: key for key in keys}
    assert len(keys) > 20
    assert "app.interrupt" not in by_id, "Ctrl+C always leaves"
    runs, leave = by_id["home.runs"], by_id["app.quit"]
    for name in RESERVED:
        assert clash(keys, {}, runs, name)
    assert "while you type" in clash(keys, {}, leave, "q")
    assert not clash(keys, {}, runs, "r"), "its own"
    assert not clash(keys, {"home.air_gap": "y"}, runs, "g"), "free since another has left it"
    elsewhere = Key("other.do", "Other", "Do", "", "z", False)
    assert not clash([*keys, elsewhere], {}, runs, "z"), "another screen's keys do not meet it"


def test_the_passphrase_is_changed(session: Session) -> None:
    new = "seven_blue_kettles_sing"

    async def change(pilot: Pilot[int], app: WorkbenchApp, old: str, again: str) -> None:
        await pilot.press("f6")
        await pilot.pause()
        for name, value in (("#old", old), ("#new", new), ("#again", again)):
            app.screen.query_one(name, Input).value = value
        app.screen.query_one("#again", Input).focus()
        await pilot.press("enter")
        await pilot.pause()

    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        app.go("settings")
        await pilot.pause()
        await change(pilot, app, PASSPHRASE, "SEVEN")
        assert "The two differ. Is Caps Lock on?" in words(app)
        await pilot.press("escape")
        await change(pilot, app, "wrong one here", new)
        await until(pilot, lambda: "Changing" not in words(app))
        assert session.vault.vault_id == Vault.unlock(session.home, PASSPHRASE).vault_id
        await change(pilot, app, PASSPHRASE, new)
        await until(pilot, lambda: "The passphrase was changed" in words(app))

    drive(session, steps)
    Vault.unlock(session.home, new)
    with pytest.raises(WrongPassphrase):
        Vault.unlock(session.home, PASSPHRASE)


def test_a_new_recovery_key_is_shown_once(session: Session) -> None:
    shown = ""

    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        nonlocal shown
        app.go("settings")
        await pilot.pause()
        await pilot.press("f7")
        await pilot.pause()
        await pilot.press("enter")
        await pilot.pause()
        assert isinstance(app.screen, SettingsScreen), "Cancel has the focus"
        await pilot.press("f7")
        await pilot.pause()
        app.screen.query_one("#yes", Button).press()
        await until(pilot, lambda: "It is shown this once" in words(app))
        shown = app.screen._key  # type: ignore[attr-defined]
        await pilot.press(*shown.rsplit("-", 1)[1], "enter")
        await until(pilot, lambda: isinstance(app.screen, SettingsScreen))
        assert "The new recovery key is in force" in words(app)

    drive(session, steps)
    assert Vault.unlock(session.home, shown).vault_id == session.vault.vault_id


def test_the_vault_is_checked_from_here(session: Session) -> None:
    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        app.go("settings")
        await pilot.pause()
        await pilot.press("f8")
        await until(pilot, lambda: isinstance(app.screen, DoctorScreen))
        await until(pilot, lambda: "● whole" in words(app), 30)

    drive(session, steps)
