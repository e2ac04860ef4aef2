"""One sealed dataset: a DuckDB file of numbered ciphertext chunks under a sealed manifest.

Rows are encoded as Arrow IPC streams (zstd) of at most `BATCH_ROWS` rows, each of one part: a
split, or the list of rejects. A stream is cut into slices of `SLICE_BYTES`, and each slice is
sealed as one row of `chunks(number INTEGER PRIMARY KEY, body BLOB)`. Small chunks are what keeps
the writer's memory flat: DuckDB holds a row group in memory until it is full. Table
`manifest(body BLOB)` holds one sealed row; its meta says which chunks make up which batch of
which part. Column names, counts and file names exist only sealed. The file is immutable once
published, so any number of processes may read it at once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import pyarrow as pa

from workbench.datasets.records import Record, records_from_batch, schema_of
from workbench.errors import NotFound, VaultDamaged
from workbench.vault import formats
from workbench.vault.sealed import ChunkOpener, ChunkSealer, DataKey

if TYPE_CHECKING:
    import duckdb

BATCH_ROWS = 16_384
BATCH_BYTES = 16 << 20  # plaintext after which a batch ends early, so that long rows stay cheap
SLICE_BYTES = 32 << 10
_GROUP_ROWS = 2048  # DuckDB's smallest row group
_WRITER_MEMORY = 512 << 20
_READER_MEMORY = 256 << 20
REJECTS = "rejects"  # the part that is not a split

REJECTS_SCHEMA = pa.schema(
    [
        pa.field("file", pa.int32(), False),
        pa.field("line", pa.int64(), False),
        pa.field("code", pa.string(), False),
    ]
)


def pack_batch(batch: pa.RecordBatch) -> bytes:
    """Encode one batch as an Arrow IPC stream with zstd-compressed buffers."""
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression=pa.Codec("zstd", 1), use_threads=False)
    with pa.ipc.new_stream(sink, batch.schema, options=options) as writer:
        writer.write_batch(batch)
    return bytes(sink.getvalue())


def unpack_batch(plaintext: bytes) -> pa.RecordBatch:
    """Decode what `pack_batch` encoded."""
    with pa.ipc.open_stream(pa.py_buffer(plaintext)) as reader:
        return reader.read_next_batch()


class DatasetWriter:
    """Writes the chunks and the manifest of one new dataset file; used from one thread."""

    def __init__(self, path: Path, key: DataKey) -> None:
        """Create the database at `path` (a staged name, on which nothing stands yet)."""
        from workbench.vault.duck import create_database  # keeps duckdb out of a mere import

        self._key = key
        self._sealer = ChunkSealer(key, formats.DATASET)
        self._parts: list[tuple[str, int, int, int]] = []
        self._waiting: list[bytes] = []
        self._database: duckdb.DuckDBPyConnection = create_database(
            path, row_group_rows=_GROUP_ROWS, memory_limit=_WRITER_MEMORY, threads=1
        )
        path.chmod(0o600)
        # Ciphertext does not compress; to try costs more than to write it.
        self._database.execute(
            "CREATE TABLE chunks(number INTEGER PRIMARY KEY, "
            "body BLOB USING COMPRESSION uncompressed);"
            "CREATE TABLE manifest(body BLOB USING COMPRESSION uncompressed);"
        )

    def add(self, part: str, rows: int, packed: bytes) -> None:
        """Seal and store the next batch: `rows` rows of `part`, encoded by `pack_batch`."""
        first = self._sealer.count
        for start in range(0, len(packed), SLICE_BYTES):
            self._waiting.append(self._sealer.seal(packed[start : start + SLICE_BYTES]))
            if len(self._waiting) == _GROUP_ROWS:
                self._flush()
        self._parts.append((part, rows, first, self._sealer.count - first))

    def _flush(self) -> None:
        """Write what waits as one whole row group; a checkpoint then never rewrites it."""
        last = self._sealer.count
        numbers = pa.array(range(last - len(self._waiting), last), pa.int32())
        table = pa.table({"number": numbers, "body": pa.array(self._waiting, pa.binary())})
        self._waiting = []
        self._database.register("waiting", table)
        self._database.execute("INSERT INTO chunks SELECT number, body FROM waiting")
        self._database.unregister("waiting")
        self._database.execute("CHECKPOINT")

    def finish(self, meta: Mapping[str, Any]) -> str:
        """Seal the manifest, close the file and return the dataset's root (hexadecimal)."""
        if self._waiting:
            self._flush()
        manifest = self._sealer.finish({**meta, "parts": [list(part) for part in self._parts]})
        self._database.execute("INSERT INTO manifest VALUES (?)", [manifest])
        self._database.execute("CHECKPOINT")
        self.close()
        return ChunkOpener(self._key, formats.DATASET, manifest).root

    def close(self) -> None:
        """Close the database; without `finish` the file is of no use."""
        self._database.close()


class _Batch(NamedTuple):
    part: str
    rows: int
    first: int  # number of its first chunk
    chunks: int


class SealedDataset:
    """A dataset opened for reading; safe to share between threads.

    Attributes:
        kind: One of `workbench.datasets.records.KINDS`.
        splits: Rows by split, the empty splits too.
        columns: The canonical column of each field of the source: {field: heading}.
        root: Names this version: SHA-256 over the sealed chunks, hexadecimal.
        meta: Everything that the import noted.
    """

    def __init__(self, path: Path, key: DataKey) -> None:
        """Open and verify the manifest; prefer `SealedDataset.open`."""
        import duckdb

        from workbench.vault.duck import open_database

        self._lock = threading.Lock()
        self._key = key
        if not path.exists():
            raise self._damaged()
        try:
            self._database = open_database(path, read_only=True, memory_limit=_READER_MEMORY)
        except duckdb.Error:
            raise self._damaged() from None
        try:
            self._opener = self._read_manifest()
        except BaseException:
            self._database.close()
            raise
        self.meta: dict[str, Any] = self._opener.meta
        self.root: str = self._opener.root
        self.kind: str = self.meta["kind"]
        self.splits: dict[str, int] = dict(self.meta["splits"])
        self.columns: dict[str, str] = dict(self.meta["columns"])
        self._batches = [_Batch(*part) for part in self.meta["parts"]]

    @classmethod
    def open(cls, path: Path, key: DataKey) -> Self:
        """Open the dataset at `path` read-only.

        Raises:
            VaultDamaged: The file is missing, not a database, or its manifest does not verify.
        """
        return cls(path, key)

    def _damaged(self) -> VaultDamaged:
        return VaultDamaged(
            f"The file of dataset {self._key.object_id} cannot be read.",
            hint="Restore it from a backup; `workbench vault verify` lists what is damaged.",
        )

    def _query(self, query: str, values: Sequence[int] = ()) -> list[Any]:
        """Run one query; a broken block is told without DuckDB's text, which may quote it."""
        import duckdb

        with self._lock:
            try:
                rows: list[Any] = self._database.execute(query, list(values)).fetchall()
            except duckdb.Error:
                raise self._damaged() from None
        return rows

    def _read_manifest(self) -> ChunkOpener:
        rows = self._query("SELECT body FROM manifest")
        if len(rows) != 1:
            raise self._damaged()
        return ChunkOpener(self._key, formats.DATASET, rows[0][0])

    def _load(self, batch: _Batch) -> pa.RecordBatch:
        numbers = range(batch.first, batch.first + batch.chunks)
        rows = self._query(
            "SELECT number, body FROM chunks WHERE number BETWEEN ? AND ? ORDER BY number",
            (numbers[0], numbers[-1]),
        )
        if [number for number, _ in rows] != list(numbers):
            raise self._damaged()
        loaded = unpack_batch(b"".join(self._opener.open(number, body) for number, body in rows))
        if loaded.num_rows != batch.rows:
            raise self._damaged()
        return loaded

    def batches(self, split: str) -> Iterator[pa.RecordBatch]:
        """Yield the split's batches in the order of the source, one in memory at a time.

        Raises:
            NotFound: The dataset has no such split (code `no_such_split`).
            VaultDamaged: A chunk does not verify.
        """
        self._check_split(split)
        return self._part(split)

    def _part(self, part: str) -> Iterator[pa.RecordBatch]:
        for batch in self._batches:
            if batch.part == part:
                yield self._load(batch)

    def _check_split(self, split: str) -> None:
        if split not in self.splits:
            raise NotFound(
                "The dataset has no split of that name.",
                hint=f"It has: {', '.join(self.splits)}.",
                code="no_such_split",
            )

    def records(self, split: str) -> Iterator[Record]:
        """Yield the split's records in the order of the source; see `batches`."""
        for batch in self.batches(split):
            yield from records_from_batch(batch, self.kind)

    def batch_rows(self, split: str) -> list[int]:
        """Return the rows of each of the split's batches, in order.

        Raises:
            NotFound: The dataset has no such split (code `no_such_split`).
        """
        self._check_split(split)
        return [batch.rows for batch in self._batches if batch.part == split]

    def page(self, split: str, offset: int, count: int) -> pa.Table:
        """Return rows `offset` .. `offset + count` of a split; only their batches are opened."""
        slices = list(self.slices(split, offset, count))
        return pa.Table.from_batches(slices, schema=schema_of(self.kind))

    def slices(self, split: str, offset: int, count: int) -> Iterator[pa.RecordBatch]:
        """Yield the same rows batch by batch, one in memory at a time."""
        self._check_split(split)
        start = 0
        for batch in self._batches:
            if batch.part != split:
                continue
            low, high = max(offset - start, 0), min(offset + count - start, batch.rows)
            if low < high:
                yield self._load(batch).slice(low, high - low)
            start += batch.rows

    def rejects(self) -> Iterator[pa.RecordBatch]:
        """Yield the rows that were not taken: columns file (index), line (from 1) and code."""
        return self._part(REJECTS)

    def verify(self, progress: Callable[[int, int, str], None] | None = None) -> int:
        """Open every chunk and check that none is missing; return the number of sealed bytes.

        Raises:
            VaultDamaged: Something does not verify.
        """
        numbers = self._query("SELECT number FROM chunks")
        self._opener.check_complete(number for (number,) in numbers)
        for done, batch in enumerate(self._batches, 1):
            self._load(batch)
            if progress is not None:
                progress(done, len(self._batches), "verify")
        return sum(self._opener.sizes)

    def close(self) -> None:
        """Close the file; iterators that are still in use then fail."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
