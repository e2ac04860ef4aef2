"""A radio button whose state shows without colour."""

from __future__ import annotations

from textual.content import Content
from textual.widgets import RadioButton


class Radio(RadioButton):
    """Textual's tells on from off by colour alone; here the glyphs differ too."""

    def render(self) -> Content:
        """Draw the glyph of the state, then the label."""
        self.BUTTON_INNER = "●" if self.value else "○"
        return super().render()
