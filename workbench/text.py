"""The one sanitiser for whatever reaches a terminal.

Control bytes, C1 controls, bidirectional overrides, invisible format characters and lone
surrogates in data can move the cursor, set the window title, forge what a line says or crash an
encoder. They are replaced by visible glyphs, and length is capped.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

# U+2400..U+241F picture the C0 controls; U+2421 pictures DEL.
_C0_PICTURES = 0x2400
_DEL_PICTURE = "\u2421"
_UNSEEN = "\ufffd"
_DOUBTFUL = re.compile("[^ -~]")
_DOUBTFUL_IN_LINES = re.compile("[^ -~\n\t]")
# Scripts stack a few marks on a letter; hundreds smear over other lines.
_MOST_MARKS = 8


def _glyph(char: str) -> str:
    point = ord(char)
    if point < 0x20:
        return chr(_C0_PICTURES + point)
    if point == 0x7F:
        return _DEL_PICTURE
    # Cc: C1 controls; Cf: bidi overrides, zero-width and tag characters; Cs: lone surrogates;
    # Co/Cn: private use and unassigned; Zl/Zp: separators that break lines in some terminals.
    if unicodedata.category(char) in {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}:
        return _UNSEEN
    return char


def _calmed(text: str) -> Iterator[str]:
    """Yield the characters, a storm of marks over one of them cut short."""
    marks = 0
    for char in text:
        marks = marks + 1 if unicodedata.category(char) in ("Mn", "Me") else 0
        if marks <= _MOST_MARKS:
            yield char
        elif marks == _MOST_MARKS + 1:
            yield _UNSEEN


def printable(value: str, *, limit: int = 10_000, multiline: bool = False) -> str:
    """Return `value` with nothing in it that a terminal would obey.

    Args:
        value: Any text, hostile or not.
        limit: Longest result in characters; a cut is marked with an ellipsis.
        multiline: Keep line feeds and tabs as they are; otherwise they become glyphs too.
    """
    cut = value[: limit + 1]
    doubtful = _DOUBTFUL_IN_LINES if multiline else _DOUBTFUL
    shown = doubtful.sub(lambda found: _glyph(found.group()), cut)
    if not shown.isascii():
        shown = "".join(_calmed(shown))
    return shown if len(shown) <= limit else shown[: limit - 1] + "\u2026"
