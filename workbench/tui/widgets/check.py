"""A checkbox whose state is a glyph: Textual's own differs by colour alone."""

from __future__ import annotations

from textual.widgets import Checkbox


class Check(Checkbox):
    """`[x]` or `[ ]` before its label, which is a literal of ours."""

    BUTTON_LEFT = "["
    BUTTON_RIGHT = "]"

    def watch_value(self) -> None:
        """Show the state, and tell of the change."""
        self.BUTTON_INNER = "x" if self.value else " "
        super().watch_value()

    def on_mount(self) -> None:
        """Show the first state."""
        self.BUTTON_INNER = "x" if self.value else " "
