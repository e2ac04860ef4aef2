"""CSV files as blocks of text columns.

`csv_records` cuts the bytes, pyarrow parses what was found sound. Blocks may be parsed in any
order and in any thread.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as arrow_csv

from workbench.datasets.csv_records import Cut, Positions, cut_records
from workbench.datasets.headers import looks_like_record
from workbench.datasets.rejects import Reason
from workbench.datasets.source import BLOCK_BYTES, RECORD_BYTES, Source
from workbench.errors import BadInput

_DELIMITERS = ",;\t|"
_HEAD_BYTES = 1 << 20
_COMPARED = 50  # records with the header


@dataclass(frozen=True)
class Dialect:
    """How a file's fields are separated, and what its columns are called.

    Attributes:
        delimiter: One character.
        headings: From the first record, or `column_1` and so on where the file has no header.
        header: Whether the first record names the columns and is none itself.
        doubtful: Whether it was taken for names but looks like a record.
    """

    delimiter: str
    headings: tuple[str, ...]
    header: bool = True
    doubtful: bool = False


@dataclass
class ParsedRows:
    """Rows of one block, as text columns by heading, with their origin.

    Attributes:
        columns: Equally long arrays of strings.
        ordinals: Place of each row among the block's records, the refused ones counted too.
        lines: Physical line of each row, from 1.
        refused: (line, code) of the records that were not parsed.
        records: All records of the block.
    """

    columns: dict[str, Any]
    ordinals: Positions
    lines: Positions
    refused: list[tuple[int, str]]
    records: int


@dataclass(frozen=True)
class CsvBlock:
    """Records cut from a file, not parsed yet; `line` is the physical line of the first byte."""

    cut: Cut
    line: int
    overlong: tuple[int, ...] = ()  # physical lines of records beyond the budget


def read_dialect(source: Source, *, header: bool = True) -> Dialect:
    """Look at the beginning.

    Args:
        source: The file.
        header: Whether its first record names the columns.

    Raises:
        BadInput: The file is empty, or its first record is no header.
    """
    head = source.head(_HEAD_BYTES)
    if not head.strip():
        raise BadInput(f"{source.path.name} is empty.", hint="Leave it out.", code="empty_file")
    if not head.endswith(b"\n"):
        head += b"\n"
    line = head[: head.index(b"\n")].decode("utf-8", "replace")
    unquoted = "".join(line.split('"')[::2])
    delimiter = max(_DELIMITERS, key=unquoted.count)
    cut = cut_records(head, ord(delimiter), final=True)
    bad = BadInput(
        f"The first line of {source.path.name} is not a header.",
        hint="The first line has to name the columns.",
        code="bad_header",
    )
    fields = _fields(cut, 0, delimiter)
    if not fields:
        raise bad
    if not header:
        named = tuple(f"column_{place}" for place in range(1, len(fields) + 1))
        return Dialect(delimiter, named, header=False)
    others = [
        _fields(cut, place, delimiter) for place in range(1, min(len(cut.starts), _COMPARED + 1))
    ]
    headings: list[str] = []
    for place, field in enumerate(fields, 1):
        name = field.strip() or f"column {place}"
        headings.append(name if name not in headings else f"{name} {place}")
    return Dialect(delimiter, tuple(headings), doubtful=looks_like_record(fields, others))


def _fields(cut: Cut, place: int, delimiter: str) -> list[str]:
    """Return a record's fields; none where it cannot be read."""
    if place in cut.refused:
        return []
    text = bytes(cut.data[cut.starts[place] : cut.ends[place]]).decode("utf-8")
    try:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        return next(reader)
    except (csv.Error, StopIteration):
        return []


def csv_blocks(source: Source, dialect: Dialect, size: int = BLOCK_BYTES) -> Iterator[CsvBlock]:
    """Yield the file's records, a header left out; at most one record's budget is carried."""
    carried, line, header, skipping = b"", 1, dialect.header, False
    overlong: list[int] = []
    for block in _with_end(source, size):
        final = block is None
        data = carried if final else carried + (block or b"")
        if skipping:
            end = data.find(b"\n") + 1
            if not end:
                carried = b""
                continue
            data, skipping, line = data[end:], False, line + 1
        end = data.rfind(b"\n") + 1
        if final and end < len(data):
            data, end = data + b"\n", len(data) + 1
        if not end and len(data) <= RECORD_BYTES:
            carried = data
            continue
        if not end:
            overlong.append(line)
            carried, skipping = b"", True
            continue
        over = len(data) > RECORD_BYTES + size
        cut = cut_records(data[:end], ord(dialect.delimiter), final=final, give_up=over)
        carried = data[cut.used :]
        yield CsvBlock(_without_header(cut) if header else cut, line, tuple(overlong))
        header, overlong = header and not len(cut.starts), []
        line += cut.line_count
    if overlong:
        yield CsvBlock(cut_records(b"", ord(dialect.delimiter), final=True), line, tuple(overlong))


def _with_end(source: Source, size: int) -> Iterator[bytes | None]:
    yield from source.blocks(size)
    yield None


def _without_header(cut: Cut) -> Cut:
    if not len(cut.starts):
        return cut
    refused = {index - 1: code for index, code in cut.refused.items() if index}
    starts, ends, lines = cut.starts[1:], cut.ends[1:], cut.lines[1:]
    return Cut(cut.data, starts, ends, lines, refused, cut.used, cut.line_count)


def parse_block(block: CsvBlock, dialect: Dialect, wanted: tuple[str, ...]) -> ParsedRows:
    """Parse the block's sound records; `wanted` are the headings to keep."""
    cut = block.cut
    count = len(cut.starts)
    good = np.ones(count, np.bool_)
    good[list(cut.refused)] = False
    rows = np.flatnonzero(good)
    tables: list[Any] = []
    taken: list[Positions] = []
    torn: list[int] = []
    if len(rows):
        _parse_span(cut, rows, dialect, wanted, tables, taken, torn)
    kept = np.concatenate(taken) if taken else np.empty(0, np.int64)
    columns = {
        name: pa.concat_arrays([chunk for table in tables for chunk in table.column(name).chunks])
        if tables
        else pa.array([], pa.string())
        for name in wanted
    }
    codes = {**cut.refused, **dict.fromkeys(torn, Reason.TORN_ROW)}
    refused = [(block.line + int(cut.lines[i]), code.value) for i, code in sorted(codes.items())]
    refused = [(line, Reason.TOO_LONG.value) for line in block.overlong] + refused
    skipped = len(block.overlong)
    return ParsedRows(
        columns, kept + skipped, block.line + cut.lines[kept], refused, count + skipped
    )


def _parse_span(
    cut: Cut,
    rows: Positions,
    dialect: Dialect,
    wanted: tuple[str, ...],
    tables: list[Any],
    taken: list[Positions],
    torn: list[int],
) -> None:
    """Parse consecutive rows; where pyarrow counts otherwise than we do, halve until it agrees."""
    try:
        table, odd = _parse(_joined(cut, rows), dialect, wanted)
    except pa.ArrowInvalid:
        table, odd = None, []
    if table is not None and table.num_rows + len(odd) == len(rows):
        torn.extend(rows[odd].tolist())
        tables.append(table)
        taken.append(np.delete(rows, odd))
    elif len(rows) == 1:
        torn.append(int(rows[0]))
    else:
        middle = len(rows) // 2
        _parse_span(cut, rows[:middle], dialect, wanted, tables, taken, torn)
        _parse_span(cut, rows[middle:], dialect, wanted, tables, taken, torn)


def _joined(cut: Cut, rows: Positions) -> Any:
    """Return the rows' bytes; without a copy where they are neighbours."""
    starts, ends = cut.starts[rows], cut.ends[rows]
    breaks = np.flatnonzero(starts[1:] != ends[:-1])
    view = memoryview(cut.data)
    if not len(breaks):
        return pa.py_buffer(view[starts[0] : ends[-1]])
    low = starts[np.concatenate(([0], breaks + 1))].tolist()
    high = ends[np.concatenate((breaks, [len(rows) - 1]))].tolist()
    return pa.py_buffer(b"".join(view[a:b] for a, b in zip(low, high, strict=True)))


def _parse(buffer: Any, dialect: Dialect, wanted: tuple[str, ...]) -> tuple[Any, list[int]]:
    """Return the table and the indices (from 0) of rows with a wrong number of fields."""
    odd: list[int] = []

    def note(row: Any) -> str:
        odd.append(row.number - 1)
        return "skip"

    table = arrow_csv.read_csv(
        pa.BufferReader(buffer),
        read_options=arrow_csv.ReadOptions(
            use_threads=False,
            block_size=buffer.size + 1,
            column_names=list(dialect.headings),
        ),
        parse_options=arrow_csv.ParseOptions(
            delimiter=dialect.delimiter,
            newlines_in_values=True,
            ignore_empty_lines=False,
            invalid_row_handler=note,
        ),
        convert_options=arrow_csv.ConvertOptions(
            check_utf8=False,  # csv_records has looked
            include_columns=list(wanted),
            column_types=dict.fromkeys(wanted, pa.string()),
            strings_can_be_null=False,
        ),
    )
    return table, odd
