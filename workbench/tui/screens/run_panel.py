"""A run that can be watched and steered: the monitor, its follower, and its commands."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, ClassVar, cast

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, Horizontal
from textual.message import Message
from textual.widgets import Button

from workbench.errors import WorkbenchError
from workbench.runs.state import RunState
from workbench.tui import work
from workbench.tui.following import RunLost, RunMoved, follow_run
from workbench.tui.part import Part
from workbench.tui.pauses import spare_pauses
from workbench.tui.run_commands import UNDER_WAY, send, stop_question, takes
from workbench.tui.screens.samples import SamplesScreen
from workbench.tui.widgets.plain import shown
from workbench.tui.widgets.run_monitor import VIEWS, RunMonitor

if TYPE_CHECKING:
    from workbench.tui.screens.base import WorkbenchScreen

# The state that a command led to is told a moment later, and must not wipe what came of it.
_NOTE_SECONDS = 3.0
# By then the chart's libraries are loaded and the first picture stands.
_SETTLED_SECONDS = 2.0
_BUTTONS = (
    ("pause", "Pause"),
    ("resume", "Resume"),
    ("checkpoint", "Checkpoint now"),
    ("sample", "Sample now"),
    ("samples", "Samples"),
    ("stop", "Stop…"),
)


class RunPanel(Container, Part, can_focus=True):
    """One run of the home; posts `Moved` when its state changes and `Gone` when it is lost."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("p", "steer('pause')", "Pause", id="run.pause",
                tooltip="Seal a checkpoint and free the device within 10 seconds"),
        Binding("r", "steer('resume')", "Resume", id="run.resume",
                tooltip="Go on from the last checkpoint"),
        Binding("k", "steer('checkpoint')", "Checkpoint", id="run.checkpoint", show=False,
                tooltip="Seal a checkpoint now and go on"),
        Binding("t", "sample", "Sample", id="run.sample", show=False,
                tooltip="Let the model answer two held-out records after this step"),
        Binding("o", "samples", "Samples", id="run.samples", show=False,
                tooltip="Show what the model answered while it trained"),
        Binding("s", "stop", "Stop", id="run.stop", show=False,
                tooltip="End the run for good and keep what it has learnt"),
        Binding("v", "next_view", "View", id="run.next_view", show=False,
                tooltip="Show the next view: curve, memory, log, air gap"),
        Binding("c", "view('chart')", "Curve", id="run.view_chart", show=False,
                tooltip="Show the curve of the loss and the figures"),
        Binding("m", "view('memory')", "Memory", id="run.view_memory", show=False,
                tooltip="Show the job's memory beside what was predicted"),
        Binding("l", "view('log')", "Log", id="run.view_log", show=False,
                tooltip="Show the log of the run"),
        Binding("a", "view('air')", "Air gap", id="run.view_air", show=False,
                tooltip="Show the layers that protect the job"),
    ]  # fmt: skip

    class Moved(Message):
        """The run's state, when it is another than before."""

        def __init__(self, state: RunState) -> None:
            super().__init__()
            self.state = state

    class Gone(Message):
        """The run cannot be followed: its folder is gone, damaged or newer than this program."""

        def __init__(self, error: WorkbenchError) -> None:
            super().__init__()
            self.error = error

    def __init__(self, run: str) -> None:
        """Watch the run of this object id."""
        super().__init__()
        self.run_id = run
        self.state: RunState | None = None
        # A pause does not wait for a sample: that is asked for beside the other commands.
        self._doing = ""
        self._sampling = False
        self._noted_at = 0.0

    def compose(self) -> ComposeResult:
        yield RunMonitor()
        with Horizontal(id="panel-buttons"):
            for name, title in _BUTTONS:
                yield Button(shown(title), id=f"do-{name}", disabled=True)

    def on_mount(self) -> None:
        """Begin to follow."""
        self.set_timer(_SETTLED_SECONDS, spare_pauses)
        follow_run(self, self.session.home / "runs" / self.run_id)

    # Following

    @on(RunMoved)
    def _take(self, event: RunMoved) -> None:
        event.stop()
        monitor = self.query_one(RunMonitor)
        before, self.state = self.state, event.state
        monitor.show(event.state)
        monitor.add(event.events)
        event.taken()
        if before is None or before.state != event.state.state:
            if not self._doing and time.monotonic() - self._noted_at > _NOTE_SECONDS:
                monitor.note("")
            self._offer()
            self.post_message(self.Moved(event.state))
        elif before.samples != event.state.samples:
            self._offer()

    @on(RunLost)
    def _lose(self, event: RunLost) -> None:
        event.stop()
        self.state = None
        self._offer()
        self.post_message(self.Gone(event.error))

    # Steering

    def can(self, command: str) -> bool:
        """Say whether the run takes this command now."""
        if command == "samples":
            return self.state is not None and self.state.kind == "train"
        if command == "sample" and self._sampling:
            return False
        return self.state is not None and not self._doing and takes(self.state, command)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Hide commands that the run does not take now."""
        if action == "steer":
            return self.can(str(parameters[0]))
        if action in ("stop", "sample", "samples"):
            return self.can(action)
        return super().check_action(action, parameters)

    def _offer(self) -> None:
        for name, _ in _BUTTONS:
            button = self.query_one(f"#do-{name}", Button)
            offered = self.can(name)
            button.display = self._shows(name)
            button.disabled = not offered
        self.query_one("#panel-buttons").display = any(self._shows(name) for name, _ in _BUTTONS)
        if self.screen.focused is None or not self.screen.focused.focusable:
            self.focus()
        self.refresh_bindings()

    def _shows(self, name: str) -> bool:
        """Say whether a command has a button now; samples have one once there are some."""
        if name == "samples":
            return self.state is not None and self.state.samples > 0
        return self.can(name) or name == self._doing or (name == "sample" and self._sampling)

    @on(Button.Pressed)
    def _pressed(self, event: Button.Pressed) -> None:
        name = (event.button.id or "").removeprefix("do-")
        if name in dict(_BUTTONS):
            event.stop()
            if name in ("pause", "resume", "checkpoint"):
                self.action_steer(name)
            else:
                getattr(self, f"action_{name}")()

    def action_stop(self) -> None:
        """Ask, then end the run."""

        def answer(agreed: bool | None) -> None:
            if agreed and self.can("stop"):
                self.action_steer("stop")

        if self.state is not None:
            self.app.push_screen(stop_question(self.state), answer)

    def action_steer(self, command: str) -> None:
        """Send a command, and say what happens."""
        self._doing = command
        self._note(UNDER_WAY[command])
        self._offer()
        session = self.session
        self.begin(f"run-{command}", lambda _: send(session, command, self.run_id))

    def action_sample(self) -> None:
        """Ask for a sample, and say when it comes."""
        self._sampling = True
        self._note(UNDER_WAY["sample"])
        self._offer()
        session = self.session
        self.begin("run-sample", lambda _: send(session, "sample", self.run_id))

    def action_samples(self) -> None:
        """Show the samples that were taken so far."""
        self.app.push_screen(SamplesScreen(self.run_id))

    @on(work.WorkDone)
    def _steered(self, event: work.WorkDone) -> None:
        event.stop()
        self._ended(event.work)
        if event.result:
            self._note(event.result)
        self._offer()

    def _ended(self, ended: str) -> None:
        if ended == "run-sample":
            self._sampling = False
        else:
            self._doing = ""

    @on(work.WorkFailed)
    def _not_steered(self, event: work.WorkFailed) -> None:
        event.stop()
        self._ended(event.work)
        self._note("")
        self._offer()
        cast("WorkbenchScreen", self.screen).show_error(event.error)

    def _note(self, text: str) -> None:
        self._noted_at = time.monotonic()
        self.query_one(RunMonitor).note(text)

    # Views

    def action_view(self, name: str) -> None:
        """Show one view of the monitor; the arrow keys scroll the log."""
        monitor = self.query_one(RunMonitor)
        monitor.view = next(view for view in VIEWS if view == name)
        (monitor.query_one("#run-log") if name == "log" else self).focus()

    def action_next_view(self) -> None:
        """Show the view after this one."""
        at = VIEWS.index(self.query_one(RunMonitor).view)
        self.action_view(VIEWS[(at + 1) % len(VIEWS)])
