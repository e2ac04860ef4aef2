"""The themes: what stands on what can be read, in each of them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from textual.color import Color
from textual.theme import Theme

import workbench.tui
from workbench.tui import themes

# Text on a ground, as the stylesheets pair them.
_GROUNDS = ("background", "surface", "panel")
_TEXTS = (
    "foreground", "primary", "secondary", "accent", "success", "warning", "error", "text-muted",
    "trained", "masked", "kept",
)  # fmt: skip
# What a button or a cursor writes on: the ground's colour on a full one.
_FULL = ("primary", "accent", "error")


def contrast(one: Color, other: Color) -> float:
    """Return the contrast ratio as WCAG defines it."""

    def luminance(color: Color) -> float:
        parts = [
            value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4
            for value in (part / 255 for part in color.rgb)
        ]
        return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def colours(theme: Theme) -> dict[str, str]:
    return {**theme.to_color_system().generate(), **theme.variables}


def on(ground: Color, told: str) -> Color:
    """Return a token's colour on a ground; `auto 60%` is black or white, blended."""
    if told.startswith("auto"):
        share = float(told.partition(" ")[2].rstrip("%") or 100) / 100
        best = ground.get_contrast_text(1.0)
        return ground.blend(best, share, 1.0)
    color = Color.parse(told)
    return ground.blend(color, color.a, 1.0) if color.a < 1 else color


@pytest.mark.parametrize("theme", themes.ALL, ids=lambda theme: theme.name)
def test_every_text_can_be_read_on_every_ground(theme: Theme) -> None:
    least = 7.0 if theme.name.endswith("contrast") else 4.5
    told = colours(theme)
    for ground_name in _GROUNDS:
        ground = Color.parse(told[ground_name])
        for text in _TEXTS:
            ratio = contrast(on(ground, told[text]), ground)
            assert ratio >= least, f"{theme.name}: ${text} on ${ground_name}: {ratio:.2f}"


@pytest.mark.parametrize("theme", themes.ALL, ids=lambda theme: theme.name)
def test_what_is_written_on_a_full_ground_can_be_read(theme: Theme) -> None:
    least = 7.0 if theme.name.endswith("contrast") else 4.5
    told = colours(theme)
    for name in _FULL:
        ratio = contrast(Color.parse(told["background"]), Color.parse(told[name]))
        assert ratio >= least, f"{theme.name}: $background on ${name}: {ratio:.2f}"


def test_the_sheets_use_no_text_token_that_is_not_checked_here() -> None:
    used = set()
    for sheet in Path(workbench.tui.__file__).parent.rglob("*.tcss"):
        used |= set(re.findall(r"(?<![\w-])color:\s*\$([\w-]+)", sheet.read_text()))
    checked = {*_TEXTS, *_GROUNDS}
    assert used
    assert used <= checked | {"text", "foreground-muted", "text-disabled", "text-primary"}, used
