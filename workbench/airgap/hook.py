"""The audit hook: names the Python code that tries to reach a network.

It guards nothing that libc could not pass by; the kernel's layers do that. It turns a puzzling
errno deep in a library into a refusal that says what happened, and counts the attempts.
"""

from __future__ import annotations

import errno
import sys
from collections import Counter

# The event's argument that holds an address; None when the event alone says enough.
_ADDRESS_AT = {
    "socket.connect": 1,
    "socket.bind": 1,
    "socket.sendto": 1,
    "socket.sendmsg": 1,
    "socket.getaddrinfo": None,
    "socket.gethostbyname": None,
    "socket.gethostbyaddr": None,
}

_attempts: Counter[str] = Counter()
_installed = False


def attempts() -> dict[str, int]:
    """Return how often Python code tried which network call since the hook was set."""
    return dict(_attempts)


def _listen(event: str, arguments: tuple[object, ...]) -> None:
    if event not in _ADDRESS_AT:
        return
    place = _ADDRESS_AT[event]
    # Unix sockets are named by a path; everything that leaves a machine is named by a tuple.
    if place is None or isinstance(arguments[place], tuple):
        _attempts[event] += 1
        raise PermissionError(errno.EPERM, f"{event} was stopped: this process has no network")


def install() -> str:
    """Set the hook for good; a second call changes nothing."""
    global _installed  # noqa: PLW0603  a hook cannot be taken off and must not be set twice
    if not _installed:
        sys.addaudithook(_listen)
        _installed = True
    return "diagnostic"
