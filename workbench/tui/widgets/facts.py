"""A list of facts: names in one column, values beside them, wrapped where they are long."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.table import Table
from rich.text import Text
from textual.widgets import Static

from workbench.text import printable


class Facts(Static):
    """Shows (name, value) pairs; values may come from outside."""

    def __init__(self, pairs: Sequence[tuple[str, object]] = (), **options: Any) -> None:
        super().__init__(_grid(pairs), markup=False, **options)

    def show(self, pairs: Sequence[tuple[str, object]]) -> None:
        """Show other facts."""
        self.update(_grid(pairs))


def _grid(pairs: Sequence[tuple[str, object]]) -> Table:
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in pairs:
        grid.add_row(Text(printable(name)), Text(printable(str(value), multiline=True)))
    return grid
