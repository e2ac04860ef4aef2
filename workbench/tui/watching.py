"""Watching the home's runs for the top line and Home: cheap while nothing happens."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.message import Message

from workbench.errors import WorkbenchError
from workbench.runs.follow import Watch
from workbench.runs.state import RunState
from workbench.tui import work
from workbench.tui.session import Session

if TYPE_CHECKING:
    from textual.app import App

_POLL_SECONDS = 1.0


class RunsChanged(Message):
    """The runs that have not ended, newest first, stand as in `live`."""

    def __init__(self, live: tuple[RunState, ...]) -> None:
        super().__init__()
        self.live = live


class LibraryGrew(Message):
    """Runs ended and their adapters were registered."""

    def __init__(self, adapters: tuple[str, ...]) -> None:
        super().__init__()
        self.adapters = adapters


class RunWatcher:
    """Polls the folder of runs once a second; finished ones are read once and then left alone."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._watches: dict[str, Watch] = {}
        self._over: set[str] = set()
        self._told: tuple[RunState, ...] = ()
        self._unregistered = False

    def start(self, app: App[int]) -> None:
        """Begin to poll on behalf of `app`, which gets the messages."""

        def poll() -> None:
            work.begin(app, "runs", lambda _: self._poll(app))

        app.set_interval(_POLL_SECONDS, poll)

    def _poll(self, app: App[int]) -> None:
        live = tuple(sorted(self._live(), key=lambda state: state.created, reverse=True))
        if live != self._told:
            self._told = live
            app.post_message(RunsChanged(live))
        if self._unregistered and self._session.is_open:
            from workbench.adapters.registration import register_finished

            self._unregistered = False
            names = tuple(entry.name for entry in register_finished(self._session.vault))
            if names:
                app.post_message(LibraryGrew(names))

    def _live(self) -> list[RunState]:
        folder = self._session.home / "runs"
        try:
            names = {path.name for path in folder.iterdir() if path.name.startswith("ru-")}
        except OSError:
            names = set()
        for gone in set(self._watches) - names:
            del self._watches[gone]
        live = []
        for name in names - self._over:
            try:
                watch = self._watches.get(name) or Watch(folder / name)
                watch.poll()
            except WorkbenchError:
                self._over.add(name)
                continue
            if watch.state.is_over:
                # A paused or crashed run may come back: its lock is looked at when Runs resumes it.
                self._watches.pop(name, None)
                self._over.add(name)
                self._unregistered = True
            else:
                self._watches[name] = watch
                if watch.state.kind == "train":
                    live.append(watch.state)
        return live

    def look_again(self, run: str) -> None:
        """Watch a run once more that had ended and was resumed."""
        self._over.discard(run)
