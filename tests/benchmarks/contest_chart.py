"""The contest as a chart: bars in plain SVG, written without a library."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any
from xml.sax.saxutils import escape

_WIDTH, _ROW, _LEFT, _BAR = 760, 20, 150, 240
_PARTS = (
    ("tokens_per_second", "useful tokens a second (more is better)", _LEFT),
    ("growth_mib", "memory over the loaded base, MiB (less is better)", _LEFT + _BAR + 80),
)


def draw(results: Sequence[dict[str, Any]]) -> str:
    """Return an SVG with one block of bars for each model and mix; medians over the rounds."""
    lines: list[str] = []
    y = 10
    for result in results:
        y += 2 * _ROW
        lines.append(_text(10, y, f"{result['model']}, {result['mix']}", weight="bold"))
        for _, title, x in _PARTS:
            lines.append(_text(x, y, title))
        medians = {
            name: {key: statistics.median(run[key] for run in runs) for key, _, _ in _PARTS}
            for name, runs in result["runs"].items()
        }
        for name, values in medians.items():
            y += _ROW
            lines.append(_text(10, y, name))
            for key, _, x in _PARTS:
                longest = max(each[key] for each in medians.values()) or 1
                length = _BAR * values[key] / longest
                colour = "#2a6f97" if name == "ours" else "#a9b4bd"
                lines.append(
                    f'<rect x="{x}" y="{y - 12}" width="{length:.1f}" height="14" fill="{colour}"/>'
                )
                lines.append(_text(x + length + 5, y, f"{values[key]:,.0f}"))
    height = y + _ROW
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" '
        'font-family="sans-serif" font-size="12">\n'
        f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>\n'
        + "\n".join(lines)
        + "\n</svg>\n"
    )


def _text(x: float, y: float, words: str, weight: str = "normal") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" font-weight="{weight}">{escape(words)}</text>'
