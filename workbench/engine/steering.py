"""What front doors and the system ask of a running job, seen between two pieces of work."""

from __future__ import annotations

import signal
import time
from types import FrameType
from typing import Literal, Protocol

from workbench.runs.protocol import Request

Ending = Literal["pause", "stop"]
_INTERVAL_SECONDS = 0.2


class Interrupted(Exception):
    """The job was asked to pause or to stop; raised where work can be left."""

    def __init__(self, ending: Ending) -> None:
        super().__init__(ending)
        self.ending = ending


class Requests(Protocol):
    """Where commands come from: the run's `ControlTail`."""

    def poll(self) -> list[Request]:
        """Return the commands that arrived since the last call."""


class Steering:
    """Looks at the control file now and then, and at SIGTERM, which means stop."""

    def __init__(self, requests: Requests) -> None:
        self._requests = requests
        self._looked = 0.0
        self._ending: Ending | None = None
        self._terminated = False
        self._checkpoint = False

    def listen(self) -> None:
        """From now on SIGTERM asks for a graceful stop instead of ending the process."""
        signal.signal(signal.SIGTERM, self._on_terminate)

    def _on_terminate(self, _number: int, _frame: FrameType | None) -> None:
        self._terminated = True

    def check(self) -> None:
        """Raise `Interrupted` if the job is to pause or stop; cheap enough to call anywhere."""
        now = time.monotonic()
        if now - self._looked >= _INTERVAL_SECONDS:
            self._looked = now
            for request in self._requests.poll():
                if request.command == "checkpoint":
                    self._checkpoint = True
                elif request.command in ("pause", "stop"):
                    self._ending = "stop" if request.command == "stop" else "pause"
        if self._terminated:
            raise Interrupted("stop")
        if self._ending is not None:
            raise Interrupted(self._ending)

    def take_checkpoint_request(self) -> bool:
        """Return whether a checkpoint was asked for since the last call."""
        asked, self._checkpoint = self._checkpoint, False
        return asked
