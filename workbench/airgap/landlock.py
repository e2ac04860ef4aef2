"""Landlock: which files this process may open, and no TCP port at all.

Rights that the running kernel does not know are left out, so an older kernel still gets all that
it can hold. Source: linux/landlock.h and the kernel's userspace-api/landlock page.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import struct
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from workbench.airgap.linux import syscall, this_machine, thread_count

_VERSION_QUESTION = 1
_RULE_PATH_BENEATH = 1

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_TRUNCATE, _IOCTL_DEV = 1 << 14, 1 << 15
_FIRST_RIGHTS = (1 << 13) - 1
_REFER = 1 << 13
_FILE_RIGHTS = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEV
_READ_RIGHTS = _EXECUTE | _READ_FILE | _READ_DIR
_NET_RIGHTS = (1 << 0) | (1 << 1)  # bind and connect of TCP, since ABI 4
_SCOPES = (1 << 0) | (1 << 1)  # abstract Unix sockets and signals to outside, since ABI 6


@dataclass(frozen=True)
class LandlockPaths:
    """What a job may reach beside the system's own files (see `system_paths`).

    Attributes:
        read: Files and folders to read and run; names that do not exist are passed over.
        write: Files and folders to read and change.
    """

    read: tuple[Path, ...] = ()
    write: tuple[Path, ...] = ()


def system_paths() -> LandlockPaths:
    """Return what Python, torch and CUDA need of the machine.

    CUDA writes thread names below /proc and does not start without; /dev/shm carries what
    processes share. Neither /tmp nor a home folder is among them.
    """
    interpreter = [sys.prefix, sys.exec_prefix, sys.base_prefix, sys.base_exec_prefix]
    # The package may stand outside the interpreter's folders when it runs from a checkout.
    package = Path(__file__).resolve().parent.parent
    system = ["/usr", "/lib", "/lib32", "/lib64", "/bin", "/sbin", "/etc", "/opt", "/sys"]
    devices = ["/dev/urandom", "/dev/random", "/run/nvidia-persistenced"]
    written = ["/proc", "/dev/null", "/dev/zero", "/dev/full", "/dev/tty", "/dev/shm"]  # noqa: S108  the kernel's
    nvidia = [*sorted(Path("/dev").glob("nvidia*")), Path("/dev/dri")]
    return LandlockPaths(
        read=(package, *(Path(name) for name in (*interpreter, *system, *devices))),
        write=(*(Path(name) for name in written), *nvidia),
    )


def abi_version() -> int:
    """Return the kernel's Landlock version. Raises OSError: ENOSYS or EOPNOTSUPP without it."""
    return syscall("landlock_create_ruleset", None, 0, _VERSION_QUESTION)


def _handled(abi: int) -> int:
    rights = _FIRST_RIGHTS
    if abi >= 2:
        rights |= _REFER
    if abi >= 3:
        rights |= _TRUNCATE
    if abi >= 5:
        rights |= _IOCTL_DEV
    return rights


def _ruleset(abi: int) -> int:
    fields = [_handled(abi)]
    if abi >= 4:
        fields.append(_NET_RIGHTS)
    if abi >= 6:
        fields.append(_SCOPES)
    attributes = struct.pack(f"={len(fields)}Q", *fields)
    buffer = ctypes.create_string_buffer(attributes, len(attributes))
    return syscall("landlock_create_ruleset", buffer, len(attributes), 0)


def _existing(paths: Iterable[Path]) -> Iterator[tuple[int, bool]]:
    """Yield an open O_PATH descriptor for each path that exists, and whether it is a folder."""
    for path in paths:
        try:
            descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except OSError:
            continue
        try:
            yield descriptor, stat.S_ISDIR(os.fstat(descriptor).st_mode)
        finally:
            os.close(descriptor)


def _allow(ruleset: int, paths: Iterable[Path], rights: int) -> None:
    for descriptor, is_folder in _existing(paths):
        allowed = rights if is_folder else rights & _FILE_RIGHTS
        rule = struct.pack("=Qi", allowed, descriptor)
        buffer = ctypes.create_string_buffer(rule, len(rule))
        syscall("landlock_add_rule", ruleset, _RULE_PATH_BENEATH, buffer, 0)


def restrict(paths: LandlockPaths) -> int:
    """Shut this process out of everything but `paths` and the system's own; return the ABI used.

    Raises:
        OSError: ENOSYS or EOPNOTSUPP where the kernel lacks it; EBUSY when threads already run,
            because the kernel would leave those free.
    """
    if this_machine() is None:
        raise OSError(errno.ENOSYS, "no table for this machine")
    abi = abi_version()
    if thread_count() > 1:
        raise OSError(errno.EBUSY, "threads already run")
    rights = _handled(abi)
    ruleset = _ruleset(abi)
    try:
        own = system_paths()
        _allow(ruleset, (*own.read, *paths.read), rights & _READ_RIGHTS)
        _allow(ruleset, (*own.write, *paths.write), rights)
        syscall("landlock_restrict_self", ruleset, 0)
    finally:
        os.close(ruleset)
    return abi
