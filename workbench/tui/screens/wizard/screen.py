"""The guided path's frame: which step is open, what was chosen, going on and going back."""

from __future__ import annotations

from importlib import import_module
from threading import Lock
from typing import Any, ClassVar, cast

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container

from workbench.runs.drafts import Draft, discard_draft, keep_draft, load_draft
from workbench.tui import work
from workbench.tui.modals.questions import ConfirmModal
from workbench.tui.screens.base import WorkbenchScreen
from workbench.tui.screens.wizard.step import WizardStep
from workbench.tui.session import Locked, Session
from workbench.tui.widgets.plain import Plain
from workbench.tui.work import WorkDone, WorkFailed

STEPS = {
    "data": "data:DataStep",
    "model": "model:ModelStep",
    "fit": "fit:FitStep",
    "train": "train:TrainStep",
    "review": "review:ReviewStep",
    "keep": "keep:KeepStep",
}
_ORDER = tuple(STEPS)
# What a run stands on: with other choices it is the run of another draft.
_TRAINED_ON = ("dataset", "model", "settings")


def step_class(name: str) -> type[WizardStep]:
    """Import a step; heavy ones are loaded when somebody gets there."""
    module, _, found = STEPS[name].partition(":")
    return cast(
        "type[WizardStep]",
        getattr(import_module(f"workbench.tui.screens.wizard.{module}"), found),
    )


class WizardScreen(WorkbenchScreen):
    """From a file to an adapter. Closing it keeps the draft; opening it goes on where it was."""

    PLACE = "wizard"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+n", "next", "Next", id="wizard.next", tooltip="Do this step and go on"),
        Binding("ctrl+g", "previous", "Step back", id="wizard.previous",
                tooltip="Go back one step; nothing is lost"),
        Binding("ctrl+r", "start_over", "Start over", id="wizard.start_over", show=False,
                tooltip="Forget what was chosen here; datasets, models and runs stay"),
    ]  # fmt: skip

    def __init__(self, *, anew: bool = False) -> None:
        """Open the path; `anew` offers to start over where one has been begun."""
        super().__init__()
        self._anew = anew
        self.draft = Draft()
        self.step: WizardStep | None = None
        self._keeping = Lock()
        self._kept: Draft | None = None
        self._cut_short = False

    @property
    def help_page(self) -> str:
        """Each step has a page of its own."""
        return f"screen-wizard-{self.draft.step}"

    def compose_body(self) -> ComposeResult:
        yield Plain("", id="steps")
        yield Plain("", id="sentence", classes="muted")
        yield Container(id="step")

    def on_mount(self) -> None:
        """Go on with the draft that was kept."""
        self.fetch("load-draft", lambda _: load_draft(self.session.vault))

    @on(WorkDone)
    async def _loaded(self, event: WorkDone) -> None:
        if event.work == "load-draft":
            self.draft = event.result or Draft()
            await self._show_step()
            if self._anew and self.draft != Draft():
                self.action_start_over()
        elif event.work == "end-path":
            self.workbench.go("home")
        elif event.work == "start-training":
            await self._take_run(event.result)

    @on(WorkFailed)
    def _note_lock(self, event: WorkFailed) -> None:
        if isinstance(event.error, Locked):
            self.begin_again()

    def begin_again(self) -> None:
        """Open the step anew, once the vault is open again: it was locked under its work."""
        if not self.session.is_open or self.app.screen is not self:
            self._cut_short = True
        elif self.step is None:
            self.begin("load-draft", lambda _: load_draft(self.session.vault))
        else:
            self.run_worker(self._show_step(), exclusive=True, group="show-step")

    @on(events.ScreenResume)
    def _go_on_unlocked(self) -> None:
        if self._cut_short:
            self._cut_short = False
            self.begin_again()

    def take_failure(self, event: WorkFailed) -> bool:
        """Let the step that started training look first, if it is still the one that is open."""
        if event.work == "start-training" and self.step is not None and self.step.NAME == "train":
            return self.step.take_failure(event)
        return False

    async def _take_run(self, started: Draft) -> None:
        """Note the run that was started, unless something else was chosen meanwhile."""
        if any(getattr(self.draft, each) != getattr(started, each) for each in _TRAINED_ON):
            self._kept = None  # whoever started it kept the draft that it knew
            self._keep_soon()
            self.app.notify(
                "Training was started with what was chosen before; Runs has it.", severity="warning"
            )
            return
        self.change(run=started.run, adapter=started.adapter)
        if self.draft.step == "train":
            await self._show_step()

    def conceal(self) -> None:
        """Let the step that is open mask what it shows."""
        if self.step is not None:
            self.step.conceal()

    def change(self, **changes: Any) -> None:
        """Note choices and keep them sealed."""
        draft = self.draft.with_changes(**changes)
        if draft == self.draft:
            return
        self.draft = draft
        self._keep_soon()

    def _keep_soon(self) -> None:
        # The app's own work, for this screen may be closed before it has begun: then it knows its
        # app no more, and so the session is looked up here.
        session = self.session
        work.begin(self.workbench, "keep-draft", lambda _: self._keep(session), exclusive=False)

    def _keep(self, session: Session) -> None:
        # One writer at a time, and each writes what is newest by then: an older choice never
        # lands on top of a newer one.
        with self._keeping:
            draft = self.draft
            if draft is self._kept:  # a later change kept this one with it
                return
            if draft == Draft():
                discard_draft(session.vault)
            else:
                keep_draft(session.vault, draft)
            self._kept = draft

    def go_next(self) -> None:
        """Open the step after this one; after the last one the path is done."""
        place = _ORDER.index(self.draft.step) + 1
        if place < len(_ORDER):
            self.open_step(_ORDER[place])
            return
        self.draft = Draft()
        # Home reads the draft: it has to be gone before that opens.
        session = self.session
        self.begin("end-path", lambda _: self._keep(session))

    def open_step(self, name: str) -> None:
        """Open a step, if what it builds on has been chosen."""
        if lacking := step_class(name).lacks(self.draft):
            self.app.notify(lacking, severity="warning")
            return
        self.change(step=name)
        self.run_worker(self._show_step(), exclusive=True, group="show-step")

    async def _show_step(self) -> None:
        kind = step_class(self.draft.step)
        if kind.lacks(self.draft):  # what it built on was removed meanwhile
            self.draft = self.draft.with_changes(step="data")
            kind = step_class("data")
        place = self.query_one("#step", Container)
        await place.remove_children()
        self.step = kind()
        self.step.owner = self
        self.query_one("#steps", Plain).show(_trail(kind.NAME))
        self.query_one("#sentence", Plain).show(kind.SENTENCE)
        self.tell_tour(kind.TOUR)
        await place.mount(self.step)
        self.refresh_bindings()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer to step back only where there is a step before."""
        if action == "previous":
            return self.draft.step != _ORDER[0]
        return super().check_action(action, parameters)

    def action_next(self) -> None:
        """Do what the step's default button does."""
        if self.step is not None:
            self.step.go_on()

    def action_previous(self) -> None:
        """Go back one step."""
        place = _ORDER.index(self.draft.step)
        if place:
            self.open_step(_ORDER[place - 1])

    def action_start_over(self) -> None:
        """Ask, then forget the draft."""

        def answer(agreed: bool | None) -> None:
            if agreed:
                self.draft = Draft()
                self._keep_soon()
                self.run_worker(self._show_step(), exclusive=True, group="show-step")

        text = (
            "This path has been begun and goes on where it was. Starting over forgets what was "
            "chosen on it; datasets, models and runs stay."
        )
        self.app.push_screen(ConfirmModal("Start over?", text, yes="Start over"), answer)


def _trail(name: str) -> str:
    parts = []
    for place, step in enumerate(_ORDER, 1):
        title = step_class(step).TITLE if step == name else step.capitalize()
        parts.append(f"▸{place} {title}" if step == name else f" {place} {title}")
    return "  ".join(parts)
