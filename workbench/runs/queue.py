"""One job a device: the others wait in the order in which they came.

Two kinds of locked files in `locks/`: `device-<name>.lock` is held by the job that has the device,
and each waiting job holds a numbered ticket of its own. A ticket whose holder died is free and is
swept, a device whose holder died is free, so no crash can block the queue.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from workbench.durable import make_private_folder, open_private
from workbench.errors import BadInput
from workbench.runs.values import is_code

_POLL_SECONDS = 0.2


@dataclass(frozen=True)
class DeviceQueue:
    """The queue of one device of one home.

    Attributes:
        home: The home whose jobs take turns.
        device: The device's name, a code such as `cpu` or `cuda-0`.
    """

    home: Path
    device: str

    def __post_init__(self) -> None:
        if not is_code(self.device) or self.device.startswith("."):
            raise BadInput("A device is named by a code.", code="bad_device")

    @property
    def _folder(self) -> Path:
        return self.home / "locks"

    @property
    def _device_file(self) -> Path:
        return self._folder / f"device-{self.device}.lock"

    def _tickets(self) -> list[Path]:
        return sorted(self._folder.glob(f"ticket-{self.device}-[0-9]*.lock"))

    @contextlib.contextmanager
    def turn(
        self,
        *,
        on_wait: Callable[[int], None] = lambda position: None,
        gives_up: Callable[[], bool] = lambda: False,
        poll_seconds: float = _POLL_SECONDS,
    ) -> Iterator[bool]:
        """Wait for the device and hold it for the length of the block; yield whether it came.

        Args:
            on_wait: Told the number of jobs ahead whenever it changes, while there are any.
            gives_up: Asked between two looks; True ends the wait, and the block sees False.
        """
        make_private_folder(self._folder)
        ticket, descriptor = self._take_ticket()
        device = -1
        try:
            device = self._wait(ticket, on_wait, gives_up, poll_seconds)
            _drop(ticket, descriptor)
            descriptor = -1
            yield device >= 0
        finally:
            if descriptor >= 0:
                _drop(ticket, descriptor)
            if device >= 0:
                os.close(device)

    def _take_ticket(self) -> tuple[Path, int]:
        """Return a locked ticket whose number is larger than any that waits."""
        door = open_private(self._folder / f"door-{self.device}.lock", os.O_RDWR | os.O_CREAT)
        try:
            fcntl.flock(door, fcntl.LOCK_EX)
            waiting = self._tickets()
            latest = int(waiting[-1].stem.rpartition("-")[2]) if waiting else 0
            ticket = self._folder / f"ticket-{self.device}-{latest + 1:012d}.lock"
            descriptor = open_private(ticket, os.O_RDWR | os.O_CREAT | os.O_EXCL)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            return ticket, descriptor
        finally:
            os.close(door)

    def _wait(
        self,
        ticket: Path,
        on_wait: Callable[[int], None],
        gives_up: Callable[[], bool],
        poll_seconds: float,
    ) -> int:
        told = -1
        while not gives_up():
            ahead = self._ahead(ticket)
            if ahead == 0:
                device = self._try_device()
                if device >= 0:
                    return device
            # The job that has the device stands before everyone who waits.
            if ahead + 1 != told:
                told = ahead + 1
                on_wait(told)
            time.sleep(poll_seconds)
        return -1

    def _ahead(self, ticket: Path) -> int:
        return sum(1 for other in self._tickets() if other < ticket and not _swept(other))

    def _try_device(self) -> int:
        descriptor = open_private(self._device_file, os.O_RDWR | os.O_CREAT)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return -1
        return descriptor


def _swept(ticket: Path) -> bool:
    """Remove a ticket whose holder is gone; say whether it was so."""
    try:
        descriptor = os.open(ticket, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    else:
        # Its owner locks a ticket under the door's lock right after making it, and an earlier
        # ticket than ours was made before ours: free means that the owner is gone.
        with contextlib.suppress(FileNotFoundError):
            ticket.unlink()
        return True
    finally:
        os.close(descriptor)


def _drop(ticket: Path, descriptor: int) -> None:
    with contextlib.suppress(FileNotFoundError):
        ticket.unlink()
    os.close(descriptor)
