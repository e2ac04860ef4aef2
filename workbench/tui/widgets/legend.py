"""The parts of a bar with their amounts; each opens its explanation."""

from __future__ import annotations

from typing import ClassVar, NamedTuple

from textual import events
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.geometry import Size
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget

from workbench.text import printable

_LEAST, _MOST = 23, 26


class Entry(NamedTuple):
    """One entry: what it opens, its character and colour, its name and amount in words."""

    term: str
    glyph: str
    colour: str
    name: str
    amount: str


class Legend(Widget, can_focus=True):
    """Entries in columns; the arrow keys go from one to the next, Enter opens it."""

    DEFAULT_CSS = "Legend { height: auto; width: 1fr; }"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "open", "Explain", id="legend.open", show=False,
                tooltip="Explain the marked part"),
        Binding("left", "step(-1)", "Before", id="legend.left", show=False,
                tooltip="Mark the part before"),
        Binding("right", "step(1)", "After", id="legend.right", show=False,
                tooltip="Mark the part after"),
        Binding("up", "row(-1)", "Above", id="legend.up", show=False,
                tooltip="Mark the part above"),
        Binding("down", "row(1)", "Below", id="legend.down", show=False,
                tooltip="Mark the part below"),
    ]  # fmt: skip

    entries: reactive[tuple[Entry, ...]] = reactive(())
    place: reactive[int] = reactive(0)

    class Opened(Message):
        """A person wants an entry explained."""

        def __init__(self, term: str) -> None:
            super().__init__()
            self.term = term

    @property
    def columns(self) -> int:
        """How many entries stand in a row."""
        return _columns(self.size.width)

    def watch_entries(self, before: tuple[Entry, ...], entries: tuple[Entry, ...]) -> None:
        """Lay the screen out anew only where there are more entries, or fewer."""
        if len(before) != len(entries):
            self.refresh(layout=True)

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """As many rows as the entries need at this width."""
        return -(-len(self.entries) // _columns(width))

    def action_open(self) -> None:
        """Tell which entry is to be explained."""
        if self.place < len(self.entries):
            self.post_message(self.Opened(self.entries[self.place].term))

    def action_step(self, steps: int) -> None:
        """Mark another entry."""
        self.place = max(0, min(len(self.entries) - 1, self.place + steps))

    def action_row(self, rows: int) -> None:
        """Mark the entry above or below, or go on to the next row of the screen."""
        place = self.place + rows * self.columns
        if 0 <= place < len(self.entries):
            self.place = place
        elif rows < 0:
            self.screen.focus_previous()
        else:
            self.screen.focus_next()

    def on_click(self, event: events.Click) -> None:
        """Open what was clicked."""
        column = event.x // _wide(self.size.width)
        place = event.y * self.columns + column
        if column < self.columns and place < len(self.entries):
            self.place = place
            self.action_open()

    def render(self) -> Content:
        """Draw the entries."""
        rows = []
        for start in range(0, len(self.entries), self.columns):
            parts = []
            for place in range(start, min(start + self.columns, len(self.entries))):
                parts.append(self._drawn(place))
            rows.append(Content.assemble(*parts))
        return Content("\n").join(rows)

    def _drawn(self, place: int) -> Content:
        entry = self.entries[place]
        words = f"{printable(entry.name, limit=11):<11}{printable(entry.amount):>9}"
        marked = self.has_focus and place == self.place
        return Content.assemble(
            "▸" if marked else " ",
            (f"{entry.glyph} ", entry.colour),
            (words, "bold" if marked else ""),
            " " * (_wide(self.size.width) - 23),
        )


def _columns(width: int) -> int:
    return max(1, width // _LEAST)


def _wide(width: int) -> int:
    return max(_LEAST, min(_MOST, width // _columns(width)))
