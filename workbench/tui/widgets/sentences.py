"""Whole sentences, as many as there is room for."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from textual.content import Content
from textual.reactive import reactive
from textual.widget import Widget

from workbench.text import printable
from workbench.tui.widgets.plain import shown


class Sentences(Widget):
    """Shows the most important sentences and says how to read the rest."""

    sentences: reactive[tuple[str, ...]] = reactive(())

    def __init__(self, more: str, *, id: str | None = None) -> None:
        """Show nothing yet; `more` ends what had to be cut short."""
        super().__init__(id=id)
        self._more = more

    def render(self) -> Content:
        """Draw the rows."""
        harmless = [printable(each) for each in self.sentences]
        lines = fitted(harmless, self.size.width, self.size.height, self._more)
        return shown("\n".join(lines), multiline=True)


def fitted(sentences: Sequence[str], width: int, rows: int, more: str) -> list[str]:
    """Return at most `rows` lines with as many whole sentences as fit, the first one always.

    Whatever is left out, or cut from the first sentence, is replaced by `more`.
    """
    width = max(width, len(more))
    for taken in range(len(sentences), 0, -1):
        parts = [*sentences[:taken], *([more] if taken < len(sentences) else [])]
        lines = textwrap.wrap(" ".join(parts), width)
        if len(lines) <= rows:
            return lines
    return textwrap.wrap(" ".join(sentences), width, max_lines=max(1, rows), placeholder=f" {more}")
