"""Fields to type into: what is pasted stays as it is and is drawn made harmless.

Textual draws a field's text as it stands. A pasted path may hold bytes that a terminal obeys, and a
lone surrogate would end the app.
"""

from __future__ import annotations

from typing import Any

from rich.highlighter import Highlighter
from rich.text import Text
from textual.widgets import Input, TextArea

from workbench.text import printable


class _Harmless(Highlighter):
    """Puts pictures for what cannot be shown, character for character, so the cursor fits."""

    def highlight(self, text: Text) -> None:
        text.plain = printable(text.plain, limit=len(text.plain) + 1)


class TextInput(Input):
    """Textual's own field in every other way; for passphrases that one serves as it is."""

    def __init__(self, value: str | None = None, **options: Any) -> None:
        """Hold `value`; `options` are Input's own."""
        super().__init__(value, highlighter=_Harmless(), **options)


class TextLines(TextArea):
    """Several lines to write, drawn the same way."""

    def get_line(self, line_index: int) -> Text:
        """Return a line as it is drawn."""
        line = super().get_line(line_index)
        _Harmless().highlight(line)
        return line
