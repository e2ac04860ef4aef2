"""A list of any length, of which only the rows on the screen are asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.segment import Segment
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip

from workbench.text import printable

PAGE = 100
_LONGEST = 300
# Pages that are kept: far more than a screen needs, far less than a long list has.
_KEPT = 40


class PagedList(ScrollView, can_focus=True):
    """One line a row. It asks for pages with `PageWanted` and is given them by `fill`."""

    DEFAULT_CSS = """
    PagedList {
        background: $background; height: 1fr; scrollbar-size-vertical: 1;
        & > .paged-list--cursor { background: $panel; text-style: bold; }
        & > .paged-list--waiting { color: $text-muted; }
        &:focus > .paged-list--cursor { background: $primary; color: $background; }
    }
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {"paged-list--cursor", "paged-list--waiting"}
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "move(-1)", "Up", id="list.up", show=False, tooltip="Go up one row"),
        Binding("down", "move(1)", "Down", id="list.down", show=False, tooltip="Go down one row"),
        Binding("pageup", "leaf(-1)", "Page up", id="list.page_up", show=False,
                tooltip="Go up one screen"),
        Binding("pagedown", "leaf(1)", "Page down", id="list.page_down", show=False,
                tooltip="Go down one screen"),
        Binding("home", "first", "First", id="list.first", show=False,
                tooltip="Go to the first row"),
        Binding("end", "last", "Last", id="list.last", show=False, tooltip="Go to the last row"),
    ]  # fmt: skip

    cursor: reactive[int] = reactive(0)

    class PageWanted(Message):
        """The rows `first` to `first + count` are to be shown and are not here."""

        def __init__(self, first: int, count: int) -> None:
            super().__init__()
            self.first = first
            self.count = count

    class Highlighted(Message):
        """The cursor stands on a row."""

        def __init__(self, row: int) -> None:
            super().__init__()
            self.row = row

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._total = 0
        self._pages: dict[int, tuple[str, ...]] = {}
        self._asked: set[int] = set()

    def show_total(self, total: int) -> None:
        """Begin anew with a list of `total` rows; the cursor stays where it can."""
        self._total = total
        self._pages.clear()
        self._asked.clear()
        self.virtual_size = Size(0, total)
        self.cursor = max(0, min(self.cursor, total - 1))
        if total:
            self._want(self.cursor // PAGE)
        self.refresh()

    def fill(self, first: int, rows: Sequence[str]) -> None:
        """Take the rows of the page that begins at `first`."""
        page = first // PAGE
        self._asked.discard(page)
        while len(self._pages) >= _KEPT:
            self._pages.pop(max(self._pages, key=lambda held: abs(held - page)))
        self._pages[page] = tuple(printable(row, limit=_LONGEST) for row in rows)
        self.refresh()
        if self.cursor // PAGE == page:
            self.post_message(self.Highlighted(self.cursor))

    def _want(self, page: int) -> None:
        if page not in self._asked:
            self._asked.add(page)
            self.post_message(self.PageWanted(page * PAGE, PAGE))

    def render_line(self, y: int) -> Strip:
        """Draw one line of the list."""
        row, width = self.scroll_offset.y + y, self.size.width
        style = self.rich_style
        if row >= self._total:
            return Strip.blank(width, style)
        page = self._pages.get(row // PAGE)
        if page is None:
            self._want(row // PAGE)
            text, style = " …", self.get_component_rich_style("paged-list--waiting")
        else:
            text = page[row % PAGE] if row % PAGE < len(page) else ""
        if row == self.cursor:
            style = self.get_component_rich_style("paged-list--cursor")
        return Strip([Segment(text, style)]).adjust_cell_length(width, style)

    def watch_cursor(self, cursor: int) -> None:
        """Keep the cursor's row in sight."""
        self.scroll_to_region(Region(0, cursor, 1, 1), animate=False, force=True)
        self.refresh()
        if cursor // PAGE in self._pages:
            self.post_message(self.Highlighted(cursor))

    def _go(self, row: int) -> None:
        self.cursor = max(0, min(row, self._total - 1))

    def action_move(self, rows: int) -> None:
        """Move the cursor."""
        self._go(self.cursor + rows)

    def action_leaf(self, screens: int) -> None:
        """Move the cursor by screens."""
        self._go(self.cursor + screens * max(1, self.size.height - 1))

    def action_first(self) -> None:
        """Go to the first row."""
        self._go(0)

    def action_last(self) -> None:
        """Go to the last row."""
        self._go(self._total - 1)

    def on_click(self, event: events.Click) -> None:
        """Put the cursor where it was clicked."""
        self._go(self.scroll_offset.y + event.y)
