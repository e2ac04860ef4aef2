"""The folder of one run: its files, and the lock that says whether its job lives."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from workbench.durable import open_private
from workbench.errors import BadInput, Busy, NotFound
from workbench.runs.protocol import ControlFile, ControlTail, EventTail, EventWriter, RunSpec

# The launcher takes the run's lock and hands the open file to the job under this variable, so
# that no moment passes in which a launched run looks dead.
LOCK_VARIABLE = "WORKBENCH_LOCK_FD"
# Landlock has to know its paths before the job may read its keys, hence before the sealed spec.
PATHS_VARIABLE = "WORKBENCH_PATHS"
_PATIENCE_SECONDS = 2.0
_SIDES = ("read", "write")
_STAT_START_FIELD = 19  # start time in clock ticks: field 22 of proc(5) stat, after pid and comm


@dataclass(frozen=True)
class Process:
    """A process that cannot be mistaken for a later one of the same number.

    Attributes:
        pid: Its number.
        start: Its start time in clock ticks since boot.
    """

    pid: int
    start: int

    @classmethod
    def of(cls, pid: int) -> Process | None:
        """Return the process that has this number now; None when there is none."""
        try:
            stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            return None
        # The command's name stands in brackets and may hold brackets and spaces itself.
        return cls(pid, int(stat.rpartition(")")[2].split()[_STAT_START_FIELD]))


@dataclass(frozen=True)
class JobFolder:
    """Names of what lies in `runs/<id>/`.

    Attributes:
        path: The run's folder.
    """

    path: Path

    @property
    def run(self) -> str:
        """The run's object id."""
        return self.path.name

    @property
    def home(self) -> Path:
        """The home that this run belongs to."""
        return self.path.parent.parent

    @property
    def locks_folder(self) -> Path:
        """Where the locks of the devices lie."""
        return self.home / "locks"

    @property
    def spec_file(self) -> Path:
        """Ids, numbers and codes; see `RunSpec`."""
        return self.path / "spec.json"

    @property
    def sealed_spec_file(self) -> Path:
        """Names, paths and the recipe, sealed under the run's key."""
        return self.path / "spec.sealed"

    @property
    def events_file(self) -> Path:
        """What the job told."""
        return self.path / "events.jsonl"

    @property
    def control_file(self) -> Path:
        """What front doors asked for."""
        return self.path / "control.jsonl"

    @property
    def lock_file(self) -> Path:
        """Locked as long as the job lives; names its process."""
        return self.path / "lock"

    @property
    def log_file(self) -> Path:
        """What libraries printed, redacted."""
        return self.path / "engine.log"

    @property
    def checkpoints_folder(self) -> Path:
        """Sealed checkpoints."""
        return self.path / "checkpoints"

    @property
    def samples_folder(self) -> Path:
        """Sealed samples: what the model answered while it was trained."""
        return self.path / "samples"

    @property
    def result_file(self) -> Path:
        """What the job made, sealed under the run's key."""
        return self.path / "result.sealed"

    def spec(self) -> RunSpec:
        """Read `spec.json`.

        Raises:
            NotFound: there is no such run.
            BadInput: code `bad_run_spec`. Refused: code `newer_format`.
        """
        try:
            text = self.spec_file.read_text(encoding="ascii")
        except (FileNotFoundError, NotADirectoryError):
            raise NotFound(
                f"There is no run {self.run}.", hint="`workbench run list` shows what is there."
            ) from None
        except UnicodeDecodeError:
            text = ""
        try:
            data = json.loads(text)
        except (ValueError, RecursionError):
            raise BadInput("The run's specification is damaged.", code="bad_run_spec") from None
        spec = RunSpec.from_json(data)
        if spec.run != self.run:
            raise BadInput("The run's specification belongs elsewhere.", code="bad_run_spec")
        return spec

    def events(self) -> EventTail:
        """Return a reader that starts at the first event."""
        return EventTail(self.events_file)

    def writer(self) -> EventWriter:
        """Return the writer of events; the caller holds the lock."""
        return EventWriter(self.events_file)

    def control(self) -> ControlFile:
        """Return the front doors' end of the control file."""
        return ControlFile(self.control_file)

    def requests(self) -> ControlTail:
        """Return the job's end of the control file."""
        return ControlTail(self.control_file)

    def is_alive(self) -> bool:
        """Say whether a process holds the run's lock."""
        try:
            descriptor = os.open(self.lock_file, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except (FileNotFoundError, NotADirectoryError):
            return False
        try:
            # A shared try: two readers never see each other, only the holder.
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                raise
            return True
        finally:
            os.close(descriptor)
        return False

    def granted_paths(self) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
        """Return the (read, write) paths that this run's job may reach, for its Landlock.

        The home's datasets, models and adapters may be read; the run, the adapters and the locks
        written; what the launcher granted beside them comes on top.
        """
        try:
            given = json.loads(os.environ.get(PATHS_VARIABLE, "{}"))
            extra = {side: tuple(Path(p) for p in given.get(side, ())) for side in _SIDES}
        except (ValueError, TypeError, AttributeError):
            raise BadInput("The job was launched with unreadable paths.", code="usage") from None
        home = self.home
        read = (home / "datasets", home / "models", home / "adapters", *extra["read"])
        write = (self.path, self.locks_folder, home / "adapters", *extra["write"])
        return read, write

    def process(self) -> Process | None:
        """Return the process that was last recorded in the lock file; it may be long gone."""
        try:
            data = json.loads(self.lock_file.read_text(encoding="ascii"))
            return Process(int(data["pid"]), int(data["start"]))
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None

    def take_lock(self, patience: float = _PATIENCE_SECONDS) -> int:
        """Lock the run and return the open file; closing every copy of it frees the run.

        Args:
            patience: Seconds to wait for whoever holds it.

        Raises:
            Busy: another process works on this run.
        """
        descriptor = open_private(self.lock_file, os.O_RDWR | os.O_CREAT)
        try:
            # Readers hold the lock for microseconds while they look; outlast them.
            end = time.monotonic() + patience
            while not _try_lock(descriptor):
                if time.monotonic() > end:
                    raise Busy(
                        f"Another process works on {self.run}.",
                        hint=f"`workbench run follow {self.run}` shows what it does.",
                        code="run_busy",
                    )
                time.sleep(0.02)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Hold the run's lock for the length of a block; a job enters it first and leaves it last.

        The lock that the launcher handed over is adopted, or else taken here, and this process
        is recorded in it.

        Raises:
            Busy: another process works on this run.
        """
        inherited = os.environ.pop(LOCK_VARIABLE, "")
        descriptor = int(inherited) if inherited.isdigit() else -1
        if descriptor >= 0 and _same_file(descriptor, self.lock_file) and _try_lock(descriptor):
            os.set_inheritable(descriptor, False)
        else:
            descriptor = self.take_lock()
        try:
            record_process(descriptor, os.getpid())
            yield
        finally:
            os.close(descriptor)


def record_process(descriptor: int, pid: int) -> None:
    """Write who holds the lock into the lock file, so that only that process is ever signalled."""
    process = Process.of(pid)
    if process is not None:
        line = json.dumps({"pid": process.pid, "start": process.start}).encode("ascii") + b"\n"
        os.pwrite(descriptor, line.ljust(64), 0)


def _same_file(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except OSError:
        return False


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
