"""One of several: a radio button whose mark tells by its shape whether it is chosen."""

from __future__ import annotations

from textual.content import Content
from textual.widgets import RadioButton


class Choice(RadioButton):
    """Textual's own differs by colour alone."""

    def render(self) -> Content:
        """Draw the mark and the label, which is the product's own words."""
        mark = Content("(●)" if self.value else "( )")
        style = self.get_visual_style("toggle--label")
        return mark + self.label.pad(1, 1).stylize_before(style)
