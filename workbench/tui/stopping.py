"""Stopping a piece of work and learning what became of it.

A worker that is cancelled tells nothing any more, so a screen could not say whether the room left
something behind. Work under a `StopFlag` ends by `WorkFailed` with `WorkStopped` once the room has
cleaned up, or by `WorkDone` where the stop came too late.
"""

from __future__ import annotations

from threading import Event

from workbench.tui.work import Progress, WorkStopped


class StopFlag:
    """Set by the screen, looked at by the work each time that it tells its progress."""

    def __init__(self) -> None:
        self._event = Event()

    @property
    def is_set(self) -> bool:
        """Whether a stop was asked for."""
        return self._event.is_set()

    def stop(self) -> None:
        """Ask the work to end."""
        self._event.set()

    def heeding(self, tell: Progress) -> Progress:
        """Return `tell`, which raises `WorkStopped` from now on if a stop was asked for."""

        def told(done: int, total: int, phase: str) -> None:
            if self._event.is_set():
                raise WorkStopped("Stopped.")
            tell(done, total, phase)

        return told
