"""What all parts of the screens have: their app, the home and its vault, work in a thread."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from textual.dom import DOMNode
from textual.worker import Worker

from workbench.tui import work

if TYPE_CHECKING:
    from workbench.tui.app import WorkbenchApp
    from workbench.tui.session import Session


class Part(DOMNode):
    """A screen, or a part of one, of the workbench's app.

    It stands last among the bases: Textual takes the style rules from the first one.
    """

    @property
    def workbench(self) -> WorkbenchApp:
        """The app, with its own type."""
        return cast("WorkbenchApp", self.app)

    @property
    def session(self) -> Session:
        """The home and its vault."""
        return self.workbench.session

    def begin(self, name: str, task: work.Task, *, exclusive: bool = True) -> Worker[None]:
        """Do `task` in a thread; see `workbench.tui.work.begin`."""
        return work.begin(self, name, task, exclusive=exclusive)

    def fetch(self, name: str, task: work.Task) -> None:
        """Read something in a thread; see `workbench.tui.work.fetch`."""
        work.fetch(self, name, task)
