"""A checkbox whose state is a glyph: Textual's own differs by colour alone."""

from __future__ import annotations

from textual.content import Content
from textual.widgets import Checkbox


class Check(Checkbox):
    """`[x]` or `[ ]` before its label, which is a literal of ours."""

    def render(self) -> Content:
        """Draw the mark, as readable as the text beside it, and the label."""
        mark = Content("[x]" if self.value else "[ ]")
        style = self.get_visual_style("toggle--label")
        return mark + self.label.pad(1, 1).stylize_before(style)
