"""What every screen shares: its place, its frame, background work and errors."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.screen import Screen

from workbench.errors import WorkbenchError
from workbench.tui import work
from workbench.tui.modals.questions import MessageModal
from workbench.tui.navigation import BY_NAME
from workbench.tui.part import Part
from workbench.tui.session import Locked
from workbench.tui.widgets.keys_line import KeysLine
from workbench.tui.widgets.plain import Plain
from workbench.tui.widgets.top_line import TopLine

LEAST_WIDTH, LEAST_HEIGHT = 80, 24


class WorkbenchScreen(Screen[None], Part):
    """One screen: a line on top, a body, the demo's tour line, the keys.

    A subclass sets `PLACE`, composes its body in `compose_body`, and may set `TOUR`, what the demo
    says to press here. Keys have an `id`, so that they can be remapped, and a `tooltip`, which the
    command palette and F1 show.
    """

    # The rules of all places, a file each, read when the first of them opens. The door needs only
    # the frame's own, for nobody should wait for the rest there.
    CSS_PATH: ClassVar = sorted(Path(__file__).parents[1].glob("styles/*.tcss"))
    PLACE: ClassVar[str] = "home"
    TOUR: ClassVar[str] = ""
    # Whether it has to be done with before anybody goes elsewhere: the door, the recovery key.
    HOLDS: ClassVar[bool] = False
    # A `screen-` help page of its own, where it differs from the place's.
    HELP_PAGE: ClassVar[str] = ""
    # Textual declares these of an instance, so they cannot be class variables for mypy.
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (LEAST_WIDTH, "-normal"), (120, "-wide")]  # noqa: RUF012
    VERTICAL_BREAKPOINTS = [(0, "-short"), (LEAST_HEIGHT, "-tall"), (40, "-high")]  # noqa: RUF012
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "back", "Back", id="screen.back", tooltip="Go back to where you were"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._untold: list[Screen[None]] = []

    @property
    def heading(self) -> str:
        """What the top line calls this screen."""
        return BY_NAME[self.PLACE].title

    @property
    def help_page(self) -> str:
        """The name of this screen's page in the documentation."""
        return f"screen-{self.HELP_PAGE or self.PLACE}"

    def compose(self) -> ComposeResult:
        yield TopLine(self.heading)
        with Container(id="body"):
            yield from self.compose_body()
        if self.session.tour is not None:
            yield Plain(f"Tour: {self.TOUR}" if self.TOUR else "", id="tour")
        yield KeysLine()
        yield Plain("", id="too-small")

    def compose_body(self) -> ComposeResult:
        """Yield the widgets between the top line and the keys."""
        raise NotImplementedError

    def tell_tour(self, text: str) -> None:
        """Say on the demo's line what to press now; nothing outside the demo."""
        if self.session.tour is not None:
            self.query_one("#tour", Plain).show(f"Tour: {text}" if text else "")

    @on(events.ScreenResume)
    def _fill_top_line(self) -> None:
        line = self.query_one(TopLine)
        line.live, line.badge = self.workbench.live, self.workbench.badge

    @on(work.WorkFailed)
    def _tell_failure(self, event: work.WorkFailed) -> None:
        if not self.take_failure(event):
            self.show_error(event.error)

    def conceal(self) -> None:
        """Mask or forget the record text that this screen shows: the vault was locked."""

    def take_failure(self, event: work.WorkFailed) -> bool:
        """Deal with work that failed; False leaves it to a message on the screen."""
        return False

    def show_error(self, error: WorkbenchError) -> None:
        """Tell an error and what to do about it; of a locked vault the door tells already."""
        if not isinstance(error, Locked):
            self.tell(MessageModal.of_error(error))

    def tell(self, message: Screen[None]) -> None:
        """Open a message; behind the door it waits, for it may name what the vault holds."""
        if self.session.is_open:
            self.app.push_screen(message)
        else:
            self._untold.append(message)

    @on(events.ScreenResume)
    def _tell_what_waited(self) -> None:
        if self.session.is_open and self._untold:
            self.app.push_screen(self._untold.pop(0))

    def on_resize(self) -> None:
        """Keep the notice for small terminals current; the stylesheet decides when it shows."""
        width, height = self.app.size
        self.query_one("#too-small", Plain).show(
            f"This terminal is {width}x{height}.\n"
            f"The workbench needs {LEAST_WIDTH}x{LEAST_HEIGHT}: make the window larger.\n"
            "What runs goes on."
        )

    def action_back(self) -> None:
        """Go back to where one was."""
        self.workbench.go_back()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Hide Back where there is nothing to go back to."""
        if action == "back":
            return self.workbench.can_go_back
        return super().check_action(action, parameters)
