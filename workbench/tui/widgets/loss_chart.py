"""The curve of a run's loss, and its held-out loss as marks on it.

The module imports numpy by way of the chart: import it where a run is shown, not at start-up.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.binding import BindingType
from textual.reactive import reactive
from textual_plot import HiResMode, PlotWidget

from workbench.runs.state import RunState

Points = Sequence[tuple[int, float]]
# Dots of a braille cell side by side: a finer curve than that cannot be seen.
_DOTS = 2
_MARK = "◆"


class LossChart(PlotWidget, can_focus=False, inherit_bindings=False):
    """Loss over steps in braille; told a run's state by `draw`."""

    BINDINGS: ClassVar[list[BindingType]] = []
    margin_top = reactive(0)
    margin_bottom = reactive(1)
    margin_left = reactive(7)

    def __init__(self) -> None:
        super().__init__(id="loss-chart", allow_pan_and_zoom=False)

    def draw(self, state: RunState) -> None:
        """Draw the curve as it is now."""
        variables = self.app.theme_variables
        # One point would be drawn as nothing, and no step has no curve.
        curve = thinned(state.curve, _DOTS * max(8, self.size.width - self.margin_left))
        last = max([state.steps, *(step for step, _ in curve)], default=1)
        with self.app.batch_update():
            self.clear()
            self.set_xlimits(0, max(1, last))
            if curve:
                steps, losses = zip(*(curve if len(curve) > 1 else curve * 2), strict=True)
                self.plot(
                    steps, losses, line_style=variables["primary"], hires_mode=HiResMode.BRAILLE
                )
            if state.evaluations:
                steps, losses = zip(*state.evaluations, strict=True)
                self.scatter(steps, losses, marker=_MARK, marker_style=variables["accent"])


def thinned(points: Points, most: int) -> list[tuple[float, float]]:
    """Return at most `most` points: neighbours become their mean, the newest stays itself."""
    if len(points) <= most:
        return [(float(step), loss) for step, loss in points]
    width = -(-len(points) // most)
    groups = [points[start : start + width] for start in range(0, len(points) - 1, width)]
    means = [
        (sum(step for step, _ in group) / len(group), sum(loss for _, loss in group) / len(group))
        for group in groups
    ]
    return [*means[: most - 1], (float(points[-1][0]), points[-1][1])]
