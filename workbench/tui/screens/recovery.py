"""The recovery key: shown once, confirmed by typing a part of it, asked about until then."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Center, Horizontal, Vertical
from textual.widgets import Button, Input

from workbench.tui.screens.base import WorkbenchScreen
from workbench.tui.widgets.plain import Plain
from workbench.tui.work import WorkDone, WorkFailed

if TYPE_CHECKING:
    from workbench.tui.app import WorkbenchApp

_SHOWN = "Your recovery key. It is shown this once."
_ABOUT = (
    "It opens the vault when the passphrase is lost. Write it down and keep it away from this "
    "machine. Nobody can make it again."
)
_UNCONFIRMED = "Did you write the recovery key down?"
_ABOUT_UNCONFIRMED = (
    "It was shown, and its last group was never typed back. It opens the vault when the passphrase "
    "is lost; without it, a forgotten passphrase is the end of the data.\n\nIt cannot be shown "
    "again, but a new one can be made: the old one opens nothing any more then. Until you have "
    "confirmed one, you are asked at each unlocking."
)


class RecoveryScreen(WorkbenchScreen):
    """Shows a recovery key and goes on when a part of it was typed back.

    Without a key it says that the last one was never confirmed, and offers to make another.
    """

    HOLDS = True
    HELP_PAGE = "welcome"
    CSS_PATH: ClassVar = []
    # There is no way around: without this key a forgotten passphrase is the end of the data.
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "stay", "Stay", id="recovery.stay", show=False,
                tooltip="The key has to be written down first"),
    ]  # fmt: skip

    def __init__(self, recovery_key: str = "") -> None:
        super().__init__()
        self._key = recovery_key

    @property
    def heading(self) -> str:
        """What the top line says."""
        return "Recovery key"

    def compose_body(self) -> ComposeResult:
        with Center(), Vertical(classes="door"):
            yield Plain("", classes="title", id="recovery-title")
            yield Plain("", classes="muted", id="recovery-about")
            yield Plain("", id="recovery-key")
            yield Plain("To show that you have it, type its last group:", id="recovery-ask")
            yield Input(id="typed")
            yield Plain("", id="said", classes="bad")
            with Horizontal(classes="buttons"):
                yield Button("I have written it down", id="go", variant="primary")
                yield Button("Make a new one", id="make")
                yield Button("Later", id="later", variant="primary")

    def on_mount(self) -> None:
        """Show the key, or ask about the one that was shown."""
        self._show(self._key)

    def _show(self, key: str) -> None:
        self._key = key
        if key:
            note_recovery_key(self.workbench, False)
        groups = key.split("-")
        half = len(groups) // 2
        told = "-".join(groups[:half]) + "-\n" + "-".join(groups[half:]) if key else ""
        self.query_one("#recovery-title", Plain).show(_SHOWN if key else _UNCONFIRMED)
        self.query_one("#recovery-about", Plain).show(_ABOUT if key else _ABOUT_UNCONFIRMED)
        self.query_one("#recovery-key", Plain).show(told)
        self.query_one("#said", Plain).show("")
        typed = self.query_one("#typed", Input)
        typed.value = ""
        typed.max_length = len(groups[-1])
        for name in ("#recovery-key", "#recovery-ask", "#typed", "#go"):
            self.query_one(name).display = bool(key)
        for name in ("#make", "#later"):
            self.query_one(name).display = not key
        # Enter must not void a key that was written down after all.
        (typed if key else self.query_one("#later")).focus()

    def conceal(self) -> None:
        """Forget the key, which opens the vault: it was locked."""
        self._show("")

    @on(Input.Submitted, "#typed")
    @on(Button.Pressed, "#go")
    def _check(self) -> None:
        typed = self.query_one("#typed", Input)
        if typed.value.strip().upper() == self._key.rsplit("-", 1)[-1]:
            note_recovery_key(self.workbench, True)
            self.workbench.enter()
        else:
            self.query_one("#said", Plain).show("That is not the last group.")
            typed.focus()

    @on(Button.Pressed, "#make")
    def _make(self) -> None:
        self.query_one("#make").disabled = True
        self.begin("recovery", lambda _: self.session.vault.renew_recovery_key())

    @on(WorkDone)
    def _made(self, event: WorkDone) -> None:
        self.query_one("#make").disabled = False
        if self.session.is_open:  # otherwise it was locked meanwhile, and is asked about again
            self._show(event.result)

    def take_failure(self, event: WorkFailed) -> bool:
        """Say what did not work, and let it be tried again."""
        self.query_one("#make").disabled = False
        self.query_one("#said", Plain).show(f"{event.error.message}\n{event.error.hint}".rstrip())
        return True

    @on(Button.Pressed, "#later")
    def _later(self) -> None:
        self.workbench.enter()

    def action_stay(self) -> None:
        """Escape does not skip this."""
        told = "Type the last group to go on." if self._key else "Later asks again next time."
        self.query_one("#said", Plain).show(told)


def note_recovery_key(app: WorkbenchApp, noted: bool) -> None:
    """Keep whether the recovery key was confirmed; where that cannot be kept, nobody asks."""
    with contextlib.suppress(OSError):
        app.change_settings(app.settings.with_changes(recovery_noted=noted))


def remind_of_recovery_key(app: WorkbenchApp) -> None:
    """Ask about the recovery key that was shown and never confirmed."""
    asked = any(isinstance(screen, RecoveryScreen) for screen in app.screen_stack)
    if not app.settings.recovery_noted and not asked and app.session.tour is None:
        app.push_screen(RecoveryScreen())
