"""One job as a process of its own: `python -I -m workbench.engine RUN_DIR --keys-fd N`.

The order is the point: take the run's lock, lock the process down, and only then read the keys
and import torch. Whatever goes wrong becomes a `failed` event with the exception's type and
place; its message stays unsaid, because messages quote what they stumble over.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import logging
import os
import sys
import traceback
import warnings
from pathlib import Path
from typing import Any, NoReturn

from workbench.airgap.landlock import LandlockPaths
from workbench.airgap.leaks import describe, guard_tracebacks
from workbench.airgap.lockdown import Policy, Protection, current_protection, lock_down
from workbench.engine.libraries import import_libraries
from workbench.engine.quiet import settle
from workbench.engine.session import Session, read_keys, read_sealed_spec
from workbench.engine.steering import Interrupted, Steering
from workbench.errors import WorkbenchError
from workbench.runs.job import JobFolder
from workbench.runs.protocol import EventWriter
from workbench.runs.queue import DeviceQueue

_JOBS = {
    "train": "workbench.engine.jobs.train",
    "evaluate": "workbench.engine.jobs.evaluate",
    "generate": "workbench.engine.jobs.generate",
    "export": "workbench.engine.jobs.export",
    "probe": "workbench.engine.jobs.probe",
}
_CRASHED = 70


def main(arguments: list[str] | None = None) -> int:
    """Do the job and return the exit code: 0 also for a job that was paused or stopped."""
    guard_tracebacks()
    _hush()
    parser = argparse.ArgumentParser(prog="workbench.engine", allow_abbrev=False)
    parser.add_argument("run_folder", type=Path)
    parser.add_argument("--keys-fd", type=int, required=True)
    told = parser.parse_args(arguments)
    job = JobFolder(told.run_folder.absolute())
    with job.held():
        resumed = any(event["type"] == "started" for event in job.events().poll())
        with job.writer() as events:
            try:
                _work(job, events, told.keys_fd, resumed=resumed)
            except BaseException as error:
                return _tell_failure(events, error)
    return 0


def _work(job: JobFolder, events: EventWriter, keys_fd: int, *, resumed: bool) -> None:
    spec = job.spec()
    steering = Steering(job.requests())
    steering.listen()
    settle()
    events.write("started", resumed=resumed)
    protection = _protect(job, events)
    keys = read_keys(keys_fd)
    session = Session(
        job=job,
        spec=spec,
        sealed=read_sealed_spec(job, keys),
        keys=keys,
        events=events,
        steering=steering,
        protection=protection,
        resumed=resumed,
    )
    try:
        _take_turn(session)
    except Interrupted as interruption:
        ended = "stopped" if interruption.ending == "stop" else "paused"
        events.write(ended, step=0)


def _protect(job: JobFolder, events: EventWriter) -> Protection:
    read, write = job.granted_paths()
    try:
        return lock_down(Policy(landlock=LandlockPaths(read=read, write=write)))
    finally:
        # Also when it does not hold and the job is refused: the record says why.
        achieved = current_protection()
        if achieved is not None:
            events.write("protection", layers=achieved.to_json())


def _take_turn(session: Session) -> None:
    """Wait for the device, then do the job; the heavy imports happen here."""
    steering = session.steering

    def gives_up() -> bool:
        try:
            steering.check()
        except Interrupted:
            return True
        return False

    queue = DeviceQueue(session.home, session.spec.device)
    told = session.events.write
    with queue.turn(on_wait=lambda ahead: _ignore(told("queued", position=ahead)),
                    gives_up=gives_up) as ours:  # fmt: skip
        if ours:
            with steering.abandoning():
                import_libraries()
                job = importlib.import_module(_JOBS[session.spec.kind])
            job.run(session)
        else:
            steering.check()


def _ignore(_: Any) -> None:
    """Take a value where none is wanted."""


def _tell_failure(events: EventWriter, error: BaseException) -> int:
    told = describe(error)
    code = "crashed"
    if isinstance(error, WorkbenchError):
        code = error.code
    elif isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        code = "out_of_memory"
    places = [
        f"{Path(frame.filename).name}:{frame.lineno}"
        for frame in traceback.extract_tb(error.__traceback__)
    ]
    print(f"{told['error_type']} ({code}) by way of {' '.join(places)}", file=sys.stderr)
    events.write("failed", **told, code=code)
    return error.exit_code if isinstance(error, WorkbenchError) else _CRASHED


def _hush() -> None:
    """Keep what libraries would log out of engine.log: it may quote records."""
    logging.disable(logging.CRITICAL)
    warnings.showwarning = lambda _message, category, filename, lineno, *_: print(
        f"{category.__name__} at {Path(filename).name}:{lineno}; details are withheld",
        file=sys.stderr,
    )


def _leave(code: int) -> NoReturn:
    """End the process at once.

    Taking the interpreter and its libraries apart takes a second, more on a busy machine, in which
    a GPU's memory is still held; everything that was to be kept is on the disk by now.
    """
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


if __name__ == "__main__":
    _leave(main())
