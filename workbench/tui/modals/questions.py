"""Questions: a message to read, a yes or no, a name to type before something is destroyed.

Cancel has the focus, Escape means no, and what destroys asks for the name of the thing.
"""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.widgets import Button, Input

from workbench.errors import WorkbenchError
from workbench.tui.hints import hint
from workbench.tui.modals.base import WorkbenchModal
from workbench.tui.widgets.plain import Plain, shown
from workbench.tui.widgets.text_input import TextInput


class MessageModal(WorkbenchModal[None]):
    """Something to read; Enter or Escape closes it."""

    AUTO_FOCUS = "#close"

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "close", "Close", id="message.close", tooltip="Close the message"),
        Binding("down,pagedown", "scroll(1)", "Further down", id="message.down", show=False,
                tooltip="Scroll a long message down"),
        Binding("up,pageup", "scroll(-1)", "Further up", id="message.up", show=False,
                tooltip="Scroll a long message up"),
    ]  # fmt: skip

    def __init__(self, title: str, text: str) -> None:
        super().__init__()
        self._title = title
        self._text = text

    @classmethod
    def of_error(cls, error: WorkbenchError) -> MessageModal:
        """Return the message for an error: what happened, then what to do."""
        return cls("That did not work", f"{error.message}\n\n{hint(error)}".rstrip())

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield Plain(self._title, classes="dialog-title")
            with VerticalScroll(classes="dialog-text"):
                yield Plain(self._text)
            with Horizontal(classes="buttons"):
                yield Button("Close", id="close", variant="primary")

    def action_scroll(self, pages: int) -> None:
        """Scroll by most of what is seen; the button keeps the focus, so Enter closes."""
        text = self.query_one(VerticalScroll)
        text.scroll_relative(y=pages * max(1, text.size.height - 2), animate=False)

    @on(Button.Pressed, "#close")
    def action_close(self) -> None:
        """Close the message."""
        self.dismiss(None)


class ConfirmModal(WorkbenchModal[bool]):
    """A yes or no. With `type_name` the name has to be typed before yes is possible."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "cancel", "Cancel", id="confirm.cancel", tooltip="Answer no"),
    ]

    def __init__(
        self, title: str, text: str, *, yes: str, type_name: str = "", danger: bool = False
    ) -> None:
        """Ask.

        Args:
            yes: What the agreeing button says: a verb, such as `Stop the run`.
            type_name: What must be typed first; empty: nothing.
            danger: Mark the agreeing button as destructive; implied by `type_name`.
        """
        super().__init__()
        self._title = title
        self._text = text
        self._yes = yes
        self._name = type_name
        self._danger = danger or bool(type_name)

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield Plain(self._title, classes="dialog-title")
            with VerticalScroll(classes="dialog-text"):
                yield Plain(self._text)
            if self._name:
                yield Plain(f"Type its name to go on: {self._name}")
                yield TextInput(id="typed")
            with Horizontal(classes="buttons"):
                yield Button("Cancel", id="cancel", variant="primary")
                yield Button(
                    shown(self._yes),
                    id="yes",
                    variant="error" if self._danger else "default",
                    disabled=bool(self._name),
                )

    def on_mount(self) -> None:
        """Put the focus where Enter does no harm."""
        self.query_one("#cancel", Button).focus()

    @on(Input.Changed, "#typed")
    def _compare(self, event: Input.Changed) -> None:
        self.query_one("#yes", Button).disabled = event.value != self._name

    @on(Button.Pressed, "#yes")
    def _agree(self) -> None:
        self.dismiss(True)

    @on(Button.Pressed, "#cancel")
    def action_cancel(self) -> None:
        """Answer no."""
        self.dismiss(False)
