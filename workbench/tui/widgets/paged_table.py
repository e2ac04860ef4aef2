"""A table of any length, of which only the rows around those on the screen are held.

The table is textual-fastdatatable's. It asks its backend for the visible rows alone, so that a
backend which holds a window of them, and says that the rest is still to come, is enough to page.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, NoReturn

from rich.text import Text
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.message import Message
from textual.reactive import reactive
from textual_fastdatatable.backend import DataTableBackend
from textual_fastdatatable.column import CELL_X_PADDING
from textual_fastdatatable.data_table import DataTable

from workbench.tui.widgets.plain import cell
from workbench.tui.widgets.records import hidden
from workbench.wording import count

# Rows held before and after the visible ones, so that most key presses find theirs there.
MARGIN = 120
LONGEST = 300  # characters of a cell
_COMING = "…"


class _Window(DataTableBackend[None]):
    """The rows that are held; others show as still to come."""

    def __init__(self, labels: Sequence[str], masks: Callable[[int], bool]) -> None:
        super().__init__(None)
        self._render_markup = None
        self._labels = tuple(labels)
        self._masks = masks
        self._total = 0
        self._first = 0
        self._rows: Sequence[Sequence[object]] = ()

    def begin(self, total: int) -> None:
        self._total, self._first, self._rows = total, 0, ()

    def hold(self, first: int, rows: Sequence[Sequence[object]]) -> None:
        self._first, self._rows = first, rows

    def holds(self, first: int, last: int) -> bool:
        return self._first <= first and last <= self._first + len(self._rows)

    @property
    def row_count(self) -> int:
        return self._total

    @property
    def source_row_count(self) -> int:
        return self._total

    @property
    def columns(self) -> Sequence[str]:
        return self._labels

    @property
    def column_content_widths(self) -> Sequence[int]:
        return [0] * len(self._labels)

    def get_cell_at(self, row_index: int, column_index: int) -> Text:
        if column_index == 0:
            return _number(row_index + 1)
        if not self.holds(row_index, row_index + 1):
            return cell(_COMING)
        value = self._rows[row_index - self._first][column_index - 1]
        if isinstance(value, int):
            return _number(value)
        text = str(value)[:LONGEST]
        shown = cell(hidden(text) if self._masks(column_index) else text, limit=LONGEST)
        shown.overflow = "ellipsis"
        return shown

    def get_row_at(self, index: int) -> Sequence[Text]:
        return [self.get_cell_at(index, column) for column in range(len(self._labels))]

    # What a table that is only read is never asked.

    @classmethod
    def from_pydict(cls, *_: Any, **__: Any) -> NoReturn:
        raise NotImplementedError

    @property
    def source_data(self) -> None:
        return None

    def get_column_at(self, index: int) -> NoReturn:
        raise NotImplementedError

    def append_column(self, label: str, default: Any | None = None) -> NoReturn:
        raise NotImplementedError

    def append_rows(self, records: Any) -> NoReturn:
        raise NotImplementedError

    def drop_row(self, row_index: int) -> NoReturn:
        raise NotImplementedError

    def update_cell(self, row_index: int, column_index: int, value: Any) -> NoReturn:
        raise NotImplementedError

    def sort(self, by: Any) -> NoReturn:
        raise NotImplementedError


def _number(value: int) -> Text:
    shown = cell(count(value))
    shown.justify = "right"
    return shown


class PagedTable(DataTable, inherit_bindings=False):
    """Row numbers, then what it is given. It asks for rows with `RowsWanted`, one page at a time.

    Whoever holds it answers with `take`, or with `give_up` where that failed. Tab leaves it, and
    nothing of it can be copied.

    Attributes:
        revealed: Whether the columns of text show it; • for every character otherwise.
    """

    DEFAULT_CSS = """
    PagedTable {
        height: 1fr; background: $background;
        scrollbar-size-horizontal: 1; scrollbar-size-vertical: 1;
        & > .datatable--header { background: $background; color: $text-muted; text-style: none; }
        & > .datatable--even-row { background: $background; }
        & > .datatable--odd-row { background: $background; }
        & > .datatable--cursor { background: $panel; color: $foreground; text-style: bold; }
        & > .datatable--hover { background: $surface; }
        &:focus > .datatable--cursor { background: $primary; color: $background; }
        &:dark > .datatable--even-row { background: $background; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "cursor_up", "Up", id="table.up", show=False, tooltip="Go up one row"),
        Binding("down", "cursor_down", "Down", id="table.down", show=False,
                tooltip="Go down one row"),
        Binding("pageup", "page_up", "Page up", id="table.page_up", show=False,
                tooltip="Go up one screen"),
        Binding("pagedown", "page_down", "Page down", id="table.page_down", show=False,
                tooltip="Go down one screen"),
        Binding("home", "scroll_home", "First", id="table.first", show=False,
                tooltip="Go to the first row"),
        Binding("end", "scroll_end", "Last", id="table.last", show=False,
                tooltip="Go to the last row"),
        Binding("enter", "select_cursor", "Open", id="table.open", show=False,
                tooltip="Open the row under the cursor"),
    ]  # fmt: skip

    revealed: reactive[bool] = reactive(False, repaint=False)

    class RowsWanted(Message):
        """Rows `first` to `first + count` are to be shown and are not here."""

        def __init__(self, first: int, count: int) -> None:
            super().__init__()
            self.first = first
            self.count = count

    def __init__(
        self,
        labels: Sequence[str],
        widths: Sequence[int],
        *,
        texts: Sequence[int] = (),
        id: str | None = None,
    ) -> None:
        """Make an empty table.

        Args:
            labels: Names of the columns, the product's own words; the first is the row's number.
            widths: Their widths in characters; columns with 0 share what is left.
            texts: The columns that hold record text.
        """
        self._window = _Window(labels, lambda column: column in texts and not self.revealed)
        super().__init__(
            backend=self._window,
            column_labels=[cell(label) for label in labels],
            column_widths=[width or 1 for width in widths],
            cursor_type="row",
            render_markup=False,
            id=id,
        )
        self._told_widths = tuple(widths)
        self._awaited = False

    def begin(self, total: int) -> None:
        """Show a list of `total` rows from its beginning."""
        self._window.begin(total)
        self._awaited = False
        self.move_cursor(row=0)
        self.scroll_home(animate=False)
        self._lay_out()
        self.look()

    def take(self, first: int, rows: Sequence[Sequence[object]]) -> None:
        """Hold these rows, of which the first has the number `first`, in place of others."""
        self._awaited = False
        self._window.hold(first, rows)
        self.notify_style_update()
        self.look()

    def give_up(self) -> None:
        """Wait no longer for what was asked for; it is asked for again when somebody scrolls."""
        self._awaited = False

    def forget(self) -> None:
        """Hold no rows and hide their text again."""
        self.revealed = False
        self.tooltip = None
        self._awaited = False
        self._window.hold(0, ())
        self.notify_style_update()

    def look(self) -> None:
        """Ask for rows where those around the visible ones are not held."""
        height = max(self.size.height, 1)
        first = min(int(self.scroll_offset.y), max(self.row_count - 1, 0))
        last = min(first + height, self.row_count)
        near = max(first - height, 0), min(last + height, self.row_count)
        if self._awaited or not self.row_count or self._window.holds(*near):
            return
        self._awaited = True
        start = max(first - MARGIN, 0)
        self.post_message(self.RowsWanted(start, min(last + MARGIN, self.row_count) - start))

    def watch_revealed(self) -> None:
        """Redraw."""
        self.tooltip = None
        self.notify_style_update()

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Ask for what came into sight."""
        super().watch_scroll_y(old_value, new_value)
        self.look()

    def on_resize(self) -> None:
        """Share the width again, and ask for what came into sight."""
        self._lay_out()
        self.look()

    def _lay_out(self) -> None:
        shares = self._told_widths.count(0)
        taken = sum(self._told_widths) + CELL_X_PADDING * len(self._told_widths)
        left = max(self.scrollable_content_region.width - taken, 10 * shares)
        for column, told in zip(self.ordered_columns, self._told_widths, strict=True):
            column.width = told or left // shares
        width = sum(column.render_width for column in self.ordered_columns)
        self.virtual_size = Size(width, self.row_count + self.header_height)
        self.notify_style_update()
