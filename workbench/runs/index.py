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
    """A run as it was last read.

    Attributes:
        mark: Tells whether its events are still the same.
        told: What the events told up to `offset`.
        state: The same, with what the lock and the control file tell.
    """

    mark: _Mark | None
    told: RunState
    state: RunState
    offset: int = 0


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
            told, offset = _read(folder, known, mark)
            state = settle(told, folder, alive=alive)
        except (WorkbenchError, OSError) as error:
            return self._unreadable(path, error, known)
        same = known is not None and known.state == state
        return _Known(mark, told, known.state if known is not None and same else state, offset)

    def _unreadable(self, path: Path, error: Exception, known: _Known | None) -> _Known | None:
        if not path.is_dir() or path.is_symlink():  # removed since the folder was read
            return None
        code = error.code if isinstance(error, Refused | BadInput) else "unreadable"
        state = RunState(run=path.name, state="damaged", reason=code)
        if known is not None and known.state == state:
            return known
        return _Known(_mark(path / "events.jsonl"), state, state)


def _read(folder: JobFolder, known: _Known | None, mark: _Mark | None) -> tuple[RunState, int]:
    """Return what the events tell, and how far they were read."""
    if known is None or known.state.state == "damaged" or mark is None:
        return glance(folder)
    if known.mark == mark:
        return known.told, known.offset
    inode, size, _ = mark
    grown = size - known.offset
    if known.mark is None or known.mark[0] != inode or not 0 <= grown <= _TAILS_BYTES[-1]:
        return glance(folder)
    with folder.events_file.open("rb", buffering=0) as file:
        file.seek(known.offset)
        data = file.read(grown)
    whole = data[: data.rfind(b"\n") + 1]
    return fold_all(known.told, decode_events(whole)), known.offset + len(whole)


def glance(folder: JobFolder) -> tuple[RunState, int]:
    """Return what both ends of a run's events tell, and where the last whole line ends.

    The curve between the ends is left out.

    Raises:
        NotFound, BadInput, Refused: As `JobFolder.spec` and the events' reader do.
    """
    before = first_state(folder.spec())
    try:
        with folder.events_file.open("rb", buffering=0) as file:
            for tail in _TAILS_BYTES:
                events, offset = _both_ends(file, tail)
                state = fold_all(before, events)
                if state.state in FINAL_TYPES:
                    break
    except FileNotFoundError:
        if not folder.path.exists():
            raise NotFound("The run was removed.", code="run_gone") from None
        return before, 0
    return state, offset


def _both_ends(file: FileIO, tail: int) -> tuple[list[Event], int]:
    size = os.fstat(file.fileno()).st_size
    file.seek(0)
    events: list[Event] = []
    if size > _HEAD_BYTES + tail:
        events = decode_events(file.read(_HEAD_BYTES))
        file.seek(size - tail)
        data = file.read(tail)
        start = size - tail + data.find(b"\n") + 1  # its first line begins somewhere before
        data = data[start - (size - tail) :]
    else:
        start, data = 0, file.read(size)
    whole = data[: data.rfind(b"\n") + 1]
    return events + decode_events(whole), start + len(whole)


def _mark(path: Path) -> _Mark | None:
    try:
        found = os.stat(path, follow_symlinks=False)
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
