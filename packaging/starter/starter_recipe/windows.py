"""Keeps documents apart: no two of them share a long stretch of tokens."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

WINDOW = 21  # tokens; a copy is "more than 20 tokens"
_BASE = np.uint64(1_099_511_628_211)


def window_hashes(ids: Sequence[int]) -> NDArray[np.uint64]:
    """A 64-bit hash of each stretch of ``WINDOW`` tokens in ``ids``."""
    if len(ids) < WINDOW:
        return np.empty(0, dtype=np.uint64)
    stretches = np.lib.stride_tricks.sliding_window_view(np.asarray(ids, dtype=np.uint64), WINDOW)
    hashes = np.zeros(len(stretches), dtype=np.uint64)
    for column in range(WINDOW):
        hashes = (hashes ^ (stretches[:, column] + np.uint64(1))) * _BASE
        hashes ^= hashes >> np.uint64(29)
    return hashes


class WindowFilter:
    """Remembers the stretches of all documents that it let pass."""

    def __init__(self) -> None:
        self._seen = np.empty(0, dtype=np.uint64)
        self.dropped = 0

    def known(self, hashes: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """For each hash, whether a passed document holds it."""
        if not len(self._seen) or not len(hashes):
            return np.zeros(len(hashes), dtype=np.bool_)
        places = np.searchsorted(self._seen, hashes)
        found: NDArray[np.bool_] = self._seen[np.minimum(places, len(self._seen) - 1)] == hashes
        return found

    def fresh(self, rows: list[list[int]]) -> list[list[int]]:
        """Those ``rows`` that share no stretch with an earlier row; they count as seen after."""
        passed: list[list[int]] = []
        added: set[int] = set()
        for row in rows:
            hashes = window_hashes(row)
            mine = set(hashes.tolist())
            if self.known(hashes).any() or not added.isdisjoint(mine):
                self.dropped += 1
                continue
            added |= mine
            passed.append(row)
        fresh = np.fromiter(added, dtype=np.uint64, count=len(added))
        self._seen = np.sort(np.concatenate([self._seen, fresh]), kind="stable")
        return passed
