"""Train: name the adapter, start, and watch; closing the terminal changes nothing for the run."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.widgets import Button, Input

from workbench.errors import WorkbenchError
from workbench.recipe import Recipe, parse
from workbench.runs.drafts import Draft, keep_draft
from workbench.runs.state import RunState
from workbench.tui import work
from workbench.tui.screens.run_panel import RunPanel
from workbench.tui.screens.wizard.step import WizardStep
from workbench.tui.widgets.plain import Plain
from workbench.tui.widgets.text_input import TextInput
from workbench.wording import METHOD_NAMES, count, duration, size

if TYPE_CHECKING:
    from workbench.planning.nvidia_faults import Fault
    from workbench.planning.planner import Candidate
    from workbench.tui.session import Session, Tour

_UNNAMEABLE = re.compile(r"[^\w .+-]+")
_LONGEST_NAME = 80
# What to change, in the words of the screen, where the room's hint speaks of commands.
_HINTS = {
    "name_taken": "Type another name.",
    "bad_name": "Letters, digits, space, '.', '_', '+' and '-', at most 100.",
    "memory": "Step back to Fit: a shorter context, a smaller rank or QLoRA need less.",
    "disk": "Free some disk, or step back to Fit and take a smaller rank.",
    "empty_split": "Import the data again with smaller shares for validation and test.",
    "no_records": "Step back and choose another model, or look at the masks in Data.",
    "not_found": "It was removed meanwhile: step back and choose again.",
}
_PUBLISHED = ("finished", "stopped")
_STARTING = "Measuring the data, planning, and starting the job…"
_TOUR_RESUME = "press r: the run goes on from its last checkpoint."


@dataclass(frozen=True)
class _Preparation:
    """What stands in the form before the start."""

    dataset: str
    model: str
    name: str


class TrainStep(WizardStep):
    """Starts the run, shows it, and leads on when its adapter is in the library."""

    NAME = "train"
    TITLE = "Train"
    SENTENCE = "The run works in the background: you may close this, and come back to it."
    TOUR = "Enter starts the training; when it is done, Enter goes on to Review."

    def __init__(self) -> None:
        super().__init__()
        self._prepared: _Preparation | None = None
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
        self.begin("prepare", lambda _: _prepare(self.session, self.draft))

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

    def _fill_form(self, prepared: _Preparation) -> None:
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
        self.begin("plan", lambda _: _plan(self.session, self.draft))

    @property
    def _is_starting(self) -> bool:
        """Whether a start from here is under way, which belongs to the wizard."""
        return any(
            worker.name == "start-training" and not worker.is_finished
            for worker in self.app.workers
            if worker.node is self.wizard
        )

    def _tell_plan(self, told: tuple[Candidate, bool, tuple[Fault, ...]]) -> None:
        assert self._prepared is not None
        plan = self.query_one("#train-plan", Plain)
        candidate, fits, endings = told
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
            told = self._prepared
            plan = self.query_one("#train-plan", Plain)
            plan.show(f"{told.model} will learn from {told.dataset}.")
        self._say(refusal_words(event.error))
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
            self.begin("register", lambda _: _registered(self.session, state))
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


def start_run(session: Session, draft: Draft, name: str) -> Draft:
    """Start the run that a draft describes; return the draft with it, which is kept.

    Raises:
        WorkbenchError: As `start_training` and the recipe say.
    """
    from workbench.runs.training import start_training

    vault = session.vault
    started = start_training(
        vault, model=draft.model, dataset=draft.dataset, adapter=name,
        recipe=recipe_of(session.tour, draft),
    )  # fmt: skip
    # Kept at once: the terminal may be closed before the screen hears of it.
    with_run = draft.with_changes(run=started.run_id, adapter=name)
    keep_draft(vault, with_run)
    return with_run


def recipe_of(tour: Tour | None, draft: Draft) -> Recipe:
    """Return the recipe that was chosen; the demo brings its own, under what was changed in it.

    Raises:
        RecipeError: With every mistake at once.
    """
    base = tomllib.loads(tour.recipe.read_text("utf-8")) if tour is not None else {}
    return parse({**base, **draft.settings})


def free_name(wanted: str, taken: Iterable[str]) -> str:
    """Return `wanted` as a name that the library can take, numbered if it is there already."""
    name = _UNNAMEABLE.sub("-", wanted)[:_LONGEST_NAME].strip(" -.+") or "adapter"
    names = set(taken)
    found, number = name, 1
    while found in names:
        number += 1
        found = f"{name}-{number}"
    return found


def refusal_words(error: WorkbenchError) -> str:
    """Say what was refused and what to change, in the words of this screen."""
    return f"{error.message} {_HINTS.get(error.code, error.hint)}".strip()


def plan_words(model: str, dataset: str, plan: Candidate, fits: bool) -> str:
    """Return the plan in two sentences."""
    rank = f" of rank {plan.rank}" if plan.rank else ""
    first = (
        f"{model} will learn from {dataset} with {METHOD_NAMES[plan.method]}{rank}: "
        f"{count(plan.trained_parameters)} parameters are trained on records of up to "
        f"{count(plan.context)} tokens."
    )
    needs = f"That needs about {size(plan.predicted.total)} of memory"
    if not fits:
        return f"{first} {needs}, more than this machine has: step back to Fit."
    takes = f" and about {duration(plan.seconds)}" if plan.seconds else ""
    return f"{first} {needs}{takes}."


def ending_words(endings: Sequence[Fault]) -> list[str]:
    """Return what would end so long a run: the likeliest, and where the rest stands."""
    more = f" Doctor lists {len(endings) - 1} more." if len(endings) > 1 else ""
    return [f"▲ {each.text}{more}" for each in endings[:1]]


def _prepare(session: Session, draft: Draft) -> _Preparation:
    catalogue = session.vault.catalogue
    dataset = catalogue.get("dataset", draft.dataset).name
    model = catalogue.get("model", draft.model).name
    told = draft.adapter or (session.tour.adapter if session.tour else f"{dataset}-{model}")
    taken = [entry.name for entry in catalogue.entries("adapter")]
    return _Preparation(dataset, model, free_name(told, taken))


def _plan(session: Session, draft: Draft) -> tuple[Candidate, bool, tuple[Fault, ...]]:
    """Return the plan's choice or what comes nearest, whether it fits, and what would end it."""
    from workbench.models.shelf import model_facts
    from workbench.planning.overnight import warnings_for
    from workbench.planning.planner import make_plan
    from workbench.planning.probe import probe_hardware
    from workbench.runs.experience import with_experience
    from workbench.runs.training import measure_lengths

    catalogue = session.vault.catalogue
    base = catalogue.get("model", draft.model)
    data = catalogue.get("dataset", draft.dataset)
    plan = make_plan(
        model_facts(base),
        with_experience(probe_hardware(), session.vault, base.object_id),
        recipe=recipe_of(session.tour, draft),
        dataset=measure_lengths(session.vault, base, data),
    )  # fmt: skip
    chosen = plan.chosen
    if chosen is not None and chosen.fits:
        return chosen, True, warnings_for(chosen.seconds)
    return chosen or min(plan.candidates, key=lambda each: each.predicted.total), False, ()


def _registered(session: Session, state: RunState) -> str:
    """Return the adapter's name in the library, entered now if nobody did; empty: none came."""
    from workbench.adapters.registration import register_finished

    register_finished(session.vault)
    wanted = state.objects.get("adapter", "")
    entries = session.vault.catalogue.entries("adapter")
    return next((entry.name for entry in entries if entry.object_id == wanted), "")
