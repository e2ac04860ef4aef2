"""The list of places to go to: a letter, or the arrow keys and Enter."""

from __future__ import annotations

from typing import ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from workbench.tui.modals.base import WorkbenchModal
from workbench.tui.navigation import PLACES
from workbench.tui.widgets.plain import Plain, shown


class PlacesModal(WorkbenchModal[str | None]):
    """Returns the name of the chosen place, or None."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "close", "Close", id="places.close", tooltip="Stay where you are"),
    ]

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog wide"):
            yield Plain("Go to", classes="dialog-title")
            yield OptionList(
                *(Option(shown(f" {p.key}  {p.title:<16} {p.about}"), id=p.name) for p in PLACES)
            )

    @on(OptionList.OptionSelected)
    def _chosen(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(event.option.id)

    def on_key(self, event: events.Key) -> None:
        """Take a place's letter."""
        for place in PLACES:
            if event.key == place.key:
                event.stop()
                self.dismiss(place.name)

    def action_close(self) -> None:
        """Stay where one is."""
        self.dismiss(None)
