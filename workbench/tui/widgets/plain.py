"""Text from outside on its way to the screen: through the one sanitiser, never as markup."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

from rich.text import Text
from textual.content import Content
from textual.widgets import Static

from workbench.text import printable

# How a sentence on the screen is meant; empty: neither well nor ill.
Tone: TypeAlias = Literal["", "good", "bad", "muted"]

CELL = 60  # characters of a table's cell
# Each line costs time whenever it is laid out, on the screen or far below it.
_MOST_LINES = 1000


def shown(value: object, *, limit: int = 10_000, multiline: bool = False) -> Content:
    """Return `value` as content that neither a terminal nor Textual's markup can misread."""
    text = _few_lines(str(value)) if multiline else str(value)
    return Content(printable(text, limit=limit, multiline=multiline))


def _few_lines(text: str) -> str:
    if text.count("\n") <= _MOST_LINES:
        return text
    return "\n".join([*text.split("\n", _MOST_LINES)[:_MOST_LINES], "…"])


def cell(value: object, style: str = "", *, limit: int = CELL) -> Text:
    """Return `value` as a table's cell: one line, cut to `limit` characters."""
    return Text(printable(str(value), limit=limit), style=style, no_wrap=True, end="")


class Plain(Static):
    """A piece of text that shows whatever it is given as it is, made harmless."""

    def __init__(self, text: object = "", *, multiline: bool = True, **options: Any) -> None:
        """Show `text`; `options` are Static's own (id, classes)."""
        self._multiline = multiline
        self._text = str(text)
        super().__init__(shown(text, multiline=multiline), markup=False, **options)

    def show(self, text: object) -> None:
        """Show another text; the same one again costs nothing."""
        if str(text) == self._text:
            return
        self._text = str(text)
        self.update(shown(text, multiline=self._multiline))

    def say(self, text: object, tone: Tone = "") -> None:
        """Show another text in the colour of what it says."""
        self.show(text)
        for name in ("good", "bad", "muted"):
            self.set_class(tone == name, name)
