"""Asking for a whole number within a range."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.widgets import Button, Input

from workbench.tui.modals.base import WorkbenchModal
from workbench.tui.widgets.plain import Plain
from workbench.tui.widgets.text_input import TextInput
from workbench.wording import count


class NumberModal(WorkbenchModal[int | None]):
    """Returns a number from 1 to `most`, or None."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "cancel", "Cancel", id="number.cancel", tooltip="Stay where you are"),
    ]

    def __init__(self, title: str, most: int) -> None:
        super().__init__()
        self._title = title
        self._most = most

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield Plain(self._title, classes="dialog-title")
            yield TextInput(id="number", placeholder=f"1 to {count(self._most)}", max_length=12)
            yield Plain("", id="said", classes="bad")
            with Horizontal(classes="buttons"):
                yield Button("Cancel", id="cancel")
                yield Button("Go", id="go", variant="primary")

    def on_mount(self) -> None:
        """Let the number be typed at once."""
        self.query_one("#number", Input).focus()

    @on(Input.Submitted)
    @on(Button.Pressed, "#go")
    def _go(self) -> None:
        typed = "".join(self.query_one("#number", Input).value.split()).replace(",", "")
        if typed.isascii() and typed.isdecimal() and 1 <= int(typed) <= self._most:
            self.dismiss(int(typed))
        else:
            self.query_one("#said", Plain).show(f"A whole number from 1 to {count(self._most)}.")

    @on(Button.Pressed, "#cancel")
    def action_cancel(self) -> None:
        """Answer nothing."""
        self.dismiss(None)
