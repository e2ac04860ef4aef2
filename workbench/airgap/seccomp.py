"""The system call filter: no socket but AF_UNIX, no io_uring, no look into other processes.

It is the layer that holds everywhere: it needs no privilege but `no_new_privs`, works in a process
that already has threads (TSYNC), and is inherited by every child for good. `memfd_create` stays
free, because CUDA needs it to start.
"""

from __future__ import annotations

import ctypes
import errno
import socket
import struct
from dataclasses import dataclass

from workbench.airgap.linux import Machine, syscall, this_machine

# Classic BPF (linux/bpf_common.h) and its use by seccomp (linux/seccomp.h).
_LOAD_WORD = 0x20  # BPF_LD | BPF_W | BPF_ABS
_JUMP_EQUAL = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
_JUMP_NOT_BELOW = 0x35  # BPF_JMP | BPF_JGE | BPF_K
_RETURN = 0x06  # BPF_RET | BPF_K
_ALLOW = 0x7FFF0000
_ERRNO = 0x00050000
_SET_MODE_FILTER = 1
_TSYNC = 1
# Offsets in struct seccomp_data; both machines are little-endian, so the low half of an
# argument comes first, and the kernel takes a socket's family from that half alone.
_NUMBER, _ARCH, _FIRST_ARGUMENT = 0, 4, 16
_X32_BIT = 0x40000000

_HIDDEN = ("io_uring_setup", "io_uring_enter", "io_uring_register")
_FORBIDDEN = ("ptrace", "process_vm_readv", "process_vm_writev", "pidfd_getfd", "setns")
_SOCKETS = ("socket", "socketpair")


@dataclass(frozen=True)
class _Step:
    code: int
    value: int
    yes: int = 0
    no: int = 0

    def pack(self) -> bytes:
        return struct.pack("=HBBI", self.code, self.yes, self.no, self.value)


def _deny(error: int) -> _Step:
    return _Step(_RETURN, _ERRNO | error)


def build_filter(machine: Machine) -> bytes:
    """Return the filter's program for `machine`, 8 bytes an instruction.

    A call through another machine's table (32-bit, x32) does not exist: ENOSYS.
    """
    steps = [
        _Step(_LOAD_WORD, _ARCH),
        _Step(_JUMP_EQUAL, machine.audit_arch, yes=1),
        _deny(errno.ENOSYS),
        _Step(_LOAD_WORD, _NUMBER),
        _Step(_JUMP_NOT_BELOW, _X32_BIT, no=1),
        _deny(errno.ENOSYS),
    ]
    for names, error in ((_HIDDEN, errno.ENOSYS), (_FORBIDDEN, errno.EPERM)):
        for name in names:
            steps += [_Step(_JUMP_EQUAL, machine.calls[name], no=1), _deny(error)]
    for name in _SOCKETS:
        steps += [
            _Step(_JUMP_EQUAL, machine.calls[name], no=4),
            _Step(_LOAD_WORD, _FIRST_ARGUMENT),
            _Step(_JUMP_EQUAL, socket.AF_UNIX, no=1),
            _Step(_RETURN, _ALLOW),
            _deny(errno.EAFNOSUPPORT),
        ]
    steps.append(_Step(_RETURN, _ALLOW))
    return b"".join(step.pack() for step in steps)


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("steps", ctypes.c_char_p))


def install() -> None:
    """Put every thread of this process under the filter; there is no way back.

    Raises:
        OSError: the kernel refused, or ENOSYS on a machine whose table is not known.
    """
    machine = this_machine()
    if machine is None:
        raise OSError(errno.ENOSYS, "no table for this machine")
    steps = build_filter(machine)
    program = _Program(len(steps) // 8, steps)
    answer = syscall("seccomp", _SET_MODE_FILTER, _TSYNC, ctypes.addressof(program))
    if answer != 0:
        # The number of a thread that could not be brought under the filter; none was.
        raise OSError(errno.ESRCH, "a thread could not be brought under the filter")
