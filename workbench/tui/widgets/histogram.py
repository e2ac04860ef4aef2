"""Lengths as a small histogram drawn with block characters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from textual.content import Content
from textual.reactive import reactive
from textual.widget import Widget

from workbench.tui.widgets.plain import shown
from workbench.wording import count

_EIGHTHS = " ▁▂▃▄▅▆▇█"
_MARK = "┊"
_LEAST_WIDTH, _LEAST_HEIGHT = 24, 4


@dataclass(frozen=True)
class Drawing:
    """A histogram as lines of text.

    Attributes:
        lines: All equally wide but for trailing blanks; the last one labels the axis.
        left: Columns before the first bar.
        mark: Column of the limit, or None where it lies beyond the axis.
    """

    lines: tuple[str, ...]
    left: int
    mark: int | None


class Histogram(Widget):
    """How many records are how long, with a mark at the longest that training takes.

    Bars that lie beyond the limit are told by the mark `┊` and by colour. The axis ends a little
    past the limit where that is near, else at the longest 1 in 200; what is longer still is in
    the last bar. It draws itself anew for any size from 24x4.

    Attributes:
        lengths: One number a record.
        limit: The context limit; 0 where there is none.
    """

    DEFAULT_CSS = "Histogram { height: 8; color: $text-muted; }"

    lengths: reactive[tuple[int, ...]] = reactive(())
    limit: reactive[int] = reactive(0)

    def __init__(
        self,
        lengths: Sequence[int] = (),
        limit: int = 0,
        *,
        unit: str = "token",
        id: str | None = None,
        classes: str | None = None,
    ) -> None:
        super().__init__(id=id, classes=classes)
        self._unit = unit
        self.set_reactive(Histogram.lengths, tuple(lengths))
        self.set_reactive(Histogram.limit, limit)

    def show(self, lengths: Sequence[int], limit: int = 0) -> None:
        """Show other lengths."""
        self.lengths = tuple(lengths)
        self.limit = limit

    def render(self) -> Content:
        width, height = self.size
        if not self.lengths or width < _LEAST_WIDTH or height < _LEAST_HEIGHT:
            return shown(summary(self.lengths, self.limit, self._unit))
        drawn = draw(self.lengths, width, height - 1, self.limit)
        parts: list[Content | str | tuple[str, str]] = [
            summary(self.lengths, self.limit, self._unit)
        ]
        for number, line in enumerate(drawn.lines):
            if number >= len(drawn.lines) - 2:  # the axis
                parts.append(f"\n{line}")
                continue
            edge = len(line) if drawn.mark is None else drawn.mark
            parts += [f"\n{line[: drawn.left]}", (line[drawn.left : edge], "$primary")]
            if drawn.mark is not None:
                mark = "$warning" if line[edge] == _MARK else "$error"
                parts += [(line[edge], mark), (line[edge + 1 :], "$error")]
        return Content.assemble(*parts)


def summary(lengths: Sequence[int], limit: int, unit: str = "token") -> str:
    """Return the lengths in a sentence."""
    if not lengths:
        return "No lengths yet."
    ordered = sorted(lengths)
    told = (
        f"{count(len(ordered), 'record')}: half have up to {count(ordered[len(ordered) // 2])} "
        f"{unit}s, the longest {count(ordered[-1])}."
    )
    over = sum(length > limit for length in ordered) if limit else 0
    return f"{told} {count(over)} longer than {count(limit)}." if over else told


def draw(lengths: Sequence[int], width: int, height: int, limit: int = 0) -> Drawing:
    """Draw at least one length as `height` lines: bars, an axis, its labels.

    Args:
        lengths: None of them negative.
        width: At least 24.
        height: At least 3.
        limit: Where the mark stands; 0 for none.
    """
    end = _axis_end(lengths, limit)
    scale = len(count(len(lengths)))
    # Columns stand for equally many lengths each, or even data would look jagged.
    step = -(-end // (width - scale - 1))
    columns = -(-end // step)
    bins = [0] * columns
    for length in lengths:
        bins[min(length // step, columns - 1)] += 1
    highest = max(bins)
    left = len(count(highest)) + 1
    place = limit // step if 0 < limit < end else None
    rows = height - 2
    lines = []
    for row in range(rows):
        label = count(highest) if row == 0 else ""
        bars = "".join(_bar(number, highest, rows, rows - 1 - row) for number in bins)
        if place is not None and bars[place] == " ":
            bars = f"{bars[:place]}{_MARK}{bars[place + 1 :]}"
        lines.append(f"{label:>{left - 1}}▕{bars}")
    base = "▔" * columns
    if place is not None:
        base = f"{base[:place]}{_MARK}{base[place + 1 :]}"
    lines.append(f"{0:>{left - 1}} {base}")
    lines.append(" " * left + _labels(columns, end, max(lengths), limit, place))
    return Drawing(tuple(lines), left, None if place is None else left + place)


def _axis_end(lengths: Sequence[int], limit: int) -> int:
    ordered = sorted(lengths)
    common = ordered[min(len(ordered) - 1, len(ordered) * 199 // 200)]
    if limit and limit <= 3 * common:
        common = max(common, limit + limit // 10 + 1)
    return common + 1


def _bar(number: int, highest: int, rows: int, row: int) -> str:
    """Return the block of a column of `number` in `row`, counted from the bottom."""
    # Whatever is there shows: one record among thousands still gets an eighth.
    eighths = max(-(-number * rows * 8 // highest), 1) if number else 0
    return _EIGHTHS[max(0, min(8, eighths - 8 * row))]


def _labels(columns: int, end: int, longest: int, limit: int, place: int | None) -> str:
    """Return what stands below the axis: both ends, and the limit where it fits."""
    last = f"{count(end - 1)}+" if longest >= end else count(end - 1)
    beyond = limit > 0 and place is None
    if beyond:
        last = f"{last}  (limit {count(limit)} →)"
    line = list("0".ljust(max(columns, len(last) + 2)))
    line[len(line) - len(last) :] = last
    if place is not None:
        told = f"{_MARK}limit {count(limit)}"
        start = place if place + len(told) + len(last) + 1 <= len(line) else place - len(told) + 1
        told = told if start == place else f"limit {count(limit)}{_MARK}"
        room = line[max(start - 1, 0) : start + len(told)]
        if start > 1 and all(char == " " for char in room):
            line[start : start + len(told)] = told
    return "".join(line)
