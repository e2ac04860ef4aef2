"""Putting prepared blocks together: duplicates out, splits assigned, batches packed and sealed.

Blocks arrive in the order of the sources, so the same files with the same seed always give the
same dataset.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping
from concurrent.futures import Executor, Future
from typing import Any

import numpy as np
import pyarrow as pa

from workbench.datasets.fingerprints import SeenFingerprints, assign_splits
from workbench.datasets.preparing import Prepared
from workbench.datasets.records import schema_of
from workbench.datasets.rejects import RejectList
from workbench.datasets.store import (
    BATCH_BYTES,
    BATCH_ROWS,
    REJECTS,
    DatasetWriter,
    pack_batch,
)

_MOST_WAITING = 4  # batches being packed


class Assembler:
    """Collects rows by split and hands full batches to the writer.

    Attributes:
        records: Records seen so far, taken or not.
        duplicates: Records left out because an equal one was there before.
        rejects: Records that were refused.
        sensitive: Likely identifiers in the rows that were taken, by kind.
        rows: Rows taken, by split.
    """

    def __init__(
        self,
        kind: str,
        writer: DatasetWriter,
        packers: Executor,
        *,
        splits: Mapping[str, float],
        seed: int,
        dedupe: bool,
    ) -> None:
        self.records = 0
        self.duplicates = 0
        self.rejects = RejectList()
        self.sensitive: Counter[str] = Counter()
        self._names = ["train", *splits]
        self.rows = dict.fromkeys(self._names, 0)
        self._schema = schema_of(kind)
        self._writer = writer
        self._packers = packers
        self._splits, self._seed = splits, seed
        self._seen = SeenFingerprints() if dedupe else None
        self._held: dict[str, list[Any]] = {name: [] for name in self._names}
        self._packing: deque[tuple[str, int, Future[bytes]]] = deque()

    def add(self, file: int, prepared: Prepared) -> None:
        """Take the next block of source number `file`."""
        self.rejects.extend(file, prepared.refused)
        batch = prepared.batch
        numbers = np.asarray(batch.column("number")) + self.records
        batch = batch.set_column(0, self._schema.field("number"), pa.array(numbers, pa.int64()))
        self.records += prepared.records

        fresh = np.ones(batch.num_rows, np.bool_)
        if self._seen is not None:
            fresh = self._seen.add(prepared.high, prepared.low)
            self.duplicates += int(np.count_nonzero(~fresh))
        self.sensitive.update(kind for row, kind in prepared.hits if fresh[row])
        split = assign_splits(prepared.high, self._seed, self._splits)
        for index, name in enumerate(self._names):
            chosen = fresh & (split == index)
            count = int(np.count_nonzero(chosen))
            if count:
                part = batch if count == batch.num_rows else batch.filter(pa.array(chosen))
                self._hold(name, part)

    def _hold(self, name: str, part: Any) -> None:
        self.rows[name] += part.num_rows
        held = self._held[name]
        held.append(part)
        if (
            sum(piece.num_rows for piece in held) >= BATCH_ROWS
            or sum(piece.nbytes for piece in held) >= BATCH_BYTES
        ):
            self._pack(name)

    def _pack(self, name: str) -> None:
        held, self._held[name] = self._held[name], []
        table = pa.Table.from_batches(held, schema=self._schema)
        for batch in table.combine_chunks().to_batches(max_chunksize=BATCH_ROWS):
            self._packing.append((name, batch.num_rows, self._packers.submit(pack_batch, batch)))
        while len(self._packing) > _MOST_WAITING:
            self._write()

    def _write(self) -> None:
        name, rows, packed = self._packing.popleft()
        self._writer.add(name, rows, packed.result())

    def finish(self) -> None:
        """Write what is still held, and the list of rejects."""
        for name in self._names:
            if self._held[name]:
                self._pack(name)
        while self._packing:
            self._write()
        listed = self.rejects.batch()
        if listed.num_rows:
            self._writer.add(REJECTS, listed.num_rows, pack_batch(listed))
