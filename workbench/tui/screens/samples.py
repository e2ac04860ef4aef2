"""What a run's model answered while it trained: asked for here too, hidden until revealed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, NamedTuple

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal

from workbench.runs.samples import Answer, Sample, samples_of
from workbench.runs.state import RunState
from workbench.tui.following import RunLost, RunMoved, follow_run
from workbench.tui.run_commands import UNDER_WAY, send, takes
from workbench.tui.screens.base import WorkbenchScreen
from workbench.tui.widgets.plain import Plain
from workbench.tui.widgets.turns import Turns
from workbench.tui.work import WorkDone, WorkFailed
from workbench.wording import count

_HIDDEN = "hidden: r shows the text"
_REVEALED = "shown: r hides the text"
_SPEAKERS = {"system": "System", "user": "Asked", "assistant": "Answered before", "": "Begins"}
_NONE_YET = (
    "No samples yet.\n\nPress t: after the step at hand, the model as it stands answers two "
    "records that it was not trained on. Then it trains on as if nothing had been."
)
_NONE = (
    "No samples were taken of this run.\n\nThey are asked for while it trains. What has been "
    "learnt can be talked to in the Playground: press F2, then p."
)
_READING = "Reading what was sealed…"


class _Shown(NamedTuple):
    """One record of one sample."""

    sample: Sample
    place: int

    @property
    def answer(self) -> Answer:
        return self.sample.answers[self.place]

    @property
    def name(self) -> tuple[int, int]:
        return self.sample.number, self.place


class SamplesScreen(WorkbenchScreen):
    """One record at a time, the newest sample first; left and right turn to the others."""

    PLACE = "runs"
    HELP_PAGE = "samples"
    TOUR = "t lets the model answer, r shows the text; Esc goes back."
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("t", "take", "Sample", id="samples.take",
                tooltip="Let the model answer two held-out records after this step"),
        Binding("r", "reveal", "Reveal", id="samples.reveal",
                tooltip="Show the text, or hide it again"),
        Binding("left", "turn(-1)", "Earlier", id="samples.previous",
                tooltip="Turn to the record before this one"),
        Binding("right", "turn(1)", "Later", id="samples.next",
                tooltip="Turn to the record after this one"),
    ]  # fmt: skip

    def __init__(self, run: str) -> None:
        """Show the samples of the run of this object id."""
        super().__init__()
        self.run_id = run
        self.state: RunState | None = None
        self._asked = self._read = False
        self._gone = ""
        self._shown: list[_Shown] = []
        self._place = 0

    @property
    def heading(self) -> str:
        """What the top line says."""
        return "Run › Samples"

    def compose_body(self) -> ComposeResult:
        with Horizontal(classes="line"):
            yield Plain("", id="which")
            yield Plain(_HIDDEN, id="hidden", classes="muted")
        yield Plain("", id="said", classes="muted")
        yield Turns(id="turns")
        yield Plain(_READING, id="none", classes="empty")

    def on_mount(self) -> None:
        """Begin to follow the run: others may ask it too."""
        self.query_one(Turns).display = False
        follow_run(self, self.session.home / "runs" / self.run_id)

    def on_screen_resume(self) -> None:
        """Open what is sealed; again where it was forgotten when the vault was locked."""
        self._fetch()

    # The run

    @on(RunMoved)
    def _moved(self, event: RunMoved) -> None:
        before, self.state = self.state, event.state
        event.taken()
        # Also at the first word of the run: the folder was read before it, perhaps too early.
        if event.state.samples != (before.samples if before is not None else 0):
            self._fetch()
        if before is None or before.state != event.state.state:
            self._tell_none()
            self.refresh_bindings()

    @on(RunLost)
    def _lost(self, event: RunLost) -> None:
        self.state = None
        self._gone = f"{event.error.message}\n\n{event.error.hint}\n\nEscape goes back."
        self._say(event.error.message if self._shown else "")
        self._tell_none()
        self.refresh_bindings()

    def action_take(self) -> None:
        """Ask for a sample."""
        self._asked = True
        self._say(UNDER_WAY["sample"])
        self.refresh_bindings()
        self.begin("take", lambda _: send(self.session, "sample", self.run_id))

    @on(WorkDone)
    async def _done(self, event: WorkDone) -> None:
        if event.work == "take":
            self._asked = False
            self._say(event.result)
            self.refresh_bindings()
        elif event.work == "samples":
            await self._take(event.result)

    def take_failure(self, event: WorkFailed) -> bool:
        """Let it be asked for again."""
        if event.work == "take":
            self._asked = False
            self._say("")
            self.refresh_bindings()
        return False

    def _say(self, text: str) -> None:
        self.query_one("#said", Plain).show(text)

    # The samples

    def _fetch(self) -> None:
        if self.session.is_open:
            self.fetch("samples", lambda _: samples_of(self.session.vault, self.run_id))

    async def _take(self, samples: Sequence[Sample]) -> None:
        """Show the newest sample, unless somebody reads an earlier one."""
        before = self._shown[self._place].name if self._shown else (0, 0)
        newest = self._shown[-1].sample.number if self._shown else 0
        self._read = True
        self._shown = [
            _Shown(sample, place) for sample in samples for place in range(len(sample.answers))
        ]
        names = [each.name for each in self._shown]
        outdated = before[0] == newest < (names[-1][0] if names else 0)
        if before in names and not outdated:
            self._place = names.index(before)
        else:
            self._place = names.index((names[-1][0], 0)) if names else 0
        await self._draw()

    async def _draw(self) -> None:
        turns = self.query_one(Turns)
        turns.display = bool(self._shown)
        self._tell_none()
        which = self.query_one("#which", Plain)
        if not self._shown:
            which.show("")
            await turns.show(())
        else:
            shown = self._shown[self._place]
            which.show(_which(shown))
            await turns.show(_turns(shown))
            turns.focus()
        self.refresh_bindings()

    def _tell_none(self) -> None:
        none = self.query_one("#none", Plain)
        none.display = not self._shown
        if self._gone or self.state is None or not self._read:
            none.show(self._gone or _READING)
        else:
            none.show(_NONE_YET if takes(self.state, "sample") else _NONE)

    async def _forget(self) -> None:
        await self._draw()

    def conceal(self) -> None:
        """Hold no text any longer."""
        self._reveal(False)
        self._shown, self._read = [], False
        self.run_worker(self._forget(), exclusive=True, group="forget")

    def action_reveal(self) -> None:
        """Show the text, or hide it."""
        self._reveal(not self.query_one(Turns).revealed)

    def _reveal(self, revealed: bool) -> None:
        self.query_one(Turns).revealed = revealed
        self.query_one("#hidden", Plain).show(_REVEALED if revealed else _HIDDEN)

    async def action_turn(self, records: int) -> None:
        """Turn to a neighbour."""
        self._place += records
        await self._draw()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Hide what the run does not take, and what would turn beyond the ends."""
        if action == "take":
            return self.state is not None and not self._asked and takes(self.state, "sample")
        if action == "reveal":
            return bool(self._shown)
        if action == "turn" and isinstance(parameters[0], int):
            return 0 <= self._place + parameters[0] < len(self._shown)
        return super().check_action(action, parameters)


def _which(shown: _Shown) -> str:
    sample = shown.sample
    of = f"record {shown.place + 1} of {len(sample.answers)}"
    learnt = "" if sample.held_out else " (trained on)"
    return f"Step {count(sample.step)} · sample {count(sample.number)}, {of}{learnt}"


def _turns(shown: _Shown) -> list[tuple[str, str]]:
    answer = shown.answer
    cut = "" if answer.ended else ", cut there"
    model = f"The model, after step {count(shown.sample.step)}"
    return [
        *((_SPEAKERS.get(role, role), text) for role, text in answer.asked),
        ("Expected", answer.expected),
        (f"{model} ({count(answer.tokens, 'token')}{cut})", answer.text),
    ]
