"""One line to note elsewhere or to copy."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.widgets import Button

from workbench.tui.modals.base import WorkbenchModal
from workbench.tui.widgets.plain import Plain


class LineModal(WorkbenchModal[None]):
    """Shows a line of figures; never record text, for it can be copied."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "close", "Close", id="line.close", tooltip="Close this"),
        Binding("c", "copy", "Copy", id="line.copy",
                tooltip="Copy the line to the clipboard of your terminal"),
    ]  # fmt: skip

    def __init__(self, title: str, about: str, line: str, *, may_copy: bool) -> None:
        """Show `line`; `may_copy` is what the settings say about the terminal's clipboard."""
        super().__init__()
        self._title = title
        self._about = about
        self._line = line
        self._may_copy = may_copy

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog wide"):
            yield Plain(self._title, classes="dialog-title")
            yield Plain(self._about, classes="dialog-text")
            yield Plain(self._line, id="line")
            with Horizontal(classes="buttons"):
                if self._may_copy:
                    yield Button("Copy", id="copy")
                yield Button("Close", id="close", variant="primary")

    def on_mount(self) -> None:
        """Let Enter close it."""
        self.query_one("#close", Button).focus()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Hide Copy where the settings forbid it."""
        return self._may_copy if action == "copy" else super().check_action(action, parameters)

    @on(Button.Pressed, "#copy")
    def action_copy(self) -> None:
        """Hand the line to the terminal (OSC 52)."""
        self.app.copy_to_clipboard(self._line)
        self.app.notify("Copied, if your terminal allows it.")

    @on(Button.Pressed, "#close")
    def action_close(self) -> None:
        """Close it."""
        self.dismiss(None)
