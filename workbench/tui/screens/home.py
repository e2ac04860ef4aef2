"""Home."""

from __future__ import annotations

from textual.app import ComposeResult

from workbench.tui.screens.base import WorkbenchScreen
from workbench.tui.widgets.plain import Plain


class HomeScreen(WorkbenchScreen):
    """What is here."""

    PLACE = "home"

    def compose_body(self) -> ComposeResult:
        yield Plain("Home")
