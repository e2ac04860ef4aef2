"""How many processor threads arithmetic should use: timed, because more is not always faster.

Small matrices, and machines on which others are at work, can be faster with one thread. The plan
goes by the same rule (`workbench.planning.pace`).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from workbench.planning.rates import THREADS_PAY

_REPEATS = 2


def available_threads() -> int:
    """Return the processors that this process may use, or what OMP_NUM_THREADS says."""
    told = os.environ.get("OMP_NUM_THREADS", "")
    most = len(os.sched_getaffinity(0))
    return max(1, min(most, int(told))) if told.isdigit() else most


def choose_threads(work: Callable[[], None], most: int) -> int:
    """Time `work` with `most` threads and with one, and return `most` where that pays.

    Args:
        work: A representative piece that leaves nothing behind; it has run once already.
    """
    if most == 1:
        return 1
    seconds = {count: best_time(work, count) for count in (most, 1)}
    return most if seconds[most] < THREADS_PAY * seconds[1] else 1


def best_time(work: Callable[[], None], count: int) -> float:
    """Return the seconds that `work` takes with `count` threads, the better of two times."""
    torch.set_num_threads(count)
    times = []
    for _ in range(_REPEATS):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return min(times)


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute what is inside on one thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
