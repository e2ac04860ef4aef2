"""Everything about one run as it works: curve, figures, memory, protection, log.

The widget is told a run's state and its new events and calls no room. On a small terminal it
shows one view at a time; on a large one all of them.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable
from typing import Literal, get_args

from textual import events, on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.reactive import reactive
from textual.widgets import Button, Static

from workbench.runs.adjustments import adjustment_words
from workbench.runs.protocol import Event
from workbench.runs.state import RunState
from workbench.text import printable
from workbench.tui.widgets.loss_chart import LossChart
from workbench.tui.widgets.plain import Plain
from workbench.tui.widgets.run_events import EventTeller
from workbench.tui.widgets.run_figures import figures, memory_bars, progress_line
from workbench.tui.widgets.run_words import (
    ending_words,
    layer_lines,
    state_colour,
    state_words,
)

View = Literal["chart", "memory", "log", "air"]
VIEWS: tuple[View, ...] = get_args(View)
_TITLES = {"chart": "Curve", "memory": "Memory", "log": "Log", "air": "Air gap"}
_KEPT_LINES = 500
# Figures and curves that change more often cannot be read, and cost keys their answer.
_PAINT_SECONDS, _DRAW_SECONDS = 0.2, 0.6
# Columns of the figures and rows of the log, on a small and on a large terminal.
_SIDE, _LARGE_SIDE = 31, 50
_LOG, _LARGE_LOG = 3, 6


class RunMonitor(Vertical):
    """One run; `show` it a state, `add` it events, `note` what a button is doing."""

    view: reactive[View] = reactive[View]("chart")

    def __init__(self) -> None:
        super().__init__()
        self.state: RunState | None = None
        self._teller = EventTeller()
        self._lines: deque[str] = deque(maxlen=_KEPT_LINES)
        self._told = ""
        self._painted = self._drawn = 0.0
        self._will_paint = False
        self._curve: object = None

    def compose(self) -> ComposeResult:
        with Horizontal(id="run-head"):
            yield Static("", id="run-state", markup=False)
            yield Plain("", id="run-now", multiline=False)
        yield Static("", id="run-bar", markup=False)
        yield Plain("", id="run-said")
        with Horizontal(id="run-views"):
            for name in VIEWS:
                yield Button(_TITLES[name], id=f"view-{name}", classes="view")
        with Horizontal(id="run-main"):
            with Vertical(id="run-curve"):
                yield Plain("⠤ loss   ◆ held-out loss", id="run-legend", classes="muted")
                yield LossChart()
            with VerticalScroll(id="run-side", can_focus=False):
                yield Static("", id="run-figures", markup=False)
                yield Static("", id="run-memory", markup=False)
                with Vertical(id="run-air"):
                    yield Plain("Protection of the job", classes="title")
                    yield Plain("", id="run-layers")
        with VerticalScroll(id="run-log"):
            yield Plain("", id="run-lines")

    def on_mount(self) -> None:
        """Show the first view."""
        self.watch_view(self.view)
        self.app.theme_changed_signal.subscribe(self, lambda _: self._draw())

    def show(self, state: RunState) -> None:
        """Show where the run stands."""
        before, self.state = self.state, state
        if before is None or before.protection != state.protection:
            lines = layer_lines(state.protection)
            self.query_one("#run-layers", Plain).show("\n".join(lines) or "Not told yet.")
        self._say()
        if before is None or before.state != state.state:
            self._paint()
        else:
            self._paint_soon()

    def add(self, told: Iterable[Event]) -> None:
        """Add new events to the log."""
        lines = [line for event in told if (line := self._teller.line(event))]
        if not lines:
            return
        self._lines.extend(lines)
        self._fill_log()

    def note(self, text: str) -> None:
        """Say beside the state what a command is doing now; empty: nothing."""
        self.query_one("#run-now", Plain).show(text)

    def _fill_bars(self) -> None:
        state = self.state
        if state is None:
            return
        for name, make in (
            ("#run-bar", progress_line),
            ("#run-figures", figures),
            ("#run-memory", memory_bars),
        ):
            place = self.query_one(name, Static)
            if place.size.width:
                place.update(make(state, place.content_size.width), layout=False)

    def _say(self) -> None:
        assert self.state is not None
        said = self.query_one("#run-said", Plain)
        text = ending_words(self.state)
        if not text and self.state.adjustments:
            text = adjustment_words(self.state.adjustments[-1])
        if text != self._told:
            self._told = text
            said.show(text)
            said.display = bool(text)
            said.set_class(self.state.state in ("finished", "stopped"), "-calm")

    def _fill_log(self) -> None:
        place = self.query_one("#run-log", VerticalScroll)
        following = place.max_scroll_y - place.scroll_y < 1
        self.query_one("#run-lines", Plain).show("\n".join(self._lines))
        if following:
            place.scroll_end(animate=False)

    # Painting

    def _paint_soon(self) -> None:
        wait = self._painted + _PAINT_SECONDS - time.monotonic()
        if wait <= 0:
            self._paint()
        elif not self._will_paint:
            self._will_paint = True
            self.set_timer(wait, self._paint)

    def _paint(self) -> None:
        self._will_paint = False
        self._painted = time.monotonic()
        state = self.state
        if state is None or not self.query("#run-log"):  # lost or closed since this was asked for
            return
        words = Content.styled(printable(state_words(state)), f"bold {state_colour(state)}")
        self.query_one("#run-state", Static).update(words, layout=False)
        self._fill_bars()
        curve = state.curve, state.evaluations, state.steps
        due = self._drawn + _DRAW_SECONDS <= time.monotonic() or state.is_over
        if curve != self._curve and due:
            self._curve = curve
            self._draw()
        elif curve != self._curve:
            self._paint_soon()

    def _draw(self) -> None:
        self._drawn = time.monotonic()
        # None: the run was lost, or the screen closed, since this was asked for.
        chart = next(iter(self.query(LossChart)), None)
        if chart is not None and chart.size.width and self.state is not None:
            chart.draw(self.state)

    # Views

    def watch_view(self, view: View) -> None:
        """Show one view; on a large terminal all of them show anyway."""
        for name in VIEWS:
            self.query_one(f"#view-{name}").set_class(name == view, "-on")
        self._arrange()

    def _arrange(self) -> None:
        # Set on the parts themselves: a class on the whole would restyle all that is in it, which
        # takes longer than a key's answer may.
        large = self.screen.has_class("-wide") and self.screen.has_class("-high")
        view = self.view
        shown = {
            "#run-views": not large,
            "#run-main": large or view != "log",
            "#run-curve": large or view == "chart",
            "#run-figures": large or view == "chart",
            "#run-memory": large or view == "memory",
            "#run-air": large or view == "air",
        }
        for name, display in shown.items():
            self.query_one(name).display = display
        side, log = self.query_one("#run-side"), self.query_one("#run-log")
        side.styles.width = "1fr" if not shown["#run-curve"] else _LARGE_SIDE if large else _SIDE
        log.styles.height = "1fr" if not shown["#run-main"] else _LARGE_LOG if large else _LOG
        self.call_after_refresh(self._refill)

    @on(Button.Pressed, ".view")
    def _choose_view(self, event: Button.Pressed) -> None:
        event.stop()
        name = (event.button.id or "").removeprefix("view-")
        self.view = next(view for view in VIEWS if view == name)

    def on_resize(self, _: events.Resize) -> None:
        """Fit views, bars and curve to the new size."""
        self._arrange()

    def _refill(self) -> None:
        if not self.query("#run-log"):
            return
        self._fill_bars()
        self._draw()
        self.query_one("#run-log", VerticalScroll).scroll_end(animate=False)
