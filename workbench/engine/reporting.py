"""Progress of a short job as events, a few a second, and the place where it can be left."""

from __future__ import annotations

import time
from typing import Protocol

from workbench.engine.steering import Steering
from workbench.runs.protocol import EventWriter

_INTERVAL_SECONDS = 0.25


class Told(Protocol):
    """A session, as far as it is needed here."""

    @property
    def events(self) -> EventWriter:
        """Where events go."""

    @property
    def steering(self) -> Steering:
        """What was asked of the job meanwhile."""


class Reporter:
    """Writes `progress` events of one phase; raises `Interrupted` when the job is to end."""

    def __init__(self, session: Told, phase: str) -> None:
        self._session = session
        self._phase = phase
        self._last = 0.0

    def __call__(self, done: int, total: int = 0) -> None:
        """Tell how far the phase is; the last piece is always told."""
        self._session.steering.check()
        now = time.monotonic()
        if done != total and now - self._last < _INTERVAL_SECONDS:
            return
        self._last = now
        self._session.events.write("progress", phase=self._phase, done=done, total=total)
