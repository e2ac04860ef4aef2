"""What the six steps of the guided path share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, cast

from textual import on
from textual.app import ComposeResult
from textual.containers import Container

from workbench.runs.drafts import Draft
from workbench.tui import work
from workbench.tui.part import Part
from workbench.tui.session import Locked

if TYPE_CHECKING:
    from workbench.tui.screens.wizard.screen import WizardScreen


class WizardStep(Container, Part):
    """One step. It is made anew each time it is entered, from the draft alone.

    A subclass composes its body, puts the focus on what goes on by default (so that Enter is
    enough), calls `change` for whatever was chosen, and `finish` when it is done. Keys that go
    on belong to the wizard's screen: `ctrl+n` calls `go_on`, Escape goes back.

    Attributes:
        NAME: The step's name in the draft.
        TITLE: Its name on the screen.
        SENTENCE: What it is for.
        TOUR: What the demo says to press here.
    """

    NAME: ClassVar[str]
    TITLE: ClassVar[str]
    SENTENCE: ClassVar[str]
    TOUR: ClassVar[str] = ""

    # Set by the wizard: while a step is taken away it no longer knows its screen, and a choice of
    # the last moment has to be kept all the same.
    owner: WizardScreen | None = None

    @property
    def wizard(self) -> WizardScreen:
        """The screen around it."""
        return self.owner or cast("WizardScreen", self.screen)

    @property
    def draft(self) -> Draft:
        """What has been chosen so far."""
        return self.wizard.draft

    @classmethod
    def lacks(cls, draft: Draft) -> str:
        """Say what must be chosen before this step can be entered; empty: nothing."""
        return ""

    def compose(self) -> ComposeResult:
        """Yield the step's widgets."""
        raise NotImplementedError

    def change(self, **changes: Any) -> None:
        """Note choices in the draft; it is kept sealed in the background."""
        self.wizard.change(**changes)

    def finish(self) -> None:
        """Go to the next step, or leave the path after the last."""
        self.wizard.go_next()

    def go_on(self) -> None:
        """Do what the default button does; called by ctrl+n."""
        self.finish()

    @on(work.WorkFailed)
    def _tell_failure(self, event: work.WorkFailed) -> None:
        event.stop()
        if isinstance(event.error, Locked):
            self.wizard.begin_again()
        elif not self.take_failure(event):
            self.wizard.show_error(event.error)

    def conceal(self) -> None:
        """Mask or forget the record text that this step shows: the vault was locked."""

    def take_failure(self, event: work.WorkFailed) -> bool:
        """Deal with work that failed; False leaves it to a message on the screen."""
        return False
