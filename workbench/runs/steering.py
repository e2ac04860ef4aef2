"""Steering a run that works in the background: pause, stop, checkpoint, sample; bringing it back.

A command is a line in the run's control file, which the job reads between two steps. Only a stop
that is not answered becomes a signal, and a signal goes only to the process that is recorded in a
lock which is held, at the start time that was recorded: never to a later owner of its number.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.durable import fsync_folder
from workbench.errors import BadInput, Busy, NotFound
from workbench.runs.follow import follow
from workbench.runs.job import JobFolder, Process
from workbench.runs.launch import launch
from workbench.runs.listing import find_run
from workbench.runs.protocol import Command
from workbench.runs.state import RunState, current_state
from workbench.vault.formats import SPEC
from workbench.vault.sealed import open_blob

if TYPE_CHECKING:
    from workbench.vault.store import Vault

_KEYED_KINDS = ("ru-", "ds-", "ad-")
_PAUSE_SECONDS = 60.0
_STOP_SECONDS = 60.0
_TERM_SECONDS = 10.0
# A command that is not answered by then is worth a word while it is waited for.
_DELAY_SECONDS = 5.0

OnDelay = Callable[[RunState], None]


def _send(folder: JobFolder, command: Command) -> None:
    if current_state(folder.path).is_over or not folder.is_alive():
        raise BadInput(
            f"{folder.run} does not run, so there is nothing to {command}.",
            hint=f"`workbench run show {folder.run}` tells where it stands.",
            code="not_running",
        )
    folder.control().send(command)


def pause(
    home: Path,
    run: str,
    *,
    wait_seconds: float = _PAUSE_SECONDS,
    on_delay: OnDelay | None = None,
) -> RunState:
    """Ask the job to checkpoint and leave the device; return the state once it has, or so far.

    Args:
        on_delay: Told where the run stands when the answer takes more than 5 seconds.

    Raises:
        NotFound: no such run. BadInput: code `not_running`.
    """
    folder = JobFolder(find_run(home, run))
    _send(folder, "pause")
    return wait_until(folder.path, lambda state: state.is_over, wait_seconds, on_delay)


def checkpoint(
    home: Path,
    run: str,
    *,
    wait_seconds: float = _PAUSE_SECONDS,
    on_delay: OnDelay | None = None,
) -> RunState:
    """Ask the job for a checkpoint now; return the state once it is written, or so far.

    Args:
        on_delay: Told where the run stands when the answer takes more than 5 seconds.

    Raises:
        NotFound: no such run. BadInput: code `not_running`.
    """
    folder = JobFolder(find_run(home, run))
    before = current_state(folder.path)
    _send(folder, "checkpoint")
    return wait_until(
        folder.path,
        lambda state: state.is_over or state.checkpoints > before.checkpoints,
        wait_seconds,
        on_delay,
    )


def sample(
    home: Path,
    run: str,
    *,
    wait_seconds: float | None = _PAUSE_SECONDS,
    on_delay: OnDelay | None = None,
) -> RunState:
    """Ask a training job to let the model answer a few records now; return the state once it has.

    `samples` has grown then, or `unsampled` where the job could not, or neither: the run ended
    first, or the time is up, after which the job still does as it was asked.

    Args:
        wait_seconds: None waits as long as the run works.
        on_delay: Told where the run stands when the answer takes more than 5 seconds.

    Raises:
        NotFound: no such run. BadInput: code `not_running` or `not_training`.
    """
    folder = JobFolder(find_run(home, run))
    before = current_state(folder.path)
    if before.kind != "train":
        raise BadInput(
            f"{folder.run} does not train a model that could be sampled.", code="not_training"
        )
    _send(folder, "sample")
    asks = before.samples + before.unsampled
    return wait_until(
        folder.path,
        lambda state: state.is_over or state.samples + state.unsampled > asks,
        wait_seconds,
        on_delay,
    )


def stop(
    home: Path,
    run: str,
    *,
    grace_seconds: float = _STOP_SECONDS,
    term_seconds: float = _TERM_SECONDS,
    on_delay: OnDelay | None = None,
) -> RunState:
    """End a run for good and return its last state; a finished run stays as it is.

    The job is asked first; after `grace_seconds` without an answer its process group gets SIGTERM,
    and after `term_seconds` more SIGKILL. A run without a process (paused, crashed, killed just
    now) is marked as stopped from here. `grace_seconds=0` only asks.

    Raises:
        NotFound: no such run.
    """
    folder = JobFolder(find_run(home, run))
    if folder.is_alive() and not current_state(folder.path).is_over:
        folder.control().send("stop")
        if grace_seconds <= 0:
            return current_state(folder.path)
        state = wait_until(folder.path, lambda state: state.is_over, grace_seconds, on_delay)
        for number in (signal.SIGTERM, signal.SIGKILL):
            if state.is_over or not _signal_group(folder, number):
                break
            state = wait_until(folder.path, lambda state: state.is_over, term_seconds)
    return _mark_stopped(folder)


def _signal_group(folder: JobFolder, number: signal.Signals) -> bool:
    """Signal the job's process group; say whether there was one that is surely the job's."""
    recorded = folder.process()
    if recorded is None:
        return False
    with contextlib.suppress(ProcessLookupError, PermissionError):
        # Held open, the process's number cannot be given to another while we look and signal.
        handle = os.pidfd_open(recorded.pid)
        try:
            same = Process.of(recorded.pid) == recorded
            if same and folder.is_alive() and os.getpgid(recorded.pid) == recorded.pid:
                os.killpg(recorded.pid, number)
                return True
        finally:
            os.close(handle)
    return False


def _mark_stopped(folder: JobFolder) -> RunState:
    """Write the ending of a run that has no process; whoever holds the lock may write events."""
    state = current_state(folder.path)
    if state.state in ("finished", "stopped"):
        return state
    # Busy: it lives on after all, or somebody else does the same; the state then tells.
    with contextlib.suppress(Busy), folder.held():
        state = current_state(folder.path)
        if state.state not in ("finished", "stopped"):
            with folder.writer() as writer:
                writer.write("stopped", step=state.step)
    return current_state(folder.path)


def wait_until(
    run_folder: Path,
    until: Callable[[RunState], bool],
    seconds: float | None = None,
    on_delay: OnDelay | None = None,
) -> RunState:
    """Wait until the run's state is wanted or the time is up; return the state of that moment.

    Args:
        on_delay: Told the state once, when 5 seconds were not enough.
    """
    if on_delay is not None and (seconds is None or seconds > _DELAY_SECONDS):
        state = follow(run_folder, until=until, timeout_seconds=_DELAY_SECONDS)
        if until(state):
            return state
        on_delay(state)
        seconds = None if seconds is None else seconds - _DELAY_SECONDS
    return follow(run_folder, until=until, timeout_seconds=seconds)


def resume(vault: Vault, run: str, *, module: str | Path = "workbench.engine") -> int:
    """Launch a paused, failed or crashed run again, from its last checkpoint; return its pid.

    Raises:
        NotFound: no such run; code `run_orphaned`: what it needs was removed. Busy: it runs.
        VaultDamaged: its sealed specification does not open.
        BadInput: code `not_resumable`: it was finished or stopped.
    """
    folder = JobFolder(find_run(vault.home, run))
    state = current_state(folder.path)
    if not state.is_resumable:
        # The process of a run that is over may take a moment to go.
        if folder.is_alive() and not state.is_over:
            raise Busy(f"{folder.run} runs already.", code="run_busy")
        raise BadInput(
            f"{folder.run} is {state.state} and cannot go on.",
            hint="Start a new run with `workbench train`.",
            code="not_resumable",
        )
    names = {folder.run, *folder.spec().objects.values()}
    try:
        keys = [vault.key(name) for name in sorted(names) if name.startswith(_KEYED_KINDS)]
        plaintext = open_blob(vault.key(folder.run), SPEC, folder.sealed_spec_file.read_bytes())
        read, write = _outside_paths(json.loads(plaintext))
    except (NotFound, FileNotFoundError) as error:
        raise NotFound(
            f"{folder.run} cannot go on: its dataset, its model or a file of it was removed.",
            hint=f"End it with `workbench run stop {folder.run}`, and start a new run.",
            code="run_orphaned",
        ) from error
    # Commands from before this line were meant for the earlier process.
    folder.control().send("resume")
    return launch(folder.path, keys, module=module, read=read, write=write)


def _outside_paths(sealed: Mapping[str, Any]) -> tuple[list[Path], list[Path]]:
    """Return what the job reads and writes outside the home, as its first launch granted it."""
    model = sealed.get("model") or {}
    folder = Path(model["folder"]) if "folder" in model else None
    linked = [p.resolve() for p in folder.iterdir() if p.is_symlink()] if folder else []
    return linked, [Path(sealed["out"]).parent] if "out" in sealed else []


def remove_run(vault: Vault, run: str) -> None:
    """Shred the run's key and delete its folder. The adapter that it made stays.

    Raises:
        NotFound: no such run. Busy: its job runs.
    """
    folder = JobFolder(find_run(vault.home, run))
    lock = folder.take_lock()
    try:
        # The key first: what a crash leaves of the folder is then unreadable.
        with contextlib.suppress(NotFound):
            vault.shred(folder.run)
        with contextlib.suppress(NotFound):
            vault.catalogue.remove(folder.run)
        shutil.rmtree(folder.path)
        fsync_folder(folder.path.parent)
    finally:
        os.close(lock)
    vault.audit.append("run_removed", {"run": folder.run})
