"""Home: what is here, what runs, whether the air gap holds, and the one thing to do next."""

from __future__ import annotations

from typing import ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.widgets import Button, OptionList
from textual.widgets.option_list import Option

from workbench.runs.state import RunState
from workbench.tui.hints import hint
from workbench.tui.overview import NextStep, Overview, look, next_step, progress_line, run_counts
from workbench.tui.protection import badge, verdict
from workbench.tui.screens.base import WorkbenchScreen
from workbench.tui.widgets.plain import Plain, shown
from workbench.tui.work import WorkDone, WorkFailed

_KINDS = (("datasets", "Datasets"), ("models", "Models"), ("runs", "Runs"),
          ("adapters", "Adapters"))  # fmt: skip
_FIRST = {
    "datasets": "none yet: step 1 of New fine-tuning makes one (n)",
    "models": "none: Models (m) adds a folder of yours or the starter",
    "runs": "none yet",
    "adapters": "none yet: each training run makes one",
}
_SHOWN_RUNS = 3


class HomeScreen(WorkbenchScreen):
    """Where one starts, and comes back to."""

    PLACE = "home"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("n", "open('wizard')", "Fine-tune", id="home.wizard",
                tooltip="Open the guided path: from a file to an adapter"),
        Binding("r", "open('runs')", "Runs", id="home.runs",
                tooltip="Follow, pause, resume or stop what trains"),
        Binding("g", "air_gap", "Air gap", id="home.air_gap",
                tooltip="List the layers that keep this program off the network"),
        Binding("d", "open('datasets')", "Datasets", id="home.datasets", show=False,
                tooltip="Look into the sealed data"),
        Binding("m", "open('models')", "Models", id="home.models", show=False,
                tooltip="Look at the shelf of base models"),
        Binding("a", "open('adapters')", "Adapters", id="home.adapters", show=False,
                tooltip="Look into the library of adapters"),
    ]  # fmt: skip

    def __init__(self) -> None:
        super().__init__()
        self._seen: Overview | None = None
        self._next: NextStep | None = None
        self._known: tuple[str, ...] = ()

    def compose_body(self) -> ComposeResult:
        with Vertical(id="next"):
            yield Plain("Looking at what is here…", id="says", classes="title")
            yield Plain("", id="about", classes="muted")
            with Horizontal(id="do"):
                yield Button("…", id="next-button", variant="primary", disabled=True)
        yield Plain("Here", classes="heading")
        yield OptionList(*(Option(shown(_row(t, "", ""))) for _, t in _KINDS), id="here")
        yield Plain("At work", classes="heading")
        yield Plain("", id="live")
        yield Plain("This machine", classes="heading")
        yield Plain("", id="gap")
        yield Plain(f"  Vault  {self.session.home}", id="where-home", classes="muted")

    def on_mount(self) -> None:
        """Follow the runs, and say how the air gap stands."""
        protection = self.workbench.protection
        self.query_one("#gap", Plain).show(f"  {badge(protection)}. {verdict(protection)}")
        self.watch(self.workbench, "live", self._take_live)
        self.watch(self.workbench, "grown", self._look, init=False)

    @on(events.ScreenResume)
    def _look(self) -> None:
        if self.session.is_open:
            self.fetch("look", lambda _: look(self.session.vault))

    def _take_live(self, live: tuple[RunState, ...]) -> None:
        self._show_live(live)
        known = tuple(f"{run.run} {run.state}" for run in live)
        if known != self._known:
            self._known = known
            self._look()

    @on(WorkDone)
    def _show(self, event: WorkDone) -> None:
        seen: Overview = event.result
        self._seen = seen
        self._show_next(next_step(seen))
        rows = self.query_one("#here", OptionList)
        at = rows.highlighted
        rows.clear_options()
        rows.add_options(
            [Option(shown(self._kind_row(seen, *kind)), id=kind[0]) for kind in _KINDS]
        )
        rows.highlighted = at
        self._show_live(self.workbench.live)

    def take_failure(self, event: WorkFailed) -> bool:
        """Say on the screen what keeps it from looking; it looks again when something changes."""
        self.query_one("#says", Plain).show(event.error.message)
        self.query_one("#about", Plain).show(hint(event.error))
        return True

    def _show_next(self, step: NextStep) -> None:
        self._next = step
        self.query_one("#says", Plain).show(step.says)
        self.query_one("#about", Plain).show(step.about)
        button = self.query_one("#next-button", Button)
        button.label = shown(step.button)
        button.refresh(layout=True)
        if button.disabled:
            button.disabled = False
            button.focus()
        self.tell_tour(f"press Enter: {step.button}.")

    def _kind_row(self, seen: Overview, name: str, title: str) -> str:
        if name == "runs":
            number, told = len(seen.runs), run_counts(seen.runs)
        else:
            names = seen.names.get(name.removesuffix("s"), ())
            number, told = len(names), ", ".join(names[:4]) + (", …" if len(names) > 4 else "")
        return _row(title, str(number), told or _FIRST[name])

    def _show_live(self, live: tuple[RunState, ...]) -> None:
        seen = self._seen or Overview()
        lines = [
            line
            for run in live[:_SHOWN_RUNS]
            for line in (f"  {seen.about(run)}", f"  {progress_line(run)}")
        ]
        if len(live) > _SHOWN_RUNS:
            lines.append(f"  and {len(live) - _SHOWN_RUNS} more: Runs (r) has them all")
        self.query_one("#live", Plain).show("\n".join(lines) or "  Nothing runs.")

    @on(Button.Pressed, "#next-button")
    def _do_next(self) -> None:
        if self._next is not None:
            self.workbench.go(self._next.place)

    @on(OptionList.OptionSelected, "#here")
    def _open_kind(self, event: OptionList.OptionSelected) -> None:
        if event.option.id:
            self.workbench.go(event.option.id)

    def action_open(self, place: str) -> None:
        """Go to a place."""
        self.workbench.go(place)

    def action_air_gap(self) -> None:
        """List the layers of the air gap."""
        from workbench.tui.modals.air_gap import AirGapModal

        self.app.push_screen(AirGapModal(self.workbench.protection))


def _row(title: str, number: str, told: str) -> str:
    return f" {title:<10}{number:>4}  {told}"
