"""Stacked bars of memory against a line: what takes how much, and what does not fit.

Each part has a character of its own beside its colour, so that the bars can be read without any.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

from textual import events
from textual.content import Content
from textual.geometry import Size
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget

from workbench.text import printable

_NAME = 7
_TOTAL = 9
_VERDICT = 32
_LEAST = 10
# The line stands here, as a share of the bar, where something is large enough to come near it.
_LINE_AT = 0.85
# Where the largest bar is a smaller share of the line than this, the bars are enlarged and the
# line lies beyond the right end: nobody could tell the parts apart otherwise.
_NEAR = 1 / 3


class Part(NamedTuple):
    """One part of the memory: its name, character and colour token."""

    name: str
    glyph: str
    colour: str


# In the order of workbench.planning.memory.Prediction.
PARTS = (
    Part("weights", "█", "$kept"),
    Part("adapters", "▚", "$trained"),
    Part("gradients", "▌", "$accent"),
    Part("optimizer", "▓", "$warning"),
    Part("activations", "▒", "$primary"),
    Part("logits", "▄", "$secondary"),
    Part("workspace", "░", "$foreground"),
    Part("overhead", "·", "$foreground-muted"),
)


class Bar(NamedTuple):
    """One row.

    Attributes:
        key: What a click on it tells.
        amounts: Bytes of each of `PARTS`.
        total: Their sum in words.
        verdict: Whether it fits, in words.
        chosen: Whether this is the one that will be taken.
    """

    key: str
    name: str
    amounts: tuple[int, ...]
    total: str
    verdict: str
    fits: bool
    chosen: bool


class MemoryBars(Widget):
    """Bars below each other, and a line that they should not cross.

    Attributes:
        bars: What is shown; empty while nothing is known.
        limit: Bytes at which the line stands.
        line: What the line is, in words.
    """

    DEFAULT_CSS = "MemoryBars { height: auto; width: 1fr; }"

    bars: reactive[tuple[Bar, ...]] = reactive(())
    limit: reactive[int] = reactive(0)
    line: reactive[str] = reactive("")

    class Pressed(Message):
        """A person clicked a bar."""

        def __init__(self, key: str) -> None:
            super().__init__()
            self.key = key

    def watch_bars(self, before: tuple[Bar, ...], bars: tuple[Bar, ...]) -> None:
        """Lay the screen out anew only where there are more rows, or fewer: that takes a while."""
        if len(before) != len(bars):
            self.refresh(layout=True)

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """A row for the line's words, one for each bar."""
        return 1 + len(self.bars)

    @property
    def _width(self) -> int:
        return max(_LEAST, self.size.width - _NAME - _TOTAL - _VERDICT - 1)

    def on_click(self, event: events.Click) -> None:
        """Tell which bar was clicked."""
        if 0 < event.y <= len(self.bars):
            self.post_message(self.Pressed(self.bars[event.y - 1].key))

    def render(self) -> Content:
        """Draw the rows."""
        width = self._width
        end = reach([sum(bar.amounts) for bar in self.bars], self.limit)
        rows = [self._heading(width, end)]
        rows += [self._row(bar, width, end) for bar in self.bars]
        return Content("\n").join(rows)

    def _heading(self, width: int, end: int) -> Content:
        """Name the line where it stands, its words on the side that has room."""
        words = printable(self.line, limit=self.size.width - _NAME - 2)
        column = line_column(self.limit, end, width)
        if column is None:
            said = f"{words} →"
            return Content.assemble((f"{said:>{_NAME + width}}", "bold"))
        if len(words) + 1 <= _NAME + column:
            return Content.assemble((f"{words} ".rjust(_NAME + column) + "┃", "bold"))
        return Content.assemble((" " * (_NAME + column) + f"┃ {words}", "bold"))

    def _row(self, bar: Bar, width: int, end: int) -> Content:
        mark = "▸" if bar.chosen else " "
        name = f"{mark}{printable(bar.name, limit=_NAME - 2)}"
        return Content.assemble(
            (f"{name:<{_NAME}}", "bold" if bar.chosen else ""),
            drawn(bar.amounts, self.limit, end, width),
            (f"{printable(bar.total):>{_TOTAL}} ", "bold" if bar.chosen else ""),
            (
                printable(bar.verdict, limit=_VERDICT),
                "$foreground-muted" if bar.fits else "$error",
            ),
        )


def reach(totals: Sequence[int], limit: int) -> int:
    """Return the bytes that the right end of the bars stands for."""
    largest = max(totals, default=0)
    if largest < limit * _NEAR:
        return max(1, round(largest * 1.1))
    return max(1, round(limit / _LINE_AT))


def line_column(limit: int, end: int, width: int) -> int | None:
    """Return the column of the line; None where it lies beyond the end."""
    column = int(limit / end * width)
    return column if column < width else None


def cells(amounts: Sequence[int], end: int, width: int) -> list[int]:
    """Return how many columns each part takes; their sum is that of the whole bar, rounded once.

    What runs over the end is cut off.
    """
    found, total, before = [], 0, 0
    for amount in amounts:
        total += amount
        upto = min(width, round(total / end * width))
        found.append(upto - before)
        before = upto
    return found


def drawn(amounts: Sequence[int], limit: int, end: int, width: int) -> Content:
    """Return one bar of `width` columns, with the line through it and an arrow where it is cut."""
    columns: list[tuple[str, str]] = []
    for part, count in zip(PARTS, cells(amounts, end, width), strict=True):
        columns += [(part.glyph, part.colour)] * count
    columns += [(" ", "")] * (width - len(columns))
    over = sum(amounts) > end
    if over:
        columns[-1] = ("▶", "bold $error")
    column = line_column(limit, end, width)
    if column is not None:
        columns[column] = ("┃", "bold $error" if sum(amounts) > limit else "bold")
    runs = groupby(columns, key=lambda cell: cell[1])
    return Content.assemble(*(("".join(c for c, _ in run), style) for style, run in runs))
