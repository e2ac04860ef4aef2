"""A page to read: the help of a screen, with its keys as they are mapped now."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Button, Markdown

from workbench.tui.widgets.plain import Plain

if TYPE_CHECKING:
    from textual.screen import Screen


def read_page(name: str) -> str:
    """Return a page of the documentation as Markdown; raises FileNotFoundError."""
    return files("workbench").joinpath("help", f"{name}.md").read_text("utf-8")


class HelpModal(ModalScreen[None]):
    """Shows the product's own Markdown; never text from outside."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,f1,enter", "close", "Close", id="page.close", tooltip="Close the page"),
    ]

    def __init__(self, title: str, text: str) -> None:
        super().__init__()
        self._title = title
        self._text = text

    @classmethod
    def of_screen(cls, screen: Screen[None], heading: str, page: str) -> HelpModal:
        """Return a screen's page of the documentation, with the keys that work there now."""
        lines = ["", "## Keys", "", "| key | does |", "|---|---|"]
        seen = set()
        for active in screen.active_bindings.values():
            binding = active.binding
            if binding.id and binding.id not in seen:
                seen.add(binding.id)
                about = binding.tooltip or binding.description
                lines.append(f"| {screen.app.get_key_display(binding)} | {about} |")
        # The dialog has a title of its own: the page's first line would repeat it.
        text = read_page(page).partition("\n")[2]
        return cls(heading, text + "\n".join(lines))

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog page"):
            yield Plain(self._title, classes="dialog-title")
            with VerticalScroll(classes="dialog-text", can_focus=True):
                yield Markdown(self._text, open_links=False)
            with Horizontal(classes="buttons"):
                yield Button("Close", id="close", variant="primary")

    @on(Button.Pressed, "#close")
    def action_close(self) -> None:
        """Close the page."""
        self.dismiss(None)
