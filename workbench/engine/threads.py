"""How many processor threads arithmetic should use: timed, because more is not always faster.

Small matrices, and machines on which others are at work, can be faster with one thread.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import torch

_REPEATS = 2
# One thread is taken only if it is clearly no slower, because machines become idle again.
_MARGIN = 0.95


def available_threads() -> int:
    """Return the processors that this process may use, or what OMP_NUM_THREADS says."""
    told = os.environ.get("OMP_NUM_THREADS", "")
    most = len(os.sched_getaffinity(0))
    return max(1, min(most, int(told))) if told.isdigit() else most


def choose_threads(work: Callable[[], None], most: int) -> int:
    """Time `work` with `most` threads and with one, and return the faster number.

    Args:
        work: A representative piece that leaves nothing behind; it has run once already.
    """
    if most == 1:
        return 1
    seconds = {count: best_time(work, count) for count in (most, 1)}
    return 1 if seconds[1] < _MARGIN * seconds[most] else most


def best_time(work: Callable[[], None], count: int) -> float:
    """Return the seconds that `work` takes with `count` threads, the better of two times."""
    torch.set_num_threads(count)
    times = []
    for _ in range(_REPEATS):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return min(times)
