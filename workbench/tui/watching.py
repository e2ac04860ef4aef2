"""Watching the home's runs for the top line, Home and Runs: cheap while nothing happens."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from textual.message import Message

from workbench.errors import WorkbenchError
from workbench.runs.index import RunIndex
from workbench.runs.state import RunState
from workbench.tui import work
from workbench.tui.session import Session

if TYPE_CHECKING:
    from textual.app import App

_POLL_SECONDS = 1.0
# However many runs there are: the looking takes at most this share of a processor.
_SHARE = 0.01
_LONGEST_REST_SECONDS = 3.0
# After the library could not be written: it was busy, the disk was full.
_AGAIN_SECONDS = 15.0
_PUBLISHED = ("finished", "stopped")


class RunsChanged(Message):
    """The home's runs stand as in `runs`, newest first; `live` are the trainings not yet over."""

    def __init__(self, runs: tuple[RunState, ...]) -> None:
        super().__init__()
        self.runs = runs
        self.live = tuple(state for state in runs if state.kind == "train" and not state.is_over)


class LibraryGrew(Message):
    """Runs ended and their adapters were registered."""

    def __init__(self, adapters: tuple[str, ...]) -> None:
        super().__init__()
        self.adapters = adapters


class RunWatcher:
    """Looks at the folder of runs once a second, and has finished ones entered into the library."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._index = RunIndex(session.home)
        self._told: tuple[RunState, ...] = ()
        # Published runs for which the library was asked already.
        self._entered: frozenset[str] = frozenset()
        self._not_before = 0.0
        self._polling = threading.Lock()
        self._next = 0.0

    def start(self, app: App[int]) -> None:
        """Begin to poll on behalf of `app`, which gets the messages."""

        def poll() -> None:
            # A look that takes longer than the interval must not be overtaken by the next one.
            if not self._polling.locked() and time.monotonic() >= self._next:
                work.begin(app, "runs", lambda _: self._poll(app), exclusive=False)

        app.set_interval(_POLL_SECONDS, poll)
        poll()

    def _poll(self, app: App[int]) -> None:
        if not self._polling.acquire(blocking=False):
            return
        began = time.thread_time()
        try:
            runs = self._index.refresh()
            rest = (time.thread_time() - began) / _SHARE
            if runs != self._told:
                self._told = runs
                app.post_message(RunsChanged(runs))
            self._register(app, runs)
            self._next = time.monotonic() + min(rest, _LONGEST_REST_SECONDS)
        finally:
            self._polling.release()

    def _register(self, app: App[int], runs: tuple[RunState, ...]) -> None:
        """Enter what was published since the last time; the room does nothing twice."""
        published = frozenset(
            state.run for state in runs if state.kind == "train" and state.state in _PUBLISHED
        )
        if published <= self._entered or not self._session.is_open:
            return
        if time.monotonic() < self._not_before:
            return
        from workbench.adapters.registration import register_finished

        try:
            names = tuple(entry.name for entry in register_finished(self._session.vault))
        except (WorkbenchError, OSError):
            self._not_before = time.monotonic() + _AGAIN_SECONDS
            return
        self._entered = published
        if names:
            app.post_message(LibraryGrew(names))
