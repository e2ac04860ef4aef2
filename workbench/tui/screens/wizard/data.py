"""The first step of the guided path: files are chosen, checked, and sealed as a dataset."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.containers import Container

from workbench.tui.screens.wizard.data_stage import Stage
from workbench.tui.screens.wizard.step import WizardStep
from workbench.tui.widgets.plain import Plain
from workbench.tui.work import WorkDone, WorkFailed, WorkProgressed

STAGES = {"choose": "Choose", "check": "Check", "sealed": "Sealed"}


class DataStep(WizardStep):
    """Three stages: Choose files or a dataset, Check what they hold, see what was Sealed.

    The draft holds everything that the stages show: `files`, `reading` (with the stage that is
    open) and `dataset`.
    """

    NAME = "data"
    TITLE = "Data"
    SENTENCE = "Examples of what the model shall do: choose them, check them, seal them."
    TOUR = "Press Enter to look at the two sample files."
    stage: Stage | None = None
    TOURS: ClassVar[dict[str, str]] = {
        "choose": TOUR,
        "check": "Press Enter to seal the records in the vault.",
        "sealed": "The data is sealed. Press Enter to go on to the model.",
    }

    def compose(self) -> ComposeResult:
        yield Plain("", id="stages")
        yield Container(id="stage")

    async def on_mount(self) -> None:
        """Open the stage that the draft stands at."""
        tour = self.session.tour
        if tour is not None and not (self.draft.files or self.draft.dataset):
            files = tuple(str(path) for path in tour.files)
            self.change(files=files, reading={"name": tour.dataset})
        await self._show(self._stage_of_draft())

    def _stage_of_draft(self) -> str:
        if self.draft.dataset:
            return "sealed"
        return (
            "check" if self.draft.files and self.draft.reading.get("stage") == "check" else "choose"
        )

    def open_stage(self, name: str, said: str = "") -> None:
        """Open another stage; what it shows is already in the draft, `said` is told besides."""
        self.change(reading={**self.draft.reading, "stage": name})
        self.run_worker(self._show(name, said), exclusive=True, group="show-stage")

    async def _show(self, name: str, said: str = "") -> None:
        from workbench.tui.screens.wizard.data_check import CheckStage
        from workbench.tui.screens.wizard.data_choose import ChooseStage
        from workbench.tui.screens.wizard.data_sealed import SealedStage

        kinds: dict[str, type[Stage]] = {
            "choose": ChooseStage, "check": CheckStage, "sealed": SealedStage,
        }  # fmt: skip
        place = self.query_one("#stage", Container)
        await place.remove_children()
        told = [f"● {title}" if key == name else f"○ {title}" for key, title in STAGES.items()]
        self.query_one("#stages", Plain).show("   ".join(told))
        self.wizard.tell_tour(self.TOURS[name])
        self.stage = kinds[name](self, said)
        await place.mount(self.stage)
        self.screen.refresh_bindings()

    def go_on(self) -> None:
        """Do what the stage's default button does."""
        if self.stage is not None:
            self.stage.go_on()

    def conceal(self) -> None:
        """Hold no record any longer; the stage fetches them again once the vault is open."""
        if self.stage is not None:
            self.stage.conceal()

    @on(WorkDone)
    @on(WorkProgressed)
    def _end_here(self, event: WorkDone | WorkProgressed) -> None:
        """Keep the stages' own messages from the screen around."""
        event.stop()

    def take_failure(self, event: WorkFailed) -> bool:
        """Stages tell their failures themselves; what comes this far is of one that is gone."""
        return True
