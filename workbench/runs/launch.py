"""Making a run's folder and starting its job as a process of its own."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from workbench.airgap.environment import child_environment
from workbench.durable import open_private, publish_bytes, staged_folder
from workbench.errors import BadInput, DoesNotFit
from workbench.runs.job import LOCK_VARIABLE, PATHS_VARIABLE, JobFolder, record_process
from workbench.runs.protocol import RunSpec
from workbench.vault.formats import SPEC
from workbench.vault.locking import hold
from workbench.vault.sealed import JSON, DataKey, seal_blob, to_json_bytes

if TYPE_CHECKING:
    from workbench.vault.store import Vault

# What a pipe holds without a reader (pipe(7)): the keys are written before the job reads them.
_PIPE_BYTES = 64 * 1024
# A job that just paused needs a moment to leave before the same run can be launched again.
_LEAVING_SECONDS = 10.0


@contextlib.contextmanager
def making_run(vault: Vault) -> Iterator[None]:
    """Keep keys from being swept from before they are made until a run's folder names them.

    Any number of front doors may be at it, and it may be nested; see `no_run_in_the_making`.

    Raises:
        Busy: A sweep took longer than the wait.
    """
    with hold(_making_lock(vault), shared=True):
        yield


@contextlib.contextmanager
def no_run_in_the_making(vault: Vault) -> Iterator[None]:
    """Hold off whoever would make a run: within the block every run's keys are in its folder.

    Raises:
        Busy: At once, when somebody is making a run.
    """
    with hold(_making_lock(vault), wait=0.0):
        yield


def _making_lock(vault: Vault) -> Path:
    return vault.locks_folder / "making-run.lock"


def create_run(vault: Vault, spec: RunSpec, sealed: Mapping[str, JSON]) -> Path:
    """Make the run's folder, whole or not at all, and return it.

    The run's key is made first if the keyring does not hold it yet. `sealed` holds names, paths
    and the full recipe; it is sealed under that key.

    Raises:
        FileExistsError: there is a run with this id.
    """
    target = vault.runs_folder / spec.run
    with making_run(vault), staged_folder(target) as stage:
        key = vault.key(spec.run) if spec.run in vault.key_ids() else vault.new_key(spec.run)
        folder = JobFolder(stage)
        line = json.dumps(spec.to_json(), separators=(",", ":"), allow_nan=False)
        publish_bytes(folder.spec_file, line.encode("ascii"))
        publish_bytes(folder.sealed_spec_file, seal_blob(key, SPEC, to_json_bytes(sealed)))
        folder.checkpoints_folder.mkdir(mode=0o700)
    return target


def launch(
    run_folder: Path,
    keys: Sequence[DataKey],
    *,
    module: str | Path = "workbench.engine",
    read: Sequence[Path] = (),
    write: Sequence[Path] = (),
) -> int:
    """Start the run's job and return its process number; the job outlives this process.

    The run's lock is taken here and inherited, so the run is alive from this moment on.

    Args:
        keys: Every key that the job needs, the run's own among them.
        module: What Python runs; a path runs that file (tests do).
        read: Files and folders that the job reads beside its own home.
        write: Files and folders outside the run that it writes.

    Raises:
        Busy: a process works on this run. NotFound: there is no such run.
        BadInput: more keys than one pipe holds. DoesNotFit: code `disk`: no space for an event.
    """
    folder = JobFolder(run_folder.absolute())
    folder.spec()
    wire = to_json_bytes({"keys": {key.object_id: key.to_wire() for key in keys}})
    if len(wire) > _PIPE_BYTES:
        raise BadInput("One job takes too many objects.", code="too_many_keys")
    lock = folder.take_lock(patience=_LEAVING_SECONDS)
    reading = writing = log = -1
    try:
        _tell_launch(folder)
        reading, writing = os.pipe()
        log = open_private(folder.log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        target = [str(module)] if isinstance(module, Path) else ["-m", module]
        paths = {"read": [str(p) for p in read], "write": [str(p) for p in write]}
        process = subprocess.Popen(
            [sys.executable, "-I", *target, str(folder.path), "--keys-fd", str(reading)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=folder.path,
            env=child_environment() | {LOCK_VARIABLE: str(lock), PATHS_VARIABLE: json.dumps(paths)},
            pass_fds=(reading, lock),
            start_new_session=True,
            umask=0o077,
        )
        record_process(lock, process.pid)
        os.write(writing, wire)
    finally:
        for descriptor in (lock, reading, writing, log):
            if descriptor >= 0:
                os.close(descriptor)
    # Somebody has to collect the ended child, or it stays as a zombie of a long-lived screen.
    threading.Thread(target=process.wait, name=f"collect-{folder.run}", daemon=True).start()
    return process.pid


def _tell_launch(folder: JobFolder) -> None:
    """Write that the run is launched, so that an earlier ending is no longer its last word."""
    try:
        with folder.writer() as writer:
            writer.write("launched")
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise DoesNotFit(
            "The disk is full: the run cannot tell what it does.",
            hint="Free some disk space, then resume the run; its checkpoints were kept.",
            code="disk",
        ) from None
