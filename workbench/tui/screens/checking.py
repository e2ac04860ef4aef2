"""What the screens share that check something long: one piece of work, its progress, a Stop."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from textual import on

from workbench.tui import work
from workbench.tui.screens.base import WorkbenchScreen
from workbench.tui.widgets.progress import ProgressLine


class CheckingScreen(WorkbenchScreen):
    """A screen with a `ProgressLine`, and at most one long piece of work.

    A subclass starts it with `check`, or with `do` where it writes, binds the action `stop`, and
    calls `end_work` in its handler of `WorkDone`.
    """

    # What is being done, said before the bar.
    PROGRESS: ClassVar[str] = ""
    COUNTS_BYTES: ClassVar[bool] = False
    _at_work: str = ""

    @property
    def is_at_work(self) -> bool:
        """Whether the long piece of work is under way."""
        return bool(self._at_work)

    def check(self, name: str, task: work.Task) -> None:
        """Do what only reads; a lock puts it off."""
        self._begin(name, task, self.fetch)

    def do(self, name: str, task: work.Task) -> None:
        """Do what writes."""
        self._begin(name, task, self.begin)

    def _begin(self, name: str, task: work.Task, begin: Callable[[str, work.Task], object]) -> None:
        if not self._at_work:
            self._at_work = name
            begin(name, task)
            self.refresh_bindings()

    @on(work.WorkProgressed)
    def _tell_progress(self, event: work.WorkProgressed) -> None:
        if event.work == self._at_work:
            told = self.progress_words(event.phase)
            line = self.query_one(ProgressLine)
            line.tell(event.done, event.total, told, bytes_=self.COUNTS_BYTES)

    def progress_words(self, phase: str) -> str:
        """Return what is said of a phase, which a room names by a code."""
        return self.PROGRESS

    def end_work(self) -> None:
        """Clear what was shown of the work."""
        self._at_work = ""
        self.query_one(ProgressLine).clear_line()
        self.refresh_bindings()

    def action_stop(self) -> None:
        """Stop the work; nothing half done stays."""
        if self._at_work:
            work.cancel(self, self._at_work)
            self.end_work()

    def take_failure(self, event: work.WorkFailed) -> bool:
        """Clear what was shown of the work; the message says the rest."""
        if event.work == self._at_work:
            self.end_work()
        return False

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer Stop while there is something to stop."""
        if action == "stop":
            return self.is_at_work
        return super().check_action(action, parameters)
