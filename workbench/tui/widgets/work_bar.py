"""How far a long piece of work has come: a sentence, and below it a bar, a rate, the time left."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from workbench.tui.widgets.progress import ProgressLine, progress_text
from workbench.wording import duration


class WorkBar(ProgressLine):
    """Two lines; it is told pieces of a phase by its code, and shows that as `phases` has it."""

    DEFAULT_CSS = "WorkBar { height: auto; color: $foreground; }"

    def __init__(
        self,
        phases: Mapping[str, str],
        *,
        id: str | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(id=id, clock=clock)
        self._phases = phases

    def tell(self, done: int, total: int, phase: str, *, bytes_: bool = False) -> None:
        """Show progress; a new phase starts its own clock."""
        seconds = self._seconds_of(phase)
        if done or total:
            told = progress_text(done, total, "", seconds, bytes_=bytes_).strip()
        else:
            told = duration(seconds) if seconds >= 1 else ""
        self.show(f"{self._phases.get(phase, phase.capitalize())}\n{told}")
