"""NF4: sixteen levels for the bell curve of the weights."""

from __future__ import annotations

import math

from textual.content import Content

from workbench.tui.modals.explainers.sheet import MUTED, About, Sheet

# As bitsandbytes has them; a test compares.
LEVELS = (
    -1.0,
    -0.6961928009986877,
    -0.5250730514526367,
    -0.39491748809814453,
    -0.28444138169288635,
    -0.18477343022823334,
    -0.09105003625154495,
    0.0,
    0.07958029955625534,
    0.16093020141124725,
    0.24611230194568634,
    0.33791524171829224,
    0.44070982933044434,
    0.5626170039176941,
    0.7229568362236023,
    1.0,
)
_COLUMNS = 65
_ROWS = 5
# The largest of 64 normally distributed weights is about 2.4 standard deviations from zero.
_DEVIATION = 1 / 2.4
_EIGHTHS = " ▁▂▃▄▅▆▇█"


def nearest(weight: float) -> int:
    """Return the number of the level that `weight`, between -1 and 1, is rounded to."""
    return min(range(len(LEVELS)), key=lambda number: abs(LEVELS[number] - weight))


def page(about: About, hundredths: int) -> Content:
    """Draw the curve, the levels, and how a weight of so many hundredths is rounded."""
    weight = hundredths / 100
    number = nearest(weight)
    level = LEVELS[number]
    sheet = Sheet()
    sheet.say(
        "Most weights of a model are small and few are large: they lie in a bell curve. NF4 keeps "
        "of each weight only which of sixteen levels is nearest. The levels stand close together "
        "where the weights are many, so that little is lost with 4 bit instead of 16."
    ).gap()
    for row in _curve():
        sheet.row("   ", (row, MUTED))
    sheet.row("   ", *_levels(number))
    sheet.row("   ", *_pointer(weight))
    sheet.row("   ", (f"-1{'0':>31}{'1':>32}", MUTED))
    sheet.row(
        " a weight of ", (f"{weight:+.2f}", "bold"), " becomes level ", (f"{number}", "bold"),
        f" ({number:04b} in bits)",
    )  # fmt: skip
    sheet.row(
        " and is read back as ", (f"{level:+.4f}", "bold"), f": off by {level - weight:+.4f}",
    )  # fmt: skip
    sheet.gap().say(
        "-1 and 1 are the largest weight of its block of 64; each block keeps that one number as "
        "its scale. The rounding is done once and stays; the adapters above it are trained in "
        "32 bit and learn to make up for it."
    )
    return sheet.content


def _column(value: float) -> int:
    return round((value + 1) / 2 * (_COLUMNS - 1))


def _curve() -> list[str]:
    heights = []
    for column in range(_COLUMNS):
        value = 2 * column / (_COLUMNS - 1) - 1
        height = math.exp(-((value / _DEVIATION) ** 2) / 2)
        heights.append(max(1, round(height * _ROWS * 8)))
    return [
        "".join(_EIGHTHS[max(0, min(8, height - 8 * row))] for height in heights)
        for row in reversed(range(_ROWS))
    ]


def _levels(chosen: int) -> list[tuple[str, str]]:
    cells = [("─", MUTED)] * _COLUMNS
    for number, level in enumerate(LEVELS):
        cells[_column(level)] = ("┃", "bold $accent") if number == chosen else ("┼", "$primary")
    return cells


def _pointer(weight: float) -> list[tuple[str, str]]:
    cells = [(" ", "")] * _COLUMNS
    cells[_column(weight)] = ("▲", "bold $accent")
    return cells
