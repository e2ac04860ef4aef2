"""Trying to get out, for real, before and after the lock-down.

It speaks through libc, because Python's audit hook would stop Python's own sockets first and the
test would then prove the hook and nothing else. The only listeners it ever calls are its own, on
loopback: an outside address is never tried.
"""

from __future__ import annotations

import ctypes
import errno
import os
import select
import socket
import struct
from dataclasses import dataclass
from typing import Literal

from workbench.airgap.linux import errno_name, libc

Way = Literal["tcp", "udp"]
WAYS: tuple[Way, ...] = ("tcp", "udp")

_KINDS = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}
_WAIT_MILLISECONDS = 300
_OPEN = "open"


def _call(result: int) -> int:
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def _address(port: int) -> bytes:
    """A struct sockaddr_in for 127.0.0.1."""
    return struct.pack("=H", socket.AF_INET) + struct.pack("!H4s8x", port, bytes([127, 0, 0, 1]))


def _new_socket(way: Way) -> int:
    kind = _KINDS[way] | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
    return _call(libc.socket(socket.AF_INET, kind, 0))


@dataclass
class Listener:
    """One listener on loopback, made before the lock-down.

    Attributes:
        way: `tcp` or `udp`.
        descriptor: The listening socket; -1 when none could be made.
        port: Its port.
        why: The errno's name when none could be made.
    """

    way: Way
    descriptor: int = -1
    port: int = 0
    why: str = ""

    @classmethod
    def open(cls, way: Way) -> Listener:
        """Listen on a free port of loopback; a refusal is noted, not raised."""
        descriptor = -1
        try:
            descriptor = _new_socket(way)
            address = _address(0)
            _call(libc.bind(descriptor, address, len(address)))
            if way == "tcp":
                _call(libc.listen(descriptor, 1))
            found = ctypes.create_string_buffer(len(address))
            size = ctypes.c_uint(len(address))
            _call(libc.getsockname(descriptor, found, ctypes.byref(size)))
            return cls(way, descriptor, struct.unpack("!H", found.raw[2:4])[0])
        except OSError as error:
            if descriptor >= 0:
                os.close(descriptor)
            return cls(way, why=errno_name(error.errno or 0))

    def reach(self) -> str:
        """Try to reach it with a new socket; return `open`, or the errno's name that stopped it."""
        descriptor = -1
        try:
            descriptor = _new_socket(self.way)
            # The discard port stands in where no listener could be made: the answer is then at
            # best ECONNREFUSED, which says that the way itself is open.
            address = _address(self.port or 9)
            if self.way == "udp":
                _call(libc.sendto(descriptor, b"?", 1, 0, address, len(address)))
                return self._arrived()
            return self._connected(descriptor, address)
        except OSError as error:
            return _OPEN if error.errno == errno.ECONNREFUSED else errno_name(error.errno or 0)
        finally:
            if descriptor >= 0:
                os.close(descriptor)

    def _arrived(self) -> str:
        if self.descriptor < 0:
            return _OPEN  # the kernel took the datagram; nobody says that it went nowhere
        waiting = select.poll()
        waiting.register(self.descriptor, select.POLLIN)
        if not waiting.poll(_WAIT_MILLISECONDS):
            return "ETIMEDOUT"
        os.read(self.descriptor, 16)
        return _OPEN

    def _connected(self, descriptor: int, address: bytes) -> str:
        if libc.connect(descriptor, address, len(address)) == 0:
            return _OPEN
        if ctypes.get_errno() != errno.EINPROGRESS:
            raise OSError(ctypes.get_errno(), "connect")
        waiting = select.poll()
        waiting.register(descriptor, select.POLLOUT)
        if not waiting.poll(_WAIT_MILLISECONDS):
            return "ETIMEDOUT"
        answer, size = ctypes.c_int(0), ctypes.c_uint(4)
        _call(
            libc.getsockopt(
                descriptor,
                socket.SOL_SOCKET,
                socket.SO_ERROR,
                ctypes.byref(answer),
                ctypes.byref(size),
            )
        )
        return _OPEN if answer.value in (0, errno.ECONNREFUSED) else errno_name(answer.value)

    def close(self) -> None:
        """Close the listener."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


@dataclass(frozen=True)
class Findings:
    """What came of trying.

    Attributes:
        before: Way to `open` or the errno's name, before the lock-down.
        after: The same, after it.
    """

    before: dict[str, str]
    after: dict[str, str]

    @property
    def ways_out(self) -> list[str]:
        """Ways that are open after the lock-down."""
        return [way for way, answer in self.after.items() if answer == _OPEN]

    @property
    def already_shut(self) -> bool:
        """Whether no way was open before either, so that nothing was left to compare with."""
        return all(answer != _OPEN for answer in self.before.values())


class SelfTest:
    """The attempt before and the attempt after, on the same two listeners."""

    def __init__(self) -> None:
        self._listeners = [Listener.open(way) for way in WAYS]
        self.before: dict[str, str] = {item.way: item.reach() for item in self._listeners}

    def finish(self) -> Findings:
        """Try again, close the listeners and return both answers."""
        after: dict[str, str] = {item.way: item.reach() for item in self._listeners}
        for item in self._listeners:
            item.close()
        return Findings(self.before, after)
