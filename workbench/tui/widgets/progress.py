"""How far a long piece of work has come: a bar, the rate and the time left, on one line."""

from __future__ import annotations

import time
from collections.abc import Callable

from workbench.tui.widgets.plain import Plain
from workbench.wording import count, duration, size

_BAR_WIDTH = 20
# A rate from less than this much time says nothing.
_LEAST_SECONDS = 0.5


class ProgressLine(Plain):
    """One line, empty while nothing is at work. Tell it every progress message; it draws itself."""

    DEFAULT_CSS = "ProgressLine { height: 1; color: $accent; }"

    def __init__(
        self,
        *,
        id: str | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__("", id=id)
        self._clock = clock
        self._phase = ""
        self._began = 0.0

    def tell(self, done: int, total: int, phase: str, *, bytes_: bool = True) -> None:
        """Show that `done` of `total` (0: unknown) are done; a new phase has its own clock.

        Args:
            phase: What is done, in the product's own words.
            bytes_: Whether bytes are counted, or pieces.
        """
        self.show(progress_text(done, total, phase, self._seconds_of(phase), bytes_=bytes_))

    def _seconds_of(self, phase: str) -> float:
        """Return how long this phase has been going on."""
        now = self._clock()
        if phase != self._phase:
            self._phase, self._began = phase, now
        return now - self._began

    def clear_line(self) -> None:
        """Show nothing again."""
        self._phase = ""
        self.show("")


def progress_text(done: int, total: int, phase: str, seconds: float, *, bytes_: bool = True) -> str:
    """Return `phase ████░░ 40 %  2 GiB of 5 GiB  110 MiB/s  27 s left`."""
    told = size if bytes_ else lambda amount: count(round(amount))
    rate = done / seconds if seconds > _LEAST_SECONDS else 0.0
    parts = [phase]
    if total > 0:
        share = min(done / total, 1.0)
        filled = int(share * _BAR_WIDTH)
        bar = "█" * filled + "░" * (_BAR_WIDTH - filled)
        parts.append(f"{bar} {share:.0%}")
        parts.append(f"{told(done)} of {told(total)}")
    else:
        parts.append(told(done))
    if rate:
        parts.append(f"{told(rate)}/s")
        if 0 < done < total:
            parts.append(f"{duration((total - done) / rate)} left")
    return "  ".join(parts)
