"""Content hashes of records: exact duplicates, and splits that follow the content.

A fingerprint is the MD5 of the record's canonical fields, 128 bits: among 10^9 different records
the odds that any two share one are below 10^-20 (n^2 / 2^129). MD5 resists accidents, not a
forger; what a forger could gain here is that one of his own rows counts as a duplicate.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from workbench.datasets.records import FIELDS
from workbench.vault.duck import open_analyst

Words: TypeAlias = npt.NDArray[np.uint64]
Flags: TypeAlias = npt.NDArray[np.bool_]


class Fingerprinter:
    """Computes fingerprints in DuckDB, one private connection a thread."""

    def __init__(self, kind: str) -> None:
        # Each text stands behind its length, so no two records share what is hashed.
        if kind == "chat":
            turn = "m.role || strlen(m.content) || ':' || m.content"
            content = f"array_to_string(list_transform(messages, lambda m: {turn}), '')"
        else:
            # One call: a chain of || makes, and copies, a longer text at each step.
            parts = ", ".join(f"strlen({field}), ':', {field}" for field in FIELDS[kind])
            content = f"concat({parts})"
        # Column names come from FIELDS alone, so nothing from outside gets into the query.
        self._query = (
            "SELECT (d >> 64)::UBIGINT AS high, (d & 18446744073709551615)::UBIGINT AS low "  # noqa: S608
            f"FROM (SELECT md5_number({content}) AS d FROM batch)"
        )
        self._local = threading.local()
        self._opened: list[Any] = []

    def compute(self, batch: Any) -> tuple[Words, Words]:
        """Return the upper and the lower 64 bits of each row's fingerprint."""
        if not hasattr(self._local, "connection"):
            self._local.connection = open_analyst(threads=1)
            self._opened.append(self._local.connection)
        connection = self._local.connection
        connection.register("batch", batch)
        columns = connection.execute(self._query).fetchnumpy()
        connection.unregister("batch")
        return np.asarray(columns["high"], np.uint64), np.asarray(columns["low"], np.uint64)

    def close(self) -> None:
        """Close the connections of all threads."""
        for connection in self._opened:
            connection.close()


class SeenFingerprints:
    """A set of 128-bit fingerprints: an open-addressing table in two numpy columns.

    It takes 40 to 80 bytes a record (a Python set would take twice that), and a block is
    looked up in a few whole-array steps.
    """

    def __init__(self, capacity: int = 1 << 16) -> None:
        self._high = np.zeros(capacity, np.uint64)
        self._low = np.zeros(capacity, np.uint64)
        self._owner = np.zeros(capacity, np.int32)  # the block's row that claimed a slot
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, high: Words, low: Words) -> Flags:
        """Add a block's fingerprints; flag those that are new, the first of equals."""
        high = np.where((high == 0) & (low == 0), np.uint64(1), high)  # (0, 0) marks a free slot
        while 2 * (self._count + len(high)) > len(self._high):
            self._grow()
        return self._insert(high, low)

    def _insert(self, high: Words, low: Words) -> Flags:
        mask = np.uint64(len(self._high) - 1)
        fresh = np.zeros(len(high), np.bool_)
        waiting = np.arange(len(high))
        slots = (low & mask).astype(np.int64)
        while len(waiting):
            at = slots[waiting]
            free = (self._high[at] == 0) & (self._low[at] == 0)
            claims = waiting[free]
            # Written backwards, so that of several claims on one slot the first row's stays.
            self._owner[slots[claims[::-1]]] = claims[::-1]
            won = claims[self._owner[slots[claims]] == claims]
            self._high[slots[won]] = high[won]
            self._low[slots[won]] = low[won]
            fresh[won] = True
            same = (self._high[at] == high[waiting]) & (self._low[at] == low[waiting])
            waiting = waiting[~same]
            slots[waiting] = (slots[waiting] + 1) & int(mask)
        self._count += int(fresh.sum())
        return fresh

    def _grow(self) -> None:
        taken = (self._high != 0) | (self._low != 0)
        high, low = self._high[taken], self._low[taken]
        self._high = np.zeros(2 * len(self._high), np.uint64)
        self._low = np.zeros(len(self._high), np.uint64)
        self._owner = np.zeros(len(self._high), np.int32)
        self._count = 0
        self._insert(high, low)


def assign_splits(high: Words, seed: int, splits: Mapping[str, float]) -> npt.NDArray[np.int64]:
    """Return the index of each record's split: 0 for train, then those of `splits` in order.

    The split depends on the seed and the content alone, so equal records land in one split, and
    a record keeps its split when others are added.
    """
    mixed = high ^ _mix(np.array([seed & (2**64 - 1)], np.uint64))[0]
    place = (_mix(mixed) >> np.uint64(11)).astype(np.float64) / 2.0**53
    bounds = np.cumsum(list(splits.values()))
    index = np.searchsorted(bounds, place, side="right")
    return np.where(index == len(bounds), 0, index + 1).astype(np.int64)


def _mix(values: Words) -> Words:
    """SplitMix64's finaliser (Steele, Lea and Flood, OOPSLA 2014)."""
    mixed = values + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))
