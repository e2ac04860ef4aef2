"""Following a run from its first event on, as often as one likes, without the passphrase."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from workbench.runs.job import JobFolder
from workbench.runs.protocol import Event
from workbench.runs.state import RunState, first_state, fold, settle

OnEvent = Callable[[Event], None]
_POLL_SECONDS = 0.2


class Watch:
    """A run being watched: call `poll` as often as the screen wants to know.

    Attributes:
        state: Where the run stood at the latest poll.
    """

    def __init__(self, run_folder: Path) -> None:
        """Raises NotFound, BadInput, Refused as `JobFolder.spec` does."""
        self._folder = JobFolder(run_folder)
        self._tail = self._folder.events()
        self._told = first_state(self._folder.spec())
        self.state = self._told

    def poll(self) -> list[Event]:
        """Return the new events and bring `state` up to date.

        Raises:
            NotFound: code `run_gone`: the run was removed. Refused: code `newer_format`.
        """
        alive = self._folder.is_alive()
        events = self._tail.poll()
        for event in events:
            self._told = fold(self._told, event)
        self.state = settle(self._told, self._folder, alive=alive)
        return events


def follow(
    run_folder: Path,
    on_event: OnEvent | None = None,
    *,
    until: Callable[[RunState], bool] = lambda state: state.is_over,
    poll_seconds: float = _POLL_SECONDS,
    timeout_seconds: float | None = None,
) -> RunState:
    """Tell every event to `on_event`, past ones first, and return the state that `until` took.

    By default it returns when the job's process has ended: finished, stopped, failed, paused or
    crashed. With a timeout it returns the state of that moment.

    Raises:
        NotFound: there is no such run, or code `run_gone`: it was removed meanwhile.
        Refused: code `newer_format`.
    """
    watch = Watch(run_folder)
    end = None if timeout_seconds is None else time.monotonic() + timeout_seconds
    while True:
        for event in watch.poll():
            if on_event is not None:
                on_event(event)
        if until(watch.state) or (end is not None and time.monotonic() >= end):
            return watch.state
        time.sleep(poll_seconds)
