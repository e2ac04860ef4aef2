"""What card each method needs, and a card to lay the run against."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.widgets import Button, OptionList
from textual.widgets.option_list import Option

from workbench.tui.modals.base import WorkbenchModal
from workbench.tui.widgets.plain import Plain, shown


class CardsModal(WorkbenchModal[int | None]):
    """Returns the bytes of the chosen card, 0 for this machine, or None."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "close", "Close", id="cards.close", tooltip="Look at what you did"),
    ]

    def __init__(self, needs: str, rows: Sequence[tuple[int, str]], chosen: int) -> None:
        """Ask.

        Args:
            needs: The least that each method needs, in words.
            rows: Cards to choose from: their bytes and what stands in the row.
            chosen: The card that is looked at now.
        """
        super().__init__()
        self._needs = needs
        self._rows = rows
        self._chosen = chosen

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog cards"):
            yield Plain("What card would I need?", classes="dialog-title")
            yield Plain(self._needs, id="needs")
            yield OptionList(*(Option(shown(text), id=str(card)) for card, text in self._rows))
            with Horizontal(classes="buttons"):
                yield Button("Close", id="close", variant="primary")

    def on_mount(self) -> None:
        """Mark the card that is looked at."""
        cards = self.query_one(OptionList)
        cards.highlighted = [card for card, _ in self._rows].index(self._chosen)
        cards.focus()

    @on(OptionList.OptionSelected)
    def _picked(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(int(event.option.id or 0))

    @on(Button.Pressed, "#close")
    def action_close(self) -> None:
        """Stay with the card there is."""
        self.dismiss(None)
