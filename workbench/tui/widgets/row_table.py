"""A table of things that can be chosen, whose cells are never markup and whose tones are tokens."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, TypeAlias

from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from textual.coordinate import Coordinate
from textual.widgets import DataTable

from workbench.tui.widgets.plain import CELL, cell

Tone: TypeAlias = Literal["plain", "good", "poor", "bad", "muted"]


@dataclass(frozen=True)
class Cell:
    """What stands in one cell.

    Attributes:
        value: Shown as plain text, on one line.
        tone: Which token colours it; a word or glyph has to say the same.
        right: Whether it stands at the right, as numbers do.
        limit: Most characters.
    """

    value: object
    tone: Tone = "plain"
    right: bool = False
    limit: int = CELL


class RowTable(DataTable[object]):
    """Rows with a key each. The cursor stays on its row when the rows are filled in anew."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "row-table--good", "row-table--poor", "row-table--bad", "row-table--muted",
    }  # fmt: skip
    DEFAULT_CSS = """
    RowTable {
        background: $background; scrollbar-size-horizontal: 1; scrollbar-size-vertical: 1;
        &:focus { background-tint: $background 0%; }
        & > .datatable--header { background: $background; color: $text-muted; text-style: none; }
        & > .datatable--cursor { background: $panel; color: $foreground; text-style: bold; }
        & > .datatable--hover { background: $surface; }
        &:focus > .datatable--cursor { background: $primary; color: $background; }
        & > .row-table--good { color: $success; }
        & > .row-table--poor { color: $warning; }
        & > .row-table--bad { color: $error; }
        & > .row-table--muted { color: $text-muted; }
    }
    """

    def __init__(
        self,
        labels: Sequence[str],
        *,
        id: str | None = None,
    ) -> None:
        """Make an empty table with columns of these names, which are the product's own words."""
        super().__init__(cursor_type="row", id=id)
        self._labels = tuple(labels)
        self._keys: tuple[str, ...] = ()
        for label in labels:
            self.add_column(cell(label))

    def fill(self, rows: Iterable[tuple[str, Sequence[Cell]]], *, at: str = "") -> None:
        """Show these rows.

        Args:
            rows: Key and cells of each.
            at: The key to put the cursor on; empty: where it was.
        """
        kept, place = at or self.chosen, self.cursor_row
        # The columns go too: their widths never shrink otherwise.
        self.clear(columns=True)
        for label in self._labels:
            self.add_column(cell(label))
        keys = []
        for key, cells in rows:
            keys.append(key)
            self.add_row(*(_Shown(self, each) for each in cells), key=key)
        self._keys = tuple(keys)
        if keys:
            row = keys.index(kept) if kept in keys else min(place, len(keys) - 1)
            self.cursor_coordinate = Coordinate(row, 0)

    @property
    def chosen(self) -> str:
        """The key of the row under the cursor; empty where there is none."""
        return self._keys[self.cursor_row] if 0 <= self.cursor_row < len(self._keys) else ""


class _Shown:
    """A cell that asks for its colour when it is drawn, so that another theme recolours it."""

    def __init__(self, table: RowTable, told: Cell) -> None:
        self._table = table
        self._tone = told.tone
        self._text = cell(told.value, limit=told.limit)
        self._text.justify = "right" if told.right else None
        self._text.overflow = "ellipsis"

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        text = self._text.copy()
        if self._tone != "plain":
            text.style = self._table.get_component_rich_style(
                f"row-table--{self._tone}", partial=True
            )
        yield text

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement.get(console, options, self._text)
