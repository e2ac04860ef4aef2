"""One run on a screen of its own."""

from __future__ import annotations

from textual import on
from textual.app import ComposeResult

from workbench.tui.hints import hint
from workbench.tui.screens.base import WorkbenchScreen
from workbench.tui.screens.run_panel import RunPanel
from workbench.tui.widgets.plain import Plain


class RunScreen(WorkbenchScreen):
    """Follows and steers one run; closing it changes nothing for the run."""

    PLACE = "runs"
    HELP_PAGE = "run"

    def __init__(self, run: str, name: str = "") -> None:
        """Show a run.

        Args:
            run: Its object id.
            name: What its adapter is called, where that is known.
        """
        super().__init__()
        self.run_id = run
        self._name = name

    @property
    def heading(self) -> str:
        """What the top line says."""
        return f"Run › {self._name or self.run_id}"

    def compose_body(self) -> ComposeResult:
        yield RunPanel(self.run_id)

    def on_mount(self) -> None:
        """Let the run's keys work at once."""
        self.query_one(RunPanel).focus()

    @on(RunPanel.Gone)
    async def _gone(self, event: RunPanel.Gone) -> None:
        await self.query_one(RunPanel).remove()
        text = f"{event.error.message}\n\n{hint(event.error)}\n\nEscape goes back to the runs."
        await self.query_one("#body").mount(Plain(text, classes="empty"))
