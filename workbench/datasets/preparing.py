"""What is done to one block of a source, whole columns at a time: parse, check, scan, hash.

Blocks are independent of each other, so threads prepare several at once; numpy, pyarrow and
DuckDB release the interpreter's lock while they work.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from workbench.datasets.canonical import Canonical, from_csv, from_json
from workbench.datasets.columns import Layout, choose_layout
from workbench.datasets.csv_source import CsvBlock, Dialect, csv_blocks, parse_block, read_dialect
from workbench.datasets.fingerprints import Fingerprinter, Words
from workbench.datasets.json_source import JsonBlock, json_blocks, parse_rows, read_keys
from workbench.datasets.records import FIELDS, schema_of
from workbench.datasets.sensitive import scan_column
from workbench.datasets.source import BLOCK_BYTES, Source
from workbench.errors import BadInput, UsageError

CSV_SUFFIXES = frozenset({".csv", ".tsv"})
JSON_SUFFIXES = frozenset({".jsonl", ".ndjson"})


@dataclass(frozen=True)
class Opened:
    """A source whose form has been recognised.

    Attributes:
        source: The file.
        headings: Its columns, or the keys of its first records.
        dialect: For CSV, else None.
    """

    source: Source
    headings: tuple[str, ...]
    dialect: Dialect | None

    @property
    def doubtful(self) -> bool:
        """Whether the first line was taken for names of columns but looks like a record."""
        return self.dialect is not None and self.dialect.doubtful

    def blocks(self, size: int = BLOCK_BYTES) -> Generator[CsvBlock | JsonBlock, None, None]:
        """Read the file, about `size` bytes at a time."""
        if self.dialect is None:
            yield from json_blocks(self.source, size)
        else:
            yield from csv_blocks(self.source, self.dialect, size)


@dataclass
class Prepared:
    """One block, ready to be sealed but for duplicates and splits.

    Attributes:
        batch: Canonical rows; `number` is the place within the block.
        refused: (line, code) of the other records.
        records: How many records the block has.
        high: Upper 64 bits of the rows' fingerprints.
        low: Lower 64 bits.
        hits: (row, kind) of the likely identifiers.
    """

    batch: Any
    refused: list[tuple[int, str]]
    records: int
    high: Words
    low: Words
    hits: list[tuple[int, str]]


def open_source(source: Source, *, header: bool = True) -> Opened:
    """Recognise a file by its suffix; `header` says whether a CSV file's first line is one.

    Raises:
        BadInput: The form is unknown, or the file has no usable beginning.
    """
    suffix = source.path.suffix.lower()
    if suffix in CSV_SUFFIXES:
        dialect = read_dialect(source, header=header)
        return Opened(source, dialect.headings, dialect)
    if suffix in JSON_SUFFIXES:
        return Opened(source, read_keys(source), None)
    known = ", ".join(sorted(CSV_SUFFIXES | JSON_SUFFIXES))
    raise BadInput(
        f"{source.path.name} is of a form that cannot be imported.",
        hint=f"Files may end in {known}.",
        code="unknown_form",
    )


def choose_layouts(opened: Sequence[Opened], kind: str, mapping: Mapping[str, str]) -> list[Layout]:
    """Choose kind and columns for the files of one import; the first decides the kind.

    Raises:
        UsageError: Unknown kind, field or heading.
        BadInput: Nothing fits, or a file does not fit the first one (code `mixed_kinds`).
    """
    try:
        layouts = [choose_layout(opened[0].headings, kind, mapping)]
    except BadInput as error:
        if opened[0].doubtful:
            error.hint += " Its first line looks like a record: --no-header reads it as one."
        raise
    for item in opened[1:]:
        try:
            layouts.append(choose_layout(item.headings, layouts[0].kind, mapping))
        except (BadInput, UsageError) as error:
            raise BadInput(
                f"{item.source.path.name} does not fit the first file, a {layouts[0].kind} set.",
                hint=error.hint,
                code="mixed_kinds",
            ) from None
    return layouts


def prepare_block(
    block: CsvBlock | JsonBlock,
    opened: Opened,
    layout: Layout,
    file: int,
    fingerprinter: Fingerprinter,
    *,
    masked: bool,
) -> Prepared:
    """Parse, check, scan and hash one block; `file` is the source's place in the import."""
    rows = _rows(block, opened, layout, file)
    batch, hits = scan_batch(rows.batch, layout.kind, masked=masked)
    high, low = fingerprinter.compute(batch)
    return Prepared(batch, rows.refused, rows.records, high, low, hits)


def _rows(block: CsvBlock | JsonBlock, opened: Opened, layout: Layout, file: int) -> Canonical:
    if isinstance(block, JsonBlock):
        return from_json(parse_rows(block, layout), layout, file)
    dialect = opened.dialect
    if dialect is None:
        raise TypeError("a CSV block has a dialect")
    wanted = tuple(dict.fromkeys(layout.columns.values()))
    return from_csv(parse_block(block, dialect, wanted), layout, file)


def scan_batch(batch: Any, kind: str, *, masked: bool) -> tuple[Any, list[tuple[int, str]]]:
    """Look for likely identifiers in a canonical batch.

    Returns:
        The batch, masked if asked for, and (row, kind) of each hit.
    """
    if kind == "chat":
        return _scan_chat(batch, masked=masked)
    hits: list[tuple[int, str]] = []
    for field in FIELDS[kind]:
        scan = scan_column(batch.column(field), masked=masked)
        hits += scan.hits
        if scan.column is not batch.column(field):
            place = batch.schema.get_field_index(field)
            batch = batch.set_column(place, batch.schema.field(field), scan.column)
    return batch, hits


def _scan_chat(batch: Any, *, masked: bool) -> tuple[Any, list[tuple[int, str]]]:
    messages = batch.column("messages")
    turns = messages.flatten()
    roles, contents = turns.flatten()
    offsets = messages.offsets.to_numpy() - messages.offsets[0].as_py()

    def row_of(turn: int) -> int:
        return int(np.searchsorted(offsets, turn, side="right")) - 1

    scan = scan_column(contents, masked=masked, row_of=row_of)
    if masked and scan.hits:
        field = schema_of("chat").field("messages")
        values = pa.StructArray.from_arrays(
            [roles, scan.column], fields=list(field.type.value_type)
        )
        rebuilt = pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), values, type=field.type)
        batch = batch.set_column(batch.schema.get_field_index("messages"), field, rebuilt)
    return batch, scan.hits
