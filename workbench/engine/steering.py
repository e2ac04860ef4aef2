"""What front doors and the system ask of a running job, seen between two pieces of work."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType
from typing import Literal, Protocol

from workbench.runs.protocol import Request

Ending = Literal["pause", "stop"]
_INTERVAL_SECONDS = 0.2


class Interrupted(BaseException):
    """The job was asked to pause or to stop; raised where work can be left.

    Like KeyboardInterrupt it is no `Exception`: a library that catches those must not take it for
    a failure of its own and go on.
    """

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
        self._sample = False
        self._looking = threading.Lock()
        self._abandonable = False

    def listen(self) -> None:
        """From now on SIGTERM asks for a graceful stop instead of ending the process."""
        signal.signal(signal.SIGTERM, self._on_terminate)

    def _on_terminate(self, _number: int, _frame: FrameType | None) -> None:
        self._terminated = True

    def check(self) -> None:
        """Raise `Interrupted` if the job is to pause or stop; cheap enough to call anywhere."""
        self._look()
        ending = self._asked()
        if ending is not None:
            raise Interrupted(ending)

    def _look(self) -> None:
        with self._looking:
            now = time.monotonic()
            if now - self._looked < _INTERVAL_SECONDS:
                return
            self._looked = now
            for request in self._requests.poll():
                if request.command == "checkpoint":
                    self._checkpoint = True
                elif request.command == "sample":
                    self._sample = True
                elif request.command in ("pause", "stop"):
                    self._ending = "stop" if request.command == "stop" else "pause"

    def _asked(self) -> Ending | None:
        return "stop" if self._terminated else self._ending

    @contextlib.contextmanager
    def abandoning(self) -> Iterator[None]:
        """Let a pause or stop raise `Interrupted` anywhere in the block, not only at a `check`.

        For imports, loading and rehearsing: long pieces of other people's code that nobody can
        look up from, and whose results go with the process. A thread looks for requests and, only
        once there is one, signals the main thread: system calls are never disturbed otherwise.
        Outside the main thread the block is left by `check` alone.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        main, done = threading.get_ident(), threading.Event()

        def watch() -> None:
            while not done.wait(_INTERVAL_SECONDS):
                self._look()
                if self._asked() is not None:
                    # Again and again: what caught the first one will not stay.
                    signal.pthread_kill(main, signal.SIGUSR1)

        before = signal.signal(signal.SIGUSR1, self._abandon)
        watcher = threading.Thread(target=watch, name="steering", daemon=True)
        watcher.start()
        try:
            self._abandonable = True
            yield
        finally:
            self._abandonable = False
            done.set()
            watcher.join()
            signal.signal(signal.SIGUSR1, before)

    def _abandon(self, _number: int, _frame: FrameType | None) -> None:
        # No lock here: the thread that is interrupted may hold it.
        ending = self._asked()
        if self._abandonable and ending is not None:
            raise Interrupted(ending)

    def take_checkpoint_request(self) -> bool:
        """Return whether a checkpoint was asked for since the last call."""
        asked, self._checkpoint = self._checkpoint, False
        return asked

    def take_sample_request(self) -> bool:
        """Return whether a sample was asked for since the last call."""
        asked, self._sample = self._sample, False
        return asked
