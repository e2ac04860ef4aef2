"""A whole record to read, turn by turn; hidden until it is revealed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.reactive import reactive
from textual.widgets import Static

from workbench.tui.widgets.plain import Plain
from workbench.tui.widgets.records import record_content

# More turns than this are counted, not drawn.
MOST_TURNS = 200


class Turns(VerticalScroll, can_focus=True, inherit_bindings=False):
    """Who says what. Very long turns are cut, and say so.

    Attributes:
        revealed: Whether the text itself is shown.
    """

    DEFAULT_CSS = """
    Turns { height: 1fr; scrollbar-size-vertical: 1; }
    Turns > Plain { height: auto; color: $text-muted; }
    Turns > Static { height: auto; }
    Turns > .turn { margin-bottom: 1; }
    """
    # Not left and right, which turn to the neighbours.
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "scroll_up", "Up", id="turns.up", show=False,
                tooltip="Read back one line"),
        Binding("down", "scroll_down", "Down", id="turns.down", show=False,
                tooltip="Read on one line"),
        Binding("pageup", "page_up", "Page up", id="turns.page_up", show=False,
                tooltip="Read back one screen"),
        Binding("pagedown", "page_down", "Page down", id="turns.page_down", show=False,
                tooltip="Read on one screen"),
        Binding("home", "scroll_home", "First", id="turns.first", show=False,
                tooltip="Go to the beginning"),
        Binding("end", "scroll_end", "Last", id="turns.last", show=False,
                tooltip="Go to the end"),
    ]  # fmt: skip

    revealed: reactive[bool] = reactive(False)

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._turns: tuple[tuple[str, str], ...] = ()

    async def show(self, turns: Sequence[tuple[str, str]]) -> None:
        """Show another record: (who, what) pairs; an empty `who` has no heading."""
        self._turns = tuple(turns)
        self.scroll_home(animate=False)
        await self._draw()

    async def watch_revealed(self) -> None:
        """Draw it anew."""
        await self._draw()

    async def _draw(self) -> None:
        parts: list[Static] = []
        for who, what in self._turns[:MOST_TURNS]:
            if who:
                parts.append(Plain(who))
            content = record_content([(what, None)], revealed=self.revealed)
            parts.append(Static(content, markup=False, classes="turn"))
        if len(self._turns) > MOST_TURNS:
            parts.append(Plain(f"… and {len(self._turns) - MOST_TURNS:,} more turns"))
        async with self.batch():
            await self.remove_children()
            await self.mount_all(parts)
