"""What becomes of colours where the user wants none (NO_COLOR)."""

from __future__ import annotations

from rich.segment import Segment
from rich.style import Style
from textual.color import Color
from textual.filter import LineFilter

_PLAIN = Style.null()


class Styled(LineFilter):
    """Gives a style to what has none: the filter that takes colours away expects one.

    Charts draw their empty rows so; without this, NO_COLOR and a chart end the app.
    """

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        """Return the segments, each with a style."""
        return [Segment(text, style or _PLAIN, control) for text, style, control in segments]
