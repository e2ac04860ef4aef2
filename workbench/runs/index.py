"""The runs of a home at a glance, as often as a screen likes: a thousand old ones cost little.

A run's list line needs its first events (when it was launched, what was measured) and its last
ones (how it stands, how it ended), not the thousands between: both ends of its file are read, and
nothing is read again until the file has changed.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

from workbench.errors import BadInput, NotFound, Refused, WorkbenchError
from workbench.runs.job import JobFolder
from workbench.runs.protocol import FINAL_TYPES, Event, decode_events
from workbench.runs.state import RunState, first_state, fold_all, settle
from workbench.runs.values import is_object_id

_HEAD_BYTES = 2 * 1024
# An ending sums the run up; without one, the last evaluation may lie some steps back.
_TAILS_BYTES = (2 * 1024, 24 * 1024)

_Mark = tuple[int, int, int]


@dataclass(frozen=True)
class _Known:
    """A run as it was last read; `mark` tells whether its events are still the same."""

    mark: _Mark | None
    told: RunState
    state: RunState


class RunIndex:
    """Keeps what was read of each run; one thread at a time may call `refresh`."""

    def __init__(self, home: Path) -> None:
        self._folder = home / "runs"
        self._known: dict[str, _Known] = {}

    def refresh(self) -> tuple[RunState, ...]:
        """Return every run, newest first, its curve left out; an unreadable one is `damaged`.

        A run that has not changed is the same object as before.
        """
        try:
            names = {name for name in os.listdir(self._folder) if is_object_id(name)}
        except OSError:
            names = set()
        known = {}
        for name in names:
            found = self._look(name, self._known.get(name))
            if found is not None:
                known[name] = found
        self._known = known
        states = [found.state for found in known.values()]
        return tuple(sorted(states, key=lambda state: (state.created, state.run), reverse=True))

    def _look(self, name: str, known: _Known | None) -> _Known | None:
        path = self._folder / name
        try:
            mark = _mark(path / "events.jsonl")
            # An ending stands in the file, and so does the launch that undoes it.
            if known is not None and known.mark == mark and known.state.is_over:
                return known
            folder = JobFolder(path)
            alive = folder.is_alive()
            told = known.told if known is not None and known.mark == mark else glance(folder)
            state = settle(told, folder, alive=alive)
        except (WorkbenchError, OSError) as error:
            return self._unreadable(path, error, known)
        same = known is not None and known.state == state
        return _Known(mark, told, known.state if known is not None and same else state)

    def _unreadable(self, path: Path, error: Exception, known: _Known | None) -> _Known | None:
        if not path.is_dir() or path.is_symlink():  # removed since the folder was read
            return None
        code = error.code if isinstance(error, Refused | BadInput) else "unreadable"
        state = RunState(run=path.name, state="damaged", reason=code)
        if known is not None and known.state == state:
            return known
        return _Known(_mark(path / "events.jsonl"), state, state)


def glance(folder: JobFolder) -> RunState:
    """Return what both ends of a run's events tell; the curve between them is left out.

    Raises:
        NotFound, BadInput, Refused: As `JobFolder.spec` and the events' reader do.
    """
    before = first_state(folder.spec())
    try:
        with folder.events_file.open("rb", buffering=0) as file:
            for tail in _TAILS_BYTES:
                state = fold_all(before, _both_ends(file, tail))
                if state.state in FINAL_TYPES:
                    break
    except FileNotFoundError:
        if not folder.path.exists():
            raise NotFound("The run was removed.", code="run_gone") from None
        return before
    return state


def _both_ends(file: FileIO, tail: int) -> list[Event]:
    size = os.fstat(file.fileno()).st_size
    file.seek(0)
    if size <= _HEAD_BYTES + tail:
        return decode_events(file.read(size))
    head = decode_events(file.read(_HEAD_BYTES))
    file.seek(size - tail)
    # The tail's first line begins somewhere before.
    return head + decode_events(file.read(tail).partition(b"\n")[2])


def _mark(path: Path) -> _Mark | None:
    try:
        found = os.stat(path, follow_symlinks=False)
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
