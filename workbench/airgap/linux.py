"""The few kernel calls that the lock-down needs, through libc and ctypes alone.

Numbers are those of the kernel's own tables for x86-64 and arm64 (`unistd_64.h`,
`asm-generic/unistd.h`); other machines get what is written in C terms (prctl, rlimits, unshare).
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
from dataclasses import dataclass

PR_SET_DUMPABLE = 4
PR_GET_DUMPABLE = 3
PR_SET_NO_NEW_PRIVS = 38
CLONE_NEWUSER = 0x10000000
CLONE_NEWNET = 0x40000000

libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Machine:
    """System call numbers of one machine.

    Attributes:
        audit_arch: What the kernel calls this machine in a seccomp filter's data.
        calls: Name to number.
    """

    audit_arch: int
    calls: dict[str, int]


# Numbers from 424 on are the same everywhere.
_COMMON = {
    "io_uring_setup": 425,
    "io_uring_enter": 426,
    "io_uring_register": 427,
    "pidfd_getfd": 438,
    "landlock_create_ruleset": 444,
    "landlock_add_rule": 445,
    "landlock_restrict_self": 446,
}
MACHINES = {
    "x86_64": Machine(
        0xC000003E,
        _COMMON
        | {
            "socket": 41,
            "socketpair": 53,
            "ptrace": 101,
            "setns": 308,
            "process_vm_readv": 310,
            "process_vm_writev": 311,
            "seccomp": 317,
        },
    ),
    "aarch64": Machine(
        0xC00000B7,
        _COMMON
        | {
            "ptrace": 117,
            "socket": 198,
            "socketpair": 199,
            "setns": 268,
            "process_vm_readv": 270,
            "process_vm_writev": 271,
            "seccomp": 277,
        },
    ),
}


def this_machine() -> Machine | None:
    """Return the numbers of this machine; None when they are not known here."""
    known = MACHINES.get(platform.machine())
    # A 32-bit interpreter on a 64-bit kernel speaks another table.
    return known if ctypes.sizeof(ctypes.c_void_p) == 8 else None


def errno_name(number: int) -> str:
    """Return an errno's name, for example `EPERM`."""
    return errno.errorcode.get(number, f"E{number}")


def _failed(result: int) -> int:
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def syscall(name: str, *arguments: int | ctypes.Array[ctypes.c_char] | None) -> int:
    """Make the named system call with up to six whole numbers or buffers.

    Raises:
        OSError: the kernel said no; ENOSYS where the machine's table is not known.
    """
    machine = this_machine()
    if machine is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    values = [
        ctypes.c_long(item) if isinstance(item, int) else item
        for item in (*arguments, *[0] * (6 - len(arguments)))
    ]
    return _failed(libc.syscall(ctypes.c_long(machine.calls[name]), *values))


def prctl(option: int, value: int) -> int:
    """Call prctl with one argument. Raises OSError."""
    zero = ctypes.c_ulong(0)
    return _failed(libc.prctl(ctypes.c_int(option), ctypes.c_ulong(value), zero, zero, zero))


def unshare(flags: int) -> None:
    """Leave the namespaces that `flags` names. Raises OSError."""
    _failed(libc.unshare(ctypes.c_int(flags)))


def thread_count() -> int:
    """Return how many threads this process has, those of libraries included."""
    return len(os.listdir("/proc/self/task"))
