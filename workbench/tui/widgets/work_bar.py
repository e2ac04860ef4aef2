"""How far a long piece of work has come: a sentence, a bar, the rate and the time left."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from workbench.tui.widgets.plain import Plain
from workbench.wording import count, duration

_WIDTH = 30
# A rate that was measured for less than this says nothing.
_LEAST_SECONDS = 0.5


class WorkBar(Plain):
    """Two lines; it is told phases by their code and shows them as `phases` has them."""

    def __init__(
        self,
        phases: Mapping[str, str],
        *,
        clock: Callable[[], float] = time.monotonic,
        id: str | None = None,  # noqa: A002  Textual's own name
    ) -> None:
        super().__init__("", id=id)
        self._phases = phases
        self._clock = clock
        self._phase = ""
        self._began = 0.0

    def tell(self, done: int, total: int, phase: str) -> None:
        """Show progress; a new phase starts its own clock."""
        if phase != self._phase:
            self._phase, self._began = phase, self._clock()
        sentence = self._phases.get(phase, phase.replace("_", " ").capitalize())
        self.show(f"{sentence}\n{bar(done, total, self._clock() - self._began)}")


def bar(done: int, total: int, seconds: float) -> str:
    """Return a bar with its share, the rate and the time left; `total` 0 is unknown."""
    rate = done / seconds if seconds > _LEAST_SECONDS else 0.0
    if total <= 0:
        told = f"{count(done)} so far, {rate:,.0f} a second" if rate else ""
        return told or f"{duration(seconds)}" * (seconds >= 1)
    share = min(done / total, 1.0)
    filled = int(share * _WIDTH)
    drawn = "█" * filled + "░" * (_WIDTH - filled)
    parts = [f"{drawn} {share:4.0%}  {count(done)} of {count(total)}"]
    if rate:
        parts.append(f"{rate:,.1f} a second")
        if done < total:
            parts.append(f"{duration((total - done) / rate)} left")
    return ", ".join(parts)
