"""Welcome, recovery key, unlocking and locking, driven by keys."""

from __future__ import annotations

from pathlib import Path

from textual.pilot import Pilot
from textual.widgets import Input

from tests.fixtures.screens import drive, matches, until, words
from tests.fixtures.vaults import PASSPHRASE, make_original
from workbench.tui.app import WorkbenchApp
from workbench.tui.screens.door import RecoveryScreen, UnlockScreen, WelcomeScreen
from workbench.tui.screens.home import HomeScreen
from workbench.tui.session import Session
from workbench.tui.strength import strength
from workbench.vault.home import holds_vault
from workbench.vault.store import Vault

TYPED = "four_quiet_herons_wade"


def test_welcome_makes_a_vault_and_shows_the_recovery_key_once(tmp_path: Path) -> None:
    home = tmp_path / "home"
    shown = ""

    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        nonlocal shown
        assert isinstance(app.screen, WelcomeScreen)
        await pilot.press(*"short", "enter", *"short", "enter")
        assert "At least 8 characters" in words(app)
        assert not holds_vault(home)
        for name in ("#secret", "#again"):
            app.screen.query_one(name, Input).value = TYPED
        # Past the second field stands the cheaper key derivation, then the button.
        await pilot.press("tab", "tab", "space", "tab", "enter")
        await until(pilot, lambda: isinstance(app.screen, RecoveryScreen))
        assert isinstance(app.screen, RecoveryScreen)
        shown = app.screen._key
        assert all(group in words(app) for group in shown.split("-"))
        await pilot.press("escape", *"0000", "enter")
        assert isinstance(app.screen, RecoveryScreen), "no way around the recovery key"
        app.screen.query_one("#typed", Input).value = ""
        await pilot.press(*shown.rsplit("-", 1)[1].lower(), "enter")
        await until(pilot, lambda: isinstance(app.screen, HomeScreen))

    drive(Session(home), steps)
    assert Vault.unlock(home, TYPED).vault_id == Vault.unlock(home, shown).vault_id


def test_a_wrong_passphrase_leaves_the_door_shut(tmp_path: Path) -> None:
    make_original(tmp_path / "home")

    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        field = app.screen.query_one("#secret", Input)
        await pilot.press(*"wrong", "enter")
        await until(pilot, lambda: "opens nothing" in words(app))
        assert isinstance(app.screen, UnlockScreen)
        assert not app.session.is_open
        field.value = PASSPHRASE
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, HomeScreen))
        assert field.value == ""
        await pilot.press("ctrl+l")
        await until(pilot, lambda: isinstance(app.screen, UnlockScreen))
        assert not app.session.is_open

    drive(Session(tmp_path / "home"), steps)


def test_the_door_looks_as_it_should() -> None:
    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        matches(app, "welcome-80x24")

    drive(Session(Path("/nowhere/home")), steps)


def test_strength_grows_with_the_passphrase() -> None:
    assert "characters more" in strength("abc")
    assert "very weak" in strength("password")
    assert strength("correct horse battery staple").endswith("strong")
