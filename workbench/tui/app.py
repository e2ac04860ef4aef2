"""The app: it routes between screens, keeps the session, and does nothing else."""

from __future__ import annotations

import sys
import time
from typing import ClassVar

from textual import events, on
from textual.app import App
from textual.binding import Binding, BindingType
from textual.notifications import Notify, SeverityLevel
from textual.reactive import reactive

from workbench.airgap.lockdown import current_protection
from workbench.runs.state import RunState
from workbench.text import printable
from workbench.tui import themes, work
from workbench.tui.colours import Styled
from workbench.tui.leaving import AWAITED, on_leaving, what_failed
from workbench.tui.locking import Lock
from workbench.tui.navigation import open_place
from workbench.tui.palette import Palette, WorkbenchCommands
from workbench.tui.protection import badge
from workbench.tui.screens.base import WorkbenchScreen
from workbench.tui.session import Locked, Session
from workbench.tui.settings import UiSettings, read_settings, write_settings
from workbench.tui.toasts import Told
from workbench.tui.watching import LibraryGrew, RunsChanged, RunWatcher
from workbench.tui.widgets.top_line import TopLine

_SECOND_CTRL_C_SECONDS = 3.0
_TOLD = 500  # characters told in passing


class WorkbenchApp(App[int]):
    """The terminal UI.

    Attributes:
        runs: Every run of the home, newest first, its curve left out.
        live: The trainings among them that have not ended.
        protection: What the lock-down of this process achieved; None where it never ran.
        grown: How often the library grew while the app was open.
        lock: Turns the key of the vault.
        failure: `Type at module:line` of what crashed the app; empty while nothing did.
    """

    TITLE = "QLoRA Workbench"
    CSS_PATH: ClassVar = ["styles.tcss"]
    COMMANDS: ClassVar = {WorkbenchCommands}
    ENABLE_COMMAND_PALETTE = True
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f1", "help_here", "Help", id="app.help", tooltip="Explain this screen"),
        Binding("f2", "places", "Go to", id="app.places", tooltip="List the places to go to"),
        Binding(
            "ctrl+p", "command_palette", "More", id="app.commands",
            tooltip="Find and run any command",
        ),
        Binding(
            "ctrl+l", "lock", "Lock", id="app.lock", show=False, priority=True,
            tooltip="Lock the vault; what trains goes on",
        ),
        Binding(
            "ctrl+q", "leave", "Quit", id="app.quit", show=False, priority=True,
            tooltip="Leave the workbench; what trains goes on",
        ),
        Binding(
            "ctrl+c", "interrupt", "Quit", id="app.interrupt", show=False, priority=True,
            tooltip="Pressed twice: leave the workbench",
        ),
    ]  # fmt: skip

    runs: reactive[tuple[RunState, ...]] = reactive(())
    live: reactive[tuple[RunState, ...]] = reactive(())
    badge: reactive[str] = reactive("")
    grown: reactive[int] = reactive(0)

    def __init__(self, session: Session, *, warning: str = "") -> None:
        """Make the app for a session; `warning` is said once it is open."""
        super().__init__()
        if self.no_color:
            self._filters.insert(0, Styled())
        self._warning = warning
        self.session = session
        self.settings = read_settings(session.home)
        self.protection = current_protection()
        self.failure = ""
        self._watcher = RunWatcher(session)
        self.lock = Lock(self)
        self._last_interrupt = 0.0
        for theme in themes.ALL:
            self.register_theme(theme)
        self._apply(self.settings)

    # Routing

    def on_mount(self) -> None:
        """Open the first screen: the vault's door, or Home where it stands open."""
        self.badge = badge(self.protection)
        if self.session.is_open:
            self.push_screen(open_place("home"))
        else:
            self.show_door()
        if self._warning:
            self.notify(self._warning, severity="warning", timeout=10)
        self.lock.start()
        self._watcher.start(self)

    def show_door(self) -> None:
        """Ask for the passphrase, or welcome a person who has no vault yet."""
        from workbench.tui.screens.door import UnlockScreen, WelcomeScreen

        if not any(isinstance(each, UnlockScreen) for each in self.screen_stack):
            self.push_screen(UnlockScreen() if self.session.is_made else WelcomeScreen())
        # Locked again before the door was left: what it asked besides is closed.
        while not isinstance(self.screen, UnlockScreen | WelcomeScreen):
            self.pop_screen()

    def enter(self) -> None:
        """Go on from the door: to what was open before, or to Home."""
        self.lock.note_key()
        self.settings = read_settings(self.session.home)
        self._apply(self.settings)
        self._leave_door()
        if len(self.screen_stack) == 1:  # Textual's own
            self.push_screen(open_place("home"))
        work.take_up_reading()

    def _leave_door(self) -> None:
        from workbench.tui.screens.door import UnlockScreen, WelcomeScreen
        from workbench.tui.screens.recovery import RecoveryScreen

        doors = UnlockScreen | WelcomeScreen | RecoveryScreen
        while any(isinstance(each, doors) for each in self.screen_stack):
            self.pop_screen()

    def go(self, name: str, screen: WorkbenchScreen | None = None) -> None:
        """Go to a place: everything above Home is closed first.

        Args:
            name: The place.
            screen: Its screen, where it needs arguments; otherwise a fresh one.
        """
        while len(self.screen_stack) > 2:
            self.pop_screen()
        if name != "home":
            self.push_screen(screen or open_place(name))

    def go_back(self) -> None:
        """Close the screen on top, never Home."""
        if self.can_go_back:
            self.pop_screen()

    @property
    def can_go_back(self) -> bool:
        """Whether there is a screen below to go back to: Textual's own, Home, then this one."""
        return len(self.screen_stack) > 2

    @property
    def can_go(self) -> bool:
        """Whether places can be gone to: the vault is open, and no screen holds one back."""
        held = any(isinstance(each, WorkbenchScreen) and each.HOLDS for each in self.screen_stack)
        return self.session.is_open and not held

    def action_help_here(self) -> None:
        """Explain the screen on top; of a dialog, itself or the screen that it stands on."""
        from workbench.tui.modals.page import help_on

        if help_page := help_on(self.screen_stack):
            self.push_screen(help_page)

    def action_command_palette(self) -> None:
        """List every command."""
        if not isinstance(self.screen, Palette):
            self.push_screen(Palette())

    def action_places(self) -> None:
        """List the places; only inside an open vault."""
        from workbench.tui.modals.places import PlacesModal

        def go(name: str | None) -> None:
            if name:
                self.go(name)

        if self.can_go and isinstance(self.screen, WorkbenchScreen):
            self.push_screen(PlacesModal(), go)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Hide what a closed door leaves nothing to do for."""
        if action == "places":
            return self.can_go
        if action == "lock":
            return self.session.is_open
        return super().check_action(action, parameters)

    # Settings

    def change_settings(self, settings: UiSettings) -> None:
        """Take over and keep other settings; raises OSError where they cannot be written."""
        self._apply(settings)
        self.settings = settings
        if self.session.is_made:
            write_settings(self.session.home, settings)

    def _apply(self, settings: UiSettings) -> None:
        self.theme = settings.theme
        self.animation_level = "basic" if settings.animation else "none"
        self.set_keymap(settings.keys)

    # The vault

    def action_lock(self) -> None:
        """Take the keys away from the screens; what trains goes on."""
        self.lock.turn()

    async def on_event(self, event: events.Event) -> None:
        """Note that somebody is there."""
        if isinstance(event, events.InputEvent):
            self.lock.note_key()
        await super().on_event(event)

    @on(work.WorkFailed)
    def _tell_unkept(self, event: work.WorkFailed) -> None:
        if event.work == "keep-draft" and not isinstance(event.error, Locked):
            said = f"Your choices could not be kept: {event.error.message}"
            self.notify(said, severity="warning")

    # Runs

    @on(RunsChanged)
    def _take_runs(self, event: RunsChanged) -> None:
        self.runs, self.live = event.runs, event.live

    @on(LibraryGrew)
    def _tell_adapters(self, event: LibraryGrew) -> None:
        self.grown += 1
        for name in event.adapters:
            self.notify(f"{name} is in the library.", title="Training finished")

    def watch_live(self) -> None:
        """Keep the top lines current."""
        self._fill_top_lines()

    def watch_badge(self) -> None:
        """Keep the top lines current."""
        self._fill_top_lines()

    def _fill_top_lines(self) -> None:
        for screen in self.screen_stack:
            for line in screen.query(TopLine):
                line.live, line.badge = self.live, self.badge

    # Leaving

    @property
    def is_at_work(self) -> bool:
        """Whether something is under way that ends when the screens do."""
        return any(each.is_running and each.name in AWAITED for each in self.workers)

    def action_interrupt(self) -> None:
        """Leave at the second Ctrl+C; the first one says what becomes of the running job."""
        now = time.monotonic()
        if now - self._last_interrupt < _SECOND_CTRL_C_SECONDS:
            self.exit(0)
            return
        self._last_interrupt = now
        told = on_leaving(self.live, self.session.tour, at_work=self.is_at_work)
        self.notify(f"{told} Press Ctrl+C again to leave.", timeout=_SECOND_CTRL_C_SECONDS)

    def action_leave(self) -> None:
        """Ask, where a job runs, and leave."""
        from workbench.tui.modals.questions import ConfirmModal

        if not self.live and not self.is_at_work:
            self.exit(0)
            return

        def answer(leave: bool | None) -> None:
            if leave:
                self.exit(0)

        told = on_leaving(self.live, self.session.tour, at_work=self.is_at_work)
        self.push_screen(ConfirmModal("Leave?", told, yes="Leave"), answer)

    # What is said

    def notify(
        self,
        message: str,
        *,
        title: str = "",
        severity: SeverityLevel = "information",
        timeout: float | None = None,
        markup: bool = False,
    ) -> None:
        """Tell something in passing, as plain text."""
        seconds = self.NOTIFICATION_TIMEOUT if timeout is None else timeout
        told = Told(
            printable(message, limit=_TOLD), printable(title, limit=_TOLD), severity, seconds
        )
        self.post_message(Notify(told))

    def _fatal_error(self) -> None:
        # Textual would print the locals of every frame, and records are among them.
        self.failure = what_failed(sys.exc_info()[1] or self._exception)
        self._close_messages_no_wait()

    def panic(self, *renderables: object) -> None:
        """Leave without printing what a library made of its own failure."""
        self._fatal_error()
