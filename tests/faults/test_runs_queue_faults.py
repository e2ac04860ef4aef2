"""Many processes and one device: never two at once, nobody left out, whoever dies."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from workbench.errors import BadInput
from workbench.runs.queue import DeviceQueue

pytestmark = pytest.mark.faults

WORKER = """
import os, sys, time
from pathlib import Path
from workbench.runs.queue import DeviceQueue
home, turns = Path(sys.argv[1]), int(sys.argv[2])
inside = home / "inside"
for _ in range(turns):
    with DeviceQueue(home, "cpu").turn(poll_seconds=0.005) as ours:
        assert ours
        # Creating a file that must not exist is the proof: a second holder fails here. One that
        # a killed holder left is taken over, because its process is gone.
        try:
            descriptor = os.open(inside, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
        except FileExistsError:
            other = int(inside.read_text() or 0)
            assert not Path(f"/proc/{other}").exists() or "Z" in Path(
                f"/proc/{other}/stat").read_text().rpartition(")")[2].split()[0], "two at once"
            inside.unlink()
            descriptor = os.open(inside, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
        os.write(descriptor, str(os.getpid()).encode())
        os.close(descriptor)
        time.sleep(0.005)
        inside.unlink()
"""


def _workers(home: Path, count: int, turns: int) -> list[subprocess.Popen[bytes]]:
    command = [sys.executable, "-c", WORKER, str(home), str(turns)]
    return [subprocess.Popen(command, stderr=subprocess.PIPE) for _ in range(count)]


def test_never_two_at_once_and_everyone_comes(tmp_path: Path) -> None:
    for worker in _workers(tmp_path, 6, 8):
        _, told = worker.communicate(timeout=60)
        assert worker.returncode == 0, told.decode()
    assert not list((tmp_path / "locks").glob("ticket-*"))


def test_killed_waiters_and_holders_block_nobody(tmp_path: Path) -> None:
    draw = random.Random(5)
    doomed, survivors = _workers(tmp_path, 4, 10_000), _workers(tmp_path, 3, 10)
    for worker in doomed:
        time.sleep(draw.uniform(0.2, 0.5))
        os.kill(worker.pid, signal.SIGKILL)
        worker.communicate()
    for worker in survivors:
        _, told = worker.communicate(timeout=60)
        assert worker.returncode == 0, told.decode()


def test_who_gives_up_leaves_no_ticket(tmp_path: Path) -> None:
    queue = DeviceQueue(tmp_path, "cuda-0")
    positions: list[int] = []
    with queue.turn() as ours:
        assert ours
        with queue.turn(
            on_wait=positions.append, gives_up=lambda: bool(positions), poll_seconds=0.01
        ) as second:
            assert not second
        with DeviceQueue(tmp_path, "cuda-1").turn() as elsewhere:
            assert elsewhere
    assert positions == [1]
    assert not list((tmp_path / "locks").glob("ticket-*"))
    with queue.turn() as ours:
        assert ours


@pytest.mark.parametrize("device", ["../x", "a b", "", ".hidden"])
def test_a_device_is_named_by_a_code(tmp_path: Path, device: str) -> None:
    with pytest.raises(BadInput):
        DeviceQueue(tmp_path, device)
