"""Welcome, recovery key, unlocking and locking, driven by keys."""

from __future__ import annotations

import errno
import threading
import time
from pathlib import Path
from unittest import mock

import pytest
from textual.pilot import Pilot
from textual.widgets import Button, Input

from tests.fixtures.leftovers import leftovers
from tests.fixtures.screens import drive, matches, until, words
from tests.fixtures.vaults import PASSPHRASE, make_original, reopened
from workbench.errors import DoesNotFit, WrongPassphrase
from workbench.tui.app import WorkbenchApp
from workbench.tui.modals.page import HelpModal
from workbench.tui.palette import WorkbenchCommands
from workbench.tui.screens.door import UnlockScreen, WelcomeScreen
from workbench.tui.screens.help import HelpScreen
from workbench.tui.screens.home import HomeScreen
from workbench.tui.screens.recovery import RecoveryScreen
from workbench.tui.session import Session
from workbench.tui.strength import looks_like_caps_lock, strength
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
        await pilot.press("f2")
        assert isinstance(app.screen, RecoveryScreen), "nor by the list of places"
        offered = [each.title for each in WorkbenchCommands(app.screen).commands()]
        assert offered
        assert not any(title.startswith("Go to") for title in offered)
        app.screen.query_one("#typed", Input).value = ""
        await pilot.press(*shown.rsplit("-", 1)[1].lower(), "enter")
        await until(pilot, lambda: isinstance(app.screen, HomeScreen))

    drive(Session(home), steps)
    assert Vault.unlock(home, TYPED).vault_id == Vault.unlock(home, shown).vault_id


def test_a_full_disk_does_not_cost_the_recovery_key(tmp_path: Path) -> None:
    home = tmp_path / "home"
    full = DoesNotFit("The model needs 0.08 GB; 0.00 GB are free.")

    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        for name in ("#secret", "#again"):
            app.screen.query_one(name, Input).value = TYPED
        await pilot.press("tab", "enter")
        await until(pilot, lambda: isinstance(app.screen, RecoveryScreen))
        assert isinstance(app.screen, RecoveryScreen)
        await until(pilot, lambda: len(app._notifications) > 0)
        (told,) = app._notifications
        assert (
            told.message
            == "The model needs 0.08 GB; 0.00 GB are free. Make room, then press s in Models."
        )
        await pilot.press(*app.screen._key.rsplit("-", 1)[1].lower(), "enter")
        await until(pilot, lambda: isinstance(app.screen, HomeScreen))

    with mock.patch("workbench.models.shelf.add_starter", side_effect=full):
        drive(Session(home), steps)
    assert holds_vault(home)


def test_no_place_is_reached_past_the_recovery_key(tmp_path: Path) -> None:
    vault = make_original(tmp_path / "original").copy(tmp_path / "home")
    session = Session(vault.home, vault=vault)

    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        app.switch_screen(RecoveryScreen("AAAA-BBBB"))
        await until(pilot, lambda: isinstance(app.screen, RecoveryScreen))
        assert "app.places" not in {
            active.binding.id for active in app.screen.active_bindings.values() if active.enabled
        }
        titles = [command.title for command in WorkbenchCommands(app.screen).commands()]
        assert not [title for title in titles if title.startswith("Go to")]
        await pilot.press("f2")
        await pilot.pause()
        assert isinstance(app.screen, RecoveryScreen)

    drive(session, steps)


def unlocked(vault: Vault) -> Session:
    """Return a locked session that any passphrase opens, without deriving a key."""
    session = Session(vault.home)

    def unlock(secret: str) -> list[str]:
        session._vault = vault
        return []

    session.unlock = unlock  # type: ignore[method-assign]
    return session


async def unlock(pilot: Pilot[int], app: WorkbenchApp) -> None:
    assert isinstance(app.screen, UnlockScreen)
    await pilot.press("x", "enter")
    await until(pilot, lambda: not isinstance(app.screen, UnlockScreen))


def test_a_recovery_key_that_was_not_confirmed_is_asked_about_until_one_is(tmp_path: Path) -> None:
    original = make_original(tmp_path / "home")
    vault = reopened(original.home, original)

    async def left(pilot: Pilot[int], app: WorkbenchApp) -> None:
        app.switch_screen(RecoveryScreen(original.recovery_key))
        await until(pilot, lambda: "shown this once" in words(app))
        await pilot.press("ctrl+q")

    async def later(pilot: Pilot[int], app: WorkbenchApp) -> None:
        await unlock(pilot, app)
        assert "Did you write the recovery key down?" in words(app)
        await pilot.press("f2")
        assert isinstance(app.screen, RecoveryScreen)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, HomeScreen))

    async def anew(pilot: Pilot[int], app: WorkbenchApp) -> None:
        await unlock(pilot, app)
        matches(app, "recovery-unconfirmed-80x24")
        app.screen.query_one("#make", Button).press()
        await until(pilot, lambda: "shown this once" in words(app))
        made.append(app.screen._key)  # type: ignore[attr-defined]
        await pilot.press(*made[0].rsplit("-", 1)[1], "enter")
        await until(pilot, lambda: isinstance(app.screen, HomeScreen))

    async def never_again(pilot: Pilot[int], app: WorkbenchApp) -> None:
        await unlock(pilot, app)
        await pilot.pause(0.2)
        assert isinstance(app.screen, HomeScreen)

    made: list[str] = []
    drive(Session(original.home, vault=vault), left)
    kept = (original.home / "ui.json").read_text()
    assert not any(group in kept for group in original.recovery_key.split("-"))
    for steps in (later, anew, never_again):
        drive(unlocked(vault), steps)
    assert Vault.unlock(original.home, made[0]).vault_id == vault.vault_id


def test_a_lock_forgets_the_recovery_key_that_is_shown(tmp_path: Path) -> None:
    original = make_original(tmp_path / "home")
    vault = reopened(original.home, original)
    session = unlocked(vault)
    session._vault = vault
    group = original.recovery_key.split("-")[1]

    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        app.switch_screen(RecoveryScreen(original.recovery_key))
        await until(pilot, lambda: group in words(app))
        assert leftovers(app, group)
        await pilot.press("ctrl+l")
        await until(pilot, lambda: isinstance(app.screen, UnlockScreen))
        await pilot.pause()
        assert leftovers(app, group) == []
        await unlock(pilot, app)
        assert "Did you write the recovery key down?" in words(app)

    drive(session, steps)


def test_escape_waits_until_the_vault_is_made(tmp_path: Path) -> None:
    held = threading.Event()

    def create(passphrase: str, kdf: str) -> str:
        held.wait(20)
        return "AAAA-BBBB"

    session = Session(tmp_path / "home")

    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        for name in ("#secret", "#again"):
            app.screen.query_one(name, Input).value = TYPED
        await pilot.press("tab", "enter")
        await until(pilot, lambda: "Making the vault" in words(app))
        await pilot.press("escape")
        held.set()
        await until(pilot, lambda: isinstance(app.screen, RecoveryScreen))

    with mock.patch.object(session, "create", create):
        drive(session, steps)


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


def test_the_recovery_key_opens_and_a_new_passphrase_is_asked_for(tmp_path: Path) -> None:
    original = make_original(tmp_path / "home")
    new = "nine_slow_foxes_read"

    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        field = app.screen.query_one("#secret", Input)
        field.value = original.recovery_key[:-1] + "*"
        await pilot.press("enter")
        await until(pilot, lambda: "opens nothing" in words(app))
        mistyped = original.recovery_key
        field.value = ("1" if mistyped[0] == "0" else "0") + mistyped[1:]
        await pilot.press("enter")
        await until(pilot, lambda: "mistyped" in words(app))
        assert "group by group" in words(app)
        field.value = original.recovery_key.lower().replace("-", " ")
        await pilot.press("enter")
        await until(pilot, lambda: "A new passphrase" in words(app))
        for name in ("#new", "#again"):
            app.screen.query_one(name, Input).value = new
        app.screen.query_one("#again", Input).focus()
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, HomeScreen))

    drive(Session(original.home), steps)
    Vault.unlock(original.home, new)
    Vault.unlock(original.home, original.recovery_key)
    with pytest.raises(WrongPassphrase):
        Vault.unlock(original.home, PASSPHRASE)


def test_the_recovery_key_may_leave_the_passphrase_as_it_is(tmp_path: Path) -> None:
    original = make_original(tmp_path / "home")

    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        app.screen.query_one("#secret", Input).value = original.recovery_key
        await pilot.press("enter")
        await until(pilot, lambda: "A new passphrase" in words(app))
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, HomeScreen))

    drive(Session(original.home), steps)
    Vault.unlock(original.home, PASSPHRASE)


def test_the_door_says_what_keeps_it_shut(tmp_path: Path) -> None:
    home = make_original(tmp_path / "home").home

    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        field = app.screen.query_one("#secret", Input)

        async def says(secret: str, told: str) -> None:
            field.value = secret
            await pilot.press("enter")
            await until(pilot, lambda: told in " ".join(words(app).split()))
            assert isinstance(app.screen, UnlockScreen)
            assert not field.disabled

        await says("CORRECT HORSE", "is Caps Lock on?")
        await says("x" * 5_000, "The passphrase is too long.")
        home.chmod(0o755)
        await says(PASSPHRASE, f"chmod 700 {home}"[:40])
        assert "Other users of this machine can enter" in " ".join(words(app).split())
        home.chmod(0o700)
        home.rename(tmp_path / "gone")
        await says(PASSPHRASE, "There is no vault at")

    drive(Session(home), steps)


def test_a_full_disk_does_not_keep_the_door_shut(tmp_path: Path) -> None:
    home = make_original(tmp_path / "home").home
    full = OSError(errno.ENOSPC, "No space left on device")

    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        app.screen.query_one("#secret", Input).value = PASSPHRASE
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, HomeScreen))

    with mock.patch("workbench.adapters.registration.register_finished", side_effect=full):
        drive(Session(home), steps)


def test_locking_masks_what_was_revealed_and_keeps_the_place(tmp_path: Path) -> None:
    original = make_original(tmp_path / "home")
    concealed: list[str] = []

    class Telling(HelpScreen):
        def conceal(self) -> None:
            concealed.append(self.heading)

    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        app.go("help", Telling())
        await pilot.pause()
        await pilot.press("f1")
        await pilot.pause()
        assert isinstance(app.screen, HelpModal)
        await pilot.press("ctrl+l")
        await until(pilot, lambda: isinstance(app.screen, UnlockScreen))
        assert concealed == ["Help"]
        await pilot.press("f2", "ctrl+l")
        assert isinstance(app.screen, UnlockScreen), "no place is reached past the door"
        app.screen.query_one("#secret", Input).value = PASSPHRASE
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, HelpModal))
        await pilot.press("escape")
        await pilot.pause()
        assert isinstance(app.screen, Telling)

    session = Session(original.home, vault=reopened(original.home, original))
    drive(session, steps)


def test_an_idle_vault_warns_then_locks(tmp_path: Path) -> None:
    original = make_original(tmp_path / "home")
    session = Session(original.home, vault=reopened(original.home, original))

    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        app.change_settings(app.settings.with_changes(idle_minutes=1))
        app.lock.last_key = time.monotonic() - 32
        told: list[str] = []
        with mock.patch.object(app, "notify", lambda text, **_: told.append(text)):
            app.lock.look()
        assert [text.split(".")[0] for text in told] == ["The vault locks in 28 s"]
        assert session.is_open
        await pilot.press("tab")
        app.lock.look()
        assert session.is_open, "a key keeps it open"
        app.lock.last_key = time.monotonic() - 61
        app.lock.look()
        await until(pilot, lambda: isinstance(app.screen, UnlockScreen))
        assert not session.is_open

    drive(session, steps)


def test_caps_lock_is_guessed_from_what_was_typed() -> None:
    assert looks_like_caps_lock("CORRECT HORSE 7")
    assert not looks_like_caps_lock("Correct horse")
    assert not looks_like_caps_lock("AB1")
    assert strength("x" * 2000).startswith("▁ too long")
