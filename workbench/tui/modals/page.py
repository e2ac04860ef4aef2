"""A page to read: the help of a screen, with its keys as they are mapped now."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from typing import Any, ClassVar, Protocol, runtime_checkable

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.screen import Screen
from textual.widgets import Button, Markdown

from workbench.tui.modals.base import ClosesOnce
from workbench.tui.widgets.plain import Plain


@runtime_checkable
class Explained(Protocol):
    """A screen or dialog that has a page in the documentation."""

    @property
    def heading(self) -> str:
        """What the page is headed."""

    @property
    def help_page(self) -> str:
        """The page's name."""


def read_page(name: str) -> str:
    """Return a page of the documentation as Markdown; raises FileNotFoundError."""
    return files("workbench").joinpath("help", f"{name}.md").read_text("utf-8")


class HelpModal(ClosesOnce[None]):
    """Shows the product's own Markdown; never text from outside."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,f1,enter", "close", "Close", id="page.close", tooltip="Close the page"),
    ]

    def __init__(self, title: str, text: str) -> None:
        super().__init__()
        self._title = title
        self._text = text

    @classmethod
    def of_screen(cls, screen: Screen[Any], heading: str, page: str) -> HelpModal:
        """Return a page of the documentation under `heading`, with the keys of `screen` now."""
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


def help_on(screens: Sequence[Screen[Any]]) -> HelpModal | None:
    """Return the page that explains the last of `screens`; None where none of ours is there.

    A dialog without a page of its own is explained by the screen below it; the keys are its own.
    """
    for screen in reversed(screens):
        if isinstance(screen, Explained):
            return HelpModal.of_screen(screens[-1], screen.heading, screen.help_page)
    return None
