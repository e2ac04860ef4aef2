"""Locks between processes and threads: flock on a small file, with a bounded wait."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from workbench import durable
from workbench.errors import Busy
from workbench.vault.home import home_gone

DEFAULT_WAIT = 10.0  # seconds
_PAUSE = 0.02


@contextlib.contextmanager
def hold(path: Path, *, shared: bool = False, wait: float = DEFAULT_WAIT) -> Iterator[None]:
    """Hold the lock at `path` for the block. It dies with its process and is not re-entrant.

    Args:
        path: The lock's file in a folder of the home, made when missing and never removed. The
            home is not: one that was moved or unmounted would find its place taken.
        shared: Let other shared holders in.
        wait: Most seconds to wait for others.

    Raises:
        Busy: Others held it all that time.
        NotFound: The home is gone (code `home_gone`).
    """
    try:
        with contextlib.suppress(FileExistsError):
            path.parent.mkdir(mode=0o700)
    except (FileNotFoundError, NotADirectoryError):
        raise home_gone(path.parent.parent) from None
    descriptor = durable.open_private(path, os.O_RDONLY | os.O_CREAT)
    try:
        _acquire(descriptor, fcntl.LOCK_SH if shared else fcntl.LOCK_EX, wait)
        yield
    finally:
        os.close(descriptor)


def _acquire(descriptor: int, mode: int, wait: float) -> None:
    deadline = time.monotonic() + wait
    while True:
        try:
            fcntl.flock(descriptor, mode | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise busy() from None
            time.sleep(_PAUSE)
        else:
            return


def busy() -> Busy:
    """The error for a vault whose lock another process did not give back in time."""
    return Busy(
        "Another process is at work in this vault; nothing was changed.",
        hint="Wait for it to end, then try again.",
        code="vault_busy",
    )
