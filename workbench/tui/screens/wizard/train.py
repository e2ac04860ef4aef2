"""Train: name the adapter, start, and watch; closing the terminal changes nothing for the run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.widgets import Button, Input

from workbench.runs.drafts import Draft
from workbench.tui import work
from workbench.tui.hints import told
from workbench.tui.screens.run_panel import RunPanel
from workbench.tui.screens.wizard.step import WizardStep
from workbench.tui.screens.wizard.train_work import (
    Preparation,
    ending_words,
    make_plan_for,
    plan_words,
    prepare,
    registered,
    start_run,
)
from workbench.tui.widgets.plain import Plain
from workbench.tui.widgets.text_input import TextInput

if TYPE_CHECKING:
    from workbench.planning.nvidia_faults import Fault
    from workbench.planning.planner import Candidate

_PUBLISHED = ("finished", "stopped")
_STARTING = "Measuring the data, planning, and starting the job…"
_TOUR_RESUME = "press r: the run goes on from its last checkpoint."


class TrainStep(WizardStep):
    """Starts the run, shows it, and leads on when its adapter is in the library."""

    NAME = "train"
    TITLE = "Train"
    SENTENCE = "The run works in the background: you may close this, and come back to it."
    TOUR = "Enter starts the training; when it is done, Enter goes on to Review."

    def __init__(self) -> None:
        super().__init__()
        self._prepared: Preparation | None = None
        self._registered = False

    @classmethod
    def lacks(cls, draft: Draft) -> str:
        """Training needs data and a model; settings may be left to the planner."""
        if not draft.dataset:
            return "Choose the data first."
        return "" if draft.model else "Choose a model first."

    def compose(self) -> ComposeResult:
        if self.draft.run:
            yield RunPanel(self.draft.run)
            with Horizontal(id="train-done"):
                yield Button("Review", id="train-review", variant="primary")
                yield Button("Train again", id="train-again")
                yield Plain("", id="train-said")
            return
        with Vertical(id="train-form"):
            yield Plain("Reading what was chosen…", id="train-plan")
            with Horizontal(id="train-name-row"):
                yield Plain("Name of the adapter:")
                yield TextInput(id="train-name", max_length=100)
            yield Plain("", id="train-said", classes="bad")
            with Horizontal(classes="buttons"):
                yield Button("Start", id="train-start", variant="primary", disabled=True)

    def on_mount(self) -> None:
        """Watch the run, or prepare one."""
        if self.draft.run:
            self.query_one("#train-done").display = False
            self.query_one(RunPanel).focus()
            return
        self.fetch("prepare", lambda _: prepare(self.session, self.draft))

    # Before the start

    @on(work.WorkDone)
    def _done(self, event: work.WorkDone) -> None:
        event.stop()
        if event.work == "prepare":
            self._fill_form(event.result)
        elif event.work == "plan":
            self._tell_plan(event.result)
        elif event.work == "register":
            self._offer_review(event.result)

    def _fill_form(self, prepared: Preparation) -> None:
        self._prepared = prepared
        self.query_one("#train-plan", Plain).show(
            f"{prepared.model} will learn from {prepared.dataset}. Making the plan…"
        )
        self.query_one("#train-name", Input).value = prepared.name
        start = self.query_one("#train-start", Button)
        if self._is_starting:
            # Started before somebody stepped back: a second start would be a second run.
            start.disabled = self.query_one("#train-name", Input).disabled = True
            self._say(_STARTING, bad=False)
        else:
            start.disabled = False
            start.focus()
        self.fetch("plan", lambda _: make_plan_for(self.session, self.draft))

    @property
    def _is_starting(self) -> bool:
        """Whether a start from here is under way, which belongs to the wizard."""
        return any(
            worker.name == "start-training" and not worker.is_finished
            for worker in self.app.workers
            if worker.node is self.wizard
        )

    def _tell_plan(self, planned: tuple[Candidate, bool, tuple[Fault, ...]]) -> None:
        assert self._prepared is not None
        plan = self.query_one("#train-plan", Plain)
        candidate, fits, endings = planned
        words = plan_words(self._prepared.model, self._prepared.dataset, candidate, fits)
        plan.show("\n".join([words, *ending_words(endings)]))

    @on(Input.Submitted, "#train-name")
    @on(Button.Pressed, "#train-start")
    def _start(self) -> None:
        start = self.query_one("#train-start", Button)
        if start.disabled:
            return
        start.disabled = True
        self.query_one("#train-name", Input).disabled = True
        self._say(_STARTING, bad=False)
        name = self.query_one("#train-name", Input).value.strip()
        session, draft = self.session, self.draft
        # On the wizard, not on this step: whoever steps back meanwhile finds the run here again.
        work.begin(self.wizard, "start-training", lambda _: start_run(session, draft, name))

    def take_failure(self, event: work.WorkFailed) -> bool:
        """Say beside the name what was refused, and let it be tried again."""
        if event.work == "register":
            self._say(f"The adapter is not in the library yet: {event.error.message}")
            return True
        if event.work not in ("prepare", "plan", "start-training") or self.draft.run:
            return False
        if event.work == "plan" and self._prepared is not None:
            chosen = self._prepared
            plan = self.query_one("#train-plan", Plain)
            plan.show(f"{chosen.model} will learn from {chosen.dataset}.")
        self._say(told(event.error, "train"))
        if event.work == "start-training":
            start, name = self.query_one("#train-start", Button), self.query_one(Input)
            start.disabled = name.disabled = False
            (name if event.error.code in ("name_taken", "bad_name") else start).focus()
        return True

    def _say(self, text: str, *, bad: bool = True) -> None:
        said = self.query_one("#train-said", Plain)
        said.set_class(bad, "bad")
        said.show(text)

    # While it runs, and after

    @on(RunPanel.Moved)
    def _moved(self, event: RunPanel.Moved) -> None:
        event.stop()
        state = event.state
        published = state.state in _PUBLISHED and state.step > 0
        self.query_one("#train-done").display = state.is_over and not (
            state.state == "paused" or published
        )
        review, again = (self.query_one(f"#train-{n}", Button) for n in ("review", "again"))
        review.display, again.display = False, True
        self.wizard.tell_tour(_TOUR_RESUME if state.is_resumable else self.TOUR)
        if published:
            self.begin("register", lambda _: registered(self.session, state))
        self.wizard.refresh_bindings()

    def _offer_review(self, name: str) -> None:
        if not name:
            self._say("No adapter came of it. Train again, or step back and change something.")
            self.query_one("#train-done").display = True
            return
        self._registered = True
        self._say(f"{name} is in the library.", bad=False)
        self.query_one("#train-done").display = True
        review = self.query_one("#train-review", Button)
        review.display = True
        review.focus()
        if name != self.draft.adapter:
            self.change(adapter=name)

    @on(RunPanel.Gone)
    def _gone(self, event: RunPanel.Gone) -> None:
        event.stop()
        self._say(f"{event.error.message} Train again, or step back.")
        self.query_one(RunPanel).display = False
        self.query_one("#train-done").display = True
        self.query_one("#train-review", Button).display = False
        self.query_one("#train-again", Button).focus()

    @on(Button.Pressed, "#train-review")
    def _review(self) -> None:
        self.finish()

    @on(Button.Pressed, "#train-again")
    def _again(self) -> None:
        self.change(run="", adapter="")
        self.wizard.open_step("train")

    def go_on(self) -> None:
        """Start, or go on to Review once there is an adapter."""
        if not self.draft.run:
            self._start()
        elif self._registered:
            self.finish()
        else:
            self.app.notify("Review opens when training has finished.")
