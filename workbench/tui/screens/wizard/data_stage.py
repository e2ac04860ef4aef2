"""What the three stages of the Data step share."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.css.query import NoMatches
from textual.widget import Widget
from textual.widgets import Button, TabbedContent

from workbench.tui import work
from workbench.tui.hints import told
from workbench.tui.part import Part
from workbench.tui.screens.wizard.data_work import Preview
from workbench.tui.session import Locked
from workbench.tui.widgets.histogram import Histogram
from workbench.tui.widgets.plain import Plain
from workbench.tui.widgets.records import RecordView

if TYPE_CHECKING:
    from workbench.tui.screens.wizard.data import DataStep


class Stage(Container, Part):
    """One stage. It reads the draft, and its default button `#go` has the focus."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f4", "reveal", "Reveal", id="data.reveal",
                tooltip="Show the records' text, or hide it again"),
        Binding("f6", "next_view", "View", id="data.next_view",
                tooltip="Show the next of the views side by side"),
        Binding("right", "turn(1)", "Next record", id="data.next_record", show=False,
                tooltip="Show the next record"),
        Binding("left", "turn(-1)", "Previous record", id="data.previous_record", show=False,
                tooltip="Show the record before"),
    ]  # fmt: skip

    def __init__(self, step: DataStep, said: str = "") -> None:
        """Belong to `step`; `said` is what the stage says when it opens."""
        super().__init__()
        self.step = step
        self.said = said
        self._preview = Preview()
        self._place = 0

    def say(self, text: str, *, kind: str = "bad") -> None:
        """Say something above the buttons: what went wrong, or what is going on."""
        line = self.query_one("#said", Plain)
        line.set_classes(kind)
        line.show(text)

    @on(work.WorkFailed)
    def _tell(self, event: work.WorkFailed) -> None:
        event.stop()
        if isinstance(event.error, Locked):
            self.step.wizard.begin_again()
        else:
            self.failed(event)

    def failed(self, event: work.WorkFailed) -> None:
        """Say what failed; a stage may do more."""
        self.say(told(event.error, "data"))

    def go_on(self) -> None:
        """Do what the default button does."""
        button = self.query_one("#go", Button)
        if not button.disabled:
            button.press()
        else:
            self.app.notify("Not yet: look above for what is missing or still at work.")

    def conceal(self) -> None:
        """Forget the records, and ask for them again, which waits for the vault's unlocking."""

    # Records and lengths

    def forget_preview(self) -> None:
        """Hold and show no record any longer; what else the stage tells stays."""
        self._preview = Preview()
        view = self.query_one(RecordView)
        view.revealed = False
        view.show(())

    def show_preview(self, preview: Preview) -> None:
        """Show the records and the lengths."""
        self._preview = preview
        self._place = min(self._place, max(len(preview.pieces) - 1, 0))
        self.query_one(Histogram).show(preview.lengths, preview.context)
        self._show_record()
        self.screen.refresh_bindings()

    def _show_record(self) -> None:
        preview = self._preview
        view = self.query_one(RecordView)
        if not preview.pieces:
            view.show((), "No record to show.")
            return
        seen_by = f"as {preview.model} sees it" if preview.model else "as it stands"
        if preview.fault is not None:
            seen_by = f"as it stands: {told(preview.fault, 'data')}"
        place = f"{self._place + 1} of {len(preview.pieces)} (← →)"
        caption = f"{place} · {preview.captions[self._place]} · {seen_by}"
        view.show(preview.pieces[self._place], caption)

    def action_turn(self, by: int) -> None:
        """Show another record."""
        self._place = (self._place + by) % max(len(self._preview.pieces), 1)
        self._show_record()

    def action_reveal(self) -> None:
        """Show the text, or hide it again."""
        self.query_one(RecordView).toggle()

    def action_next_view(self) -> None:
        """Show the next view and put the focus into it."""
        tabs = self.query_one(TabbedContent)
        names = [pane.id or "" for pane in tabs.query("TabPane")]
        self.open_view(names[(names.index(tabs.active) + 1) % len(names)])

    def open_view(self, name: str, focus: str = "") -> None:
        """Show a view; put the focus on `focus`, or on the first thing in it that takes it."""
        tabs = self.query_one(TabbedContent)
        # A focus that stays behind in the old view would open that again.
        self.screen.set_focus(None)
        tabs.active = name
        pane = tabs.get_pane(name)
        wanted = pane.query(focus or "*")
        self.call_after_refresh(self._focus_first, [*wanted])

    def _focus_first(self, widgets: list[Widget]) -> None:
        for widget in widgets:
            if widget.focusable:
                widget.focus()
                return
        self.focus_default()

    def focus_default(self) -> None:
        """Put the focus on the default button, or on one beside it: without it no key works."""
        buttons = [self.query_one("#go", Button), *self.query(".buttons Button").results(Button)]
        usable = [button for button in buttons if button.focusable]
        if usable:
            usable[0].focus()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer turning pages only among the records, and views only where there are some."""
        if action in {"reveal", "next_view", "turn"}:
            try:
                tabs = self.query_one(TabbedContent)
            except NoMatches:
                return False
            return action == "next_view" or (
                tabs.active == "records" and bool(self._preview.pieces)
            )
        return super().check_action(action, parameters)

    @on(TabbedContent.TabActivated)
    def _offer(self) -> None:
        self.screen.refresh_bindings()
