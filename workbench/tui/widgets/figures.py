"""Figures with their names, in as many columns as there is room for."""

from __future__ import annotations

from collections.abc import Sequence

from textual.content import Content
from textual.geometry import Size
from textual.reactive import reactive
from textual.widget import Widget

from workbench.text import printable

_LABEL = 12


class Figures(Widget):
    """Pairs of a name and a figure."""

    DEFAULT_CSS = "Figures { height: auto; width: 1fr; }"

    pairs: reactive[tuple[tuple[str, str], ...]] = reactive(())

    def __init__(self, *, column: int, id: str | None = None) -> None:
        """Show nothing yet; `column` is the width of a column."""
        super().__init__(id=id)
        self._column = column

    def show(self, pairs: Sequence[tuple[str, str]]) -> None:
        """Show other figures."""
        # Laying the screen out anew takes a while, and the rows are mostly as many as before.
        more = len(pairs) != len(self.pairs)
        self.pairs = tuple(pairs)
        if more:
            self.refresh(layout=True)

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """As many rows as the pairs need."""
        return -(-len(self.pairs) // max(1, width // self._column))

    def render(self) -> Content:
        """Draw the pairs."""
        columns = max(1, self.size.width // self._column)
        rows = []
        for start in range(0, len(self.pairs), columns):
            row = []
            for name, figure in self.pairs[start : start + columns]:
                said = printable(figure, limit=self._column - _LABEL - 1)
                row.append((f" {printable(name):<{_LABEL - 1}}", "$foreground-muted"))
                row.append((f"{said:<{self._column - _LABEL}}", ""))
            rows.append(Content.assemble(*row))
        return Content("\n").join(rows)
