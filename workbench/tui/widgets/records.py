"""One record as the model will see it: what is learnt, what is only read, hidden until revealed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from textual.app import ComposeResult
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.reactive import reactive
from textual.widgets import Static

from workbench.text import printable
from workbench.tui.widgets.plain import Plain
from workbench.wording import count

# A piece of the record's text, and what training does with it: True: it is learnt; False: it is
# read but not learnt; None: nobody has asked a model yet.
Piece: TypeAlias = tuple[str, bool | None]

BULLET = "•"
MOST_CHARACTERS = 20_000  # of one record; more would only slow the screen down
MOST_LINES = 1_000
MOST_PIECES = 200
LEGEND = "▸learnt◂ underlined · the rest is read, not learnt"
_OPENING, _CLOSING = "▸", "◂"
_LEARNT, _READ, _AROUND, _CUT = "$trained underline", "$masked", "$trained", "$accent"


class RecordView(Vertical):
    """Shows one record at a time; scrolls with the arrow keys where it has the focus.

    Learnt text is told by `$trained`, by an underline, and by the marks ▸ and ◂ around it; text
    that is read but not learnt has `$masked`. Every character but white space is • while `revealed`
    is False, which it is for each new view: whoever holds the view binds the key that reveals.
    Very long records are cut piece by piece, and say so. Give it a height (1fr by default).

    Attributes:
        revealed: Whether the text itself is shown.
    """

    DEFAULT_CSS = """
    RecordView { height: 1fr; }
    RecordView > .record-caption { height: auto; color: $text-muted; }
    RecordView > VerticalScroll { height: 1fr; scrollbar-size-vertical: 1; }
    RecordView > VerticalScroll > Static { height: auto; }
    RecordView > .record-legend { height: 1; color: $text-muted; }
    """

    revealed: reactive[bool] = reactive(False)

    def __init__(
        self,
        *,
        id: str | None = None,
        classes: str | None = None,
    ) -> None:
        super().__init__(id=id, classes=classes)
        self._pieces: tuple[Piece, ...] = ()
        self._caption = ""

    def compose(self) -> ComposeResult:
        yield Plain(self._caption, classes="record-caption")
        with VerticalScroll():
            yield Static(self._content(), markup=False)
        yield Plain(self._legend(), classes="record-legend")

    def show(self, pieces: Sequence[Piece], caption: str = "") -> None:
        """Show another record, from its beginning.

        Args:
            pieces: Its text, in order.
            caption: A line above it: which record, how many tokens, why training leaves it out.
                Never record text.
        """
        self._pieces = tuple(pieces)
        self._caption = caption
        if self.is_mounted:
            self.query_one(VerticalScroll).scroll_home(animate=False)
            self._update()

    def toggle(self) -> None:
        """Reveal the text, or hide it again."""
        self.revealed = not self.revealed

    def watch_revealed(self) -> None:
        """Redraw."""
        if self.is_mounted:
            self._update()

    def _update(self) -> None:
        self.query_one(".record-caption", Plain).show(self._caption)
        self.query_one("VerticalScroll > Static", Static).update(self._content())
        self.query_one(".record-legend", Plain).show(self._legend())

    def _content(self) -> Content:
        return record_content(self._pieces, revealed=self.revealed)

    def _legend(self) -> str:
        told = LEGEND if any(learnt is not None for _, learnt in self._pieces) else ""
        hidden = "" if self.revealed or not self._pieces else "hidden: •"
        return " · ".join(part for part in (told, hidden) if part)


def record_content(pieces: Sequence[Piece], *, revealed: bool) -> Content:
    """Return the pieces as content that is harmless, styled, and hidden unless `revealed`."""
    shown = pieces[:MOST_PIECES]
    room = max(MOST_CHARACTERS // max(len(shown), 1), 100)
    parts: list[Content | str | tuple[str, str]] = []
    for text, learnt in shown:
        cut = _beginning(text[:room])
        body = printable(cut if revealed else hidden(cut), limit=room, multiline=True)
        body = body.replace("\t", "    ")
        if learnt:
            parts.append((_OPENING, _AROUND))
        parts.append((body, _LEARNT if learnt else "" if learnt is None else _READ))
        if len(text) > len(cut):
            parts.append((f"… ({count(len(text) - len(cut), 'more character')})", _CUT))
        if learnt:
            parts.append((_CLOSING, _AROUND))
    if len(pieces) > len(shown):
        left = count(len(pieces) - len(shown), "more piece")
        parts.append((f"\n… ({left})", _CUT))
    return Content.assemble(*parts)


def _beginning(text: str) -> str:
    """Return the first lines of a text that has too many."""
    lines = text.split("\n", MOST_LINES)
    return text if len(lines) <= MOST_LINES else "\n".join(lines[:MOST_LINES])


def hidden(text: str) -> str:
    """Return `text` with • for every character that is not white space."""
    return "".join(char if char.isspace() else BULLET for char in text)
