"""The three themes. Screens use these tokens and no colour of their own.

Beside Textual's tokens: `$trained` and `$masked` for what a record's text does in training, `$kept`
for the base model in the memory bars. State is never told by colour alone: a glyph or a word
stands beside it, so that NO_COLOR loses nothing.
"""

from __future__ import annotations

from textual.theme import Theme

DARK = Theme(
    name="workbench-dark",
    dark=True,
    primary="#5fa8d3",
    secondary="#8d99ae",
    accent="#e9c46a",
    success="#7fb685",
    warning="#e9a23b",
    error="#e5737b",
    background="#12161c",
    surface="#181d25",
    panel="#212834",
    foreground="#dfe5ec",
    variables={"trained": "#7fb685", "masked": "#8994a1", "kept": "#8d99ae"},
)
LIGHT = Theme(
    name="workbench-light",
    dark=False,
    primary="#1d5f8a",
    secondary="#546178",
    accent="#8a5a00",
    success="#2b6b3a",
    warning="#8f5200",
    error="#a3232d",
    background="#f6f7f9",
    surface="#ffffff",
    panel="#e6eaf0",
    foreground="#1a2129",
    variables={"trained": "#2b6b3a", "masked": "#5d6773", "kept": "#546178"},
)
CONTRAST = Theme(
    name="workbench-contrast",
    dark=True,
    primary="#00d7ff",
    secondary="#ffffff",
    accent="#ffff00",
    success="#00ff5f",
    warning="#ffd700",
    error="#ff8787",
    background="#000000",
    surface="#000000",
    panel="#1c1c1c",
    foreground="#ffffff",
    variables={
        "trained": "#00ff5f",
        "masked": "#d0d0d0",
        "kept": "#ffffff",
        "text-muted": "#ffffff",
        "foreground-muted": "#ffffff",
        "border": "#ffffff",
    },
)
ALL = (DARK, LIGHT, CONTRAST)
