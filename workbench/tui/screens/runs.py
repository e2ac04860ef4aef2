"""All runs of the home: how each stands, the commands for them, and the way to watch one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.widgets import Button, DataTable

from workbench.runs.naming import RunNames, name_runs
from workbench.runs.state import RunState
from workbench.tui.run_commands import UNDER_WAY, remove_question, send, stop_question, takes
from workbench.tui.screens.base import WorkbenchScreen
from workbench.tui.screens.run import RunScreen
from workbench.tui.screens.run_rows import COLUMNS, detail_of, row_of
from workbench.tui.widgets.plain import Plain, cell, shown
from workbench.tui.work import WorkDone, WorkFailed
from workbench.wording import count

_OFFERED = (
    ("open", "Watch"), ("pause", "Pause"), ("resume", "Resume"), ("checkpoint", "Checkpoint"),
    ("stop", "Stop…"), ("remove", "Remove…"),
)  # fmt: skip
_EMPTY = (
    "No runs yet.\n\nStart one on the guided path: press F2, then n.\n"
    "What trains there shows up here, and so do runs started by commands."
)


@dataclass(frozen=True)
class Filter:
    """Which runs are listed."""

    name: str
    title: str
    takes: Callable[[RunState], bool]


FILTERS = (
    Filter("all", "All", lambda state: True),
    Filter("working", "Working", lambda state: not state.is_over),
    Filter("resumable", "Can go on", lambda state: state.is_resumable),
    Filter("ended", "Ended", lambda state: state.is_over and not state.is_resumable),
)


class RunsScreen(WorkbenchScreen):
    """The list keeps itself up to date from the app's watch on the folder of runs."""

    PLACE = "runs"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("p", "act('pause')", "Pause", id="runs.pause",
                tooltip="Seal a checkpoint and free the device within 10 seconds"),
        Binding("r", "act('resume')", "Resume", id="runs.resume",
                tooltip="Go on from the last checkpoint"),
        Binding("k", "act('checkpoint')", "Checkpoint", id="runs.checkpoint", show=False,
                tooltip="Seal a checkpoint now and go on"),
        Binding("s", "act('stop')", "Stop", id="runs.stop",
                tooltip="End the run for good and keep what it has learnt"),
        Binding("d,delete", "act('remove')", "Remove", id="runs.remove",
                tooltip="Destroy the run's key and delete its folder; its adapter stays"),
        Binding("f", "next_filter", "Filter", id="runs.filter",
                tooltip="List all runs, or those that work, can go on, or have ended"),
    ]  # fmt: skip

    def __init__(self) -> None:
        super().__init__()
        self._filter = FILTERS[0]
        self._names: dict[str, RunNames] = {}
        self._shown: dict[str, tuple[Text, ...]] = {}
        self._doing: dict[str, str] = {}

    def compose_body(self) -> ComposeResult:
        with Horizontal(id="runs-filter"):
            for each in FILTERS:
                yield Button(shown(each.title), id=f"filter-{each.name}")
        yield DataTable(cursor_type="row", zebra_stripes=False, id="runs-table")
        yield Plain(_EMPTY, id="runs-empty", classes="empty")
        yield Plain("", id="runs-detail")
        with Horizontal(id="runs-buttons"):
            for name, title in _OFFERED:
                yield Button(shown(title), id=f"act-{name}")

    def on_mount(self) -> None:
        """Take what the app knows already, and what it will learn."""
        table = self.query_one(DataTable)
        for title, width in COLUMNS:
            table.add_column(cell(title), width=width, key=title)
        table.focus()
        self.watch(self.workbench, "runs", self._take)
        self.app.theme_changed_signal.subscribe(self, lambda _: self._recolour())
        self.set_interval(1.0, self._tick)

    def on_screen_resume(self) -> None:
        """Show what changed while another screen was on top."""
        if self.query("#runs-table"):
            self._take(self.workbench.runs)

    # Listing

    def _take(self, runs: tuple[RunState, ...]) -> None:
        if any(state.run not in self._names for state in runs):
            known = self._names
            self.fetch("names", lambda _: name_runs(self.session.vault, runs, known))
        self._show(runs)

    def _tick(self) -> None:
        """Let the time of what works go on."""
        if any(not state.is_over for state in self.workbench.runs):
            self._show(self.workbench.runs)

    def _show(self, runs: tuple[RunState, ...]) -> None:
        if self.app.screen is not self:
            return
        listed = [state for state in runs if self._filter.takes(state)]
        rows = {state.run: self._row(state) for state in listed}
        table = self.query_one(DataTable)
        if list(rows) == list(self._shown):
            for run, row in rows.items():
                for (title, _), new, old in zip(COLUMNS, row, self._shown[run], strict=True):
                    if new != old:
                        table.update_cell(run, title, new)
        else:
            self._fill(rows)
        self._shown = rows
        for each in FILTERS:
            button = self.query_one(f"#filter-{each.name}", Button)
            number = sum(1 for state in runs if each.takes(state))
            button.label = shown(f"{each.title} {count(number)}")
            button.set_class(each is self._filter, "-on")
        table.display = bool(rows)
        empty = self.query_one("#runs-empty", Plain)
        empty.display = not rows
        if not rows:
            empty.show(self._why_empty(runs))
        self._offer()

    def _why_empty(self, runs: tuple[RunState, ...]) -> str:
        if runs:
            return "No run is like that. Press f for another filter."
        if self.session.is_made:
            return _EMPTY
        # Whoever has runs must not read here that there never were any.
        return (
            f"The vault is gone from {self.session.home}.\n\n"
            "Was the folder moved, or its disk taken away?\nPut it back, and all is here again."
        )

    def _recolour(self) -> None:
        """Make the rows anew: equal texts of another colour count as the same."""
        self._shown = {}
        self._show(self.workbench.runs)

    def _fill(self, rows: dict[str, tuple[Text, ...]]) -> None:
        """Put other rows into the table; the cursor stays on its run, or at its height."""
        table = self.query_one(DataTable)
        at, height = self._run_at_cursor(), table.cursor_row
        table.clear()
        for run, row in rows.items():
            table.add_row(*row, key=run)
        if rows:
            place = list(rows).index(at) if at in rows else min(height, len(rows) - 1)
            table.move_cursor(row=place, animate=False)

    def _row(self, state: RunState) -> tuple[Text, ...]:
        names = self._names.get(state.run, RunNames())
        return row_of(state, names, self.app.theme_variables)

    # The run at the cursor

    def _run_at_cursor(self) -> str:
        table = self.query_one(DataTable)
        if not table.is_valid_row_index(table.cursor_row):
            return ""
        return str(table.coordinate_to_cell_key(table.cursor_coordinate).row_key.value or "")

    @property
    def _state(self) -> RunState | None:
        run = self._run_at_cursor() if self._shown else ""
        return next((state for state in self.workbench.runs if state.run == run), None)

    def can(self, command: str) -> bool:
        """Say whether the run at the cursor takes this command now."""
        state = self._state
        if state is None or state.run in self._doing:
            return False
        return takes(state, command)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Hide what the run at the cursor does not take."""
        if action == "act":
            return bool(self.query("#runs-table")) and self.can(str(parameters[0]))
        return super().check_action(action, parameters)

    def _offer(self) -> None:
        for name, _ in _OFFERED:
            self.query_one(f"#act-{name}", Button).display = self.can(name)
        self.query_one("#runs-detail", Plain).show(self._detail())
        self.refresh_bindings()

    def _detail(self) -> str:
        state = self._state
        if state is None:
            return ""
        if state.run in self._doing:
            return self._doing[state.run]
        return detail_of(state, self._names.get(state.run, RunNames()))

    @on(DataTable.RowHighlighted)
    def _highlighted(self) -> None:
        self._offer()

    @on(DataTable.RowSelected)
    def _selected(self) -> None:
        if self.can("open"):
            self.action_act("open")

    @on(Button.Pressed)
    def _pressed(self, event: Button.Pressed) -> None:
        kind, _, name = (event.button.id or "").partition("-")
        if kind == "act" and self.can(name):
            self.action_act(name)
        elif kind == "filter":
            self._choose_filter(next(each for each in FILTERS if each.name == name))

    def action_next_filter(self) -> None:
        """Go on to the next filter."""
        self._choose_filter(FILTERS[(FILTERS.index(self._filter) + 1) % len(FILTERS)])

    def _choose_filter(self, chosen: Filter) -> None:
        self._filter = chosen
        self._show(self.workbench.runs)

    # Acting

    def action_act(self, command: str) -> None:
        """Open the run at the cursor, or send it a command; what destroys asks first."""
        state = self._state
        if state is None:
            return
        name = self._names.get(state.run, RunNames()).adapter
        if command == "open":
            self.app.push_screen(RunScreen(state.run, name))
            return
        if command not in ("stop", "remove"):
            self._do(command, state.run)
            return

        def answer(agreed: bool | None) -> None:
            if agreed:
                self._do(command, state.run)

        question = stop_question(state) if command == "stop" else remove_question(name or state.run)
        self.app.push_screen(question, answer)

    def _do(self, command: str, run: str) -> None:
        self._doing[run] = UNDER_WAY[command]
        self._offer()
        self.begin(f"{command}:{run}", lambda _: send(self.session, command, run))

    @on(WorkDone)
    def _done(self, event: WorkDone) -> None:
        if event.work == "names":
            self._names = event.result
            self._show(self.workbench.runs)
            return
        self._doing.pop(event.work.partition(":")[2], None)
        if event.result:
            self.app.notify(event.result)
        self._offer()

    def take_failure(self, event: WorkFailed) -> bool:
        """Names can be done without; a command that failed is told by a message."""
        self._doing.pop(event.work.partition(":")[2], None)
        self._offer()
        return event.work == "names"
