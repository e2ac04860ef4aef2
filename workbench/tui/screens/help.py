"""Help: the documentation, page by page, and searching in it."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.widgets import Input, Markdown, OptionList
from textual.widgets.option_list import Option

from workbench.tui.documentation import Page, find, read_pages
from workbench.tui.screens.base import WorkbenchScreen
from workbench.tui.widgets.plain import Plain, shown
from workbench.tui.widgets.text_input import TextInput


class HelpScreen(WorkbenchScreen):
    """The list of pages beside the one that is open."""

    PLACE = "help"
    TOUR = "read on with the arrow keys, or press Escape to go back."
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+f", "search", "Search", id="help.search",
                tooltip="Find a word in all pages"),
        Binding("f6", "other_side", "List / page", id="help.side",
                tooltip="Go from the list to the page and back"),
    ]  # fmt: skip

    def __init__(self) -> None:
        super().__init__()
        self._pages = read_pages()
        self._listed: list[Page] = []

    def compose_body(self) -> ComposeResult:
        with Horizontal(id="help"):
            with Vertical(id="help-list"):
                yield TextInput(placeholder="Search in all pages", id="wanted")
                yield OptionList(id="pages")
                yield Plain("", id="found", classes="muted")
            with VerticalScroll(id="reader", can_focus=True):
                yield Markdown("", open_links=False, id="page")

    def on_mount(self) -> None:
        """Open the first page."""
        self._list("")
        self.query_one("#pages").focus()

    def _list(self, wanted: str) -> None:
        rows = self.query_one("#pages", OptionList)
        rows.clear_options()
        told = self.query_one("#found", Plain)
        if wanted.strip():
            hits = find(self._pages, wanted)
            self._listed = [hit.page for hit in hits]
            rows.add_options([Option(shown(f"{_title(h.page)}\n {h.excerpt}", multiline=True))
                              for h in hits])  # fmt: skip
            told.show("" if hits else "No page has these words. Try fewer, or other ones.")
        else:
            self._listed = self._pages
            rows.add_options([Option(shown(_title(page))) for page in self._pages])
            told.show("")
        if self._listed:
            rows.highlighted = 0

    @on(Input.Changed, "#wanted")
    def _search(self, event: Input.Changed) -> None:
        self._list(event.value)

    @on(Input.Submitted, "#wanted")
    def _to_hits(self) -> None:
        self.query_one("#pages").focus()

    @on(OptionList.OptionHighlighted, "#pages")
    async def _open(self, event: OptionList.OptionHighlighted) -> None:
        if event.option_index < len(self._listed):
            await self.query_one("#page", Markdown).update(self._listed[event.option_index].text)
            self.query_one("#reader").scroll_home(animate=False)

    @on(OptionList.OptionSelected, "#pages")
    def _read(self) -> None:
        self.query_one("#reader").focus()

    def action_search(self) -> None:
        """Go to the search field."""
        self.query_one("#wanted").focus()

    def action_other_side(self) -> None:
        """Go to the page, or back to the list."""
        reader = self.query_one("#reader")
        (self.query_one("#pages") if reader.has_focus else reader).focus()


def _title(page: Page) -> str:
    return f"Screen: {page.title}" if page.is_of_screen else page.title
