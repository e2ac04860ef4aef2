"""How far a long piece of work has come: a sentence, and below it a bar, a rate, the time left."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from workbench.tui.widgets.plain import Plain
from workbench.tui.widgets.progress import progress_text
from workbench.wording import duration


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
        seconds = self._clock() - self._began
        if done or total:
            told = progress_text(done, total, "", seconds, bytes_=False).strip()
        else:
            told = duration(seconds) if seconds >= 1 else ""
        self.show(f"{self._phases.get(phase, phase.capitalize())}\n{told}")
