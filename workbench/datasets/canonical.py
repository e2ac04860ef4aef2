"""From parsed rows to canonical batches, with the checks that every kind shares.

Checks work on whole columns. What they refuse is reported by line and code, like everything that
is not taken.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from workbench.datasets.columns import Layout
from workbench.datasets.csv_records import Flags, Positions
from workbench.datasets.csv_source import ParsedRows
from workbench.datasets.json_source import (
    JsonRows,
    RefusedRecordError,
    check_characters,
    messages_of,
)
from workbench.datasets.records import FIELDS, schema_of
from workbench.datasets.rejects import Reason

# Fields that must not be blank, and the code for it. An instruction may be blank where there is
# an input.
_FILLED: dict[str, tuple[tuple[str, Reason], ...]] = {
    "instruction": (("output", Reason.EMPTY_ANSWER),),
    "completion": (("prompt", Reason.EMPTY_FIELD), ("completion", Reason.EMPTY_ANSWER)),
    "text": (("text", Reason.EMPTY_FIELD),),
    "classification": (("text", Reason.EMPTY_FIELD), ("label", Reason.EMPTY_ANSWER)),
}


@dataclass
class Canonical:
    """Checked rows of one block.

    Attributes:
        batch: Columns of `schema_of(kind)`; `number` is the place within the block.
        refused: (line, code) of all records of the block that are not in the batch.
        records: How many records the block has.
    """

    batch: Any
    refused: list[tuple[int, str]]
    records: int


def from_csv(rows: ParsedRows, layout: Layout, file: int) -> Canonical:
    """Bring parsed CSV rows into canonical columns and check them."""
    count = len(rows.lines)
    columns = {field: rows.columns[heading] for field, heading in layout.columns.items()}
    if layout.kind == "chat":
        return _chat_from_csv(rows, columns, file)
    blank = pa.repeat(pa.scalar(""), count)
    arrays = {field: columns.get(field, blank) for field in FIELDS[layout.kind]}
    batch = _batch(layout.kind, rows.ordinals, rows.lines, file, arrays)
    return _checked(batch, layout.kind, rows.refused, rows.records)


def from_json(rows: JsonRows, layout: Layout, file: int) -> Canonical:
    """Bring parsed JSON rows into canonical columns and check them."""
    kind = layout.kind
    if kind == "chat":
        messages = [
            _with_system(turns, system)
            for turns, system in zip(rows.values["messages"], rows.values["system"], strict=True)
        ]
        return _checked_chat(messages, rows.ordinals, rows.lines, file, rows.refused, rows.records)
    arrays = {field: pa.array(rows.values[field], pa.string()) for field in FIELDS[kind]}
    batch = _batch(kind, rows.ordinals, rows.lines, file, arrays)
    return _checked(batch, kind, rows.refused, rows.records)


def _batch(
    kind: str, ordinals: Positions, lines: Positions, file: int, fields: dict[str, Any]
) -> Any:
    origin = [
        pa.array(ordinals, pa.int64()),
        pa.repeat(pa.scalar(file, pa.int32()), len(lines)),
        pa.array(lines, pa.int64()),
    ]
    return pa.RecordBatch.from_arrays([*origin, *fields.values()], schema=schema_of(kind))


def _checked(batch: Any, kind: str, refused: list[tuple[int, str]], records: int) -> Canonical:
    codes = {code: blank_values(batch.column(field)) for field, code in _FILLED[kind]}
    if kind == "instruction":
        codes[Reason.EMPTY_FIELD] = blank_values(batch.column("instruction")) & blank_values(
            batch.column("input")
        )
    bad = np.zeros(batch.num_rows, np.bool_)
    more: list[tuple[int, str]] = []
    lines = batch.column("line")
    for code, flags in codes.items():
        fresh = np.flatnonzero(flags & ~bad)
        more += [(lines[i].as_py(), code.value) for i in fresh.tolist()]
        bad |= flags
    if more:
        batch = batch.filter(pa.array(~bad))
        refused = sorted(refused + more)
    return Canonical(batch, refused, records)


def blank_values(column: Any) -> Flags:
    """Flag the values that hold nothing but white space (Unicode's)."""
    lengths = pc.binary_length(column).to_numpy(zero_copy_only=False)
    flags: Flags = lengths == 0
    offsets = np.frombuffer(column.buffers()[1], np.int32)[column.offset :][: len(column)]
    if column.buffers()[2] is None:
        return flags
    data = np.frombuffer(column.buffers()[2], np.uint8)
    some = np.flatnonzero(~flags)
    first = data[offsets[some]]
    # Only a value that begins with a space, a control or a non-ASCII byte can be blank.
    doubtful = some[(first <= 32) | (first >= 128)]
    if len(doubtful):
        stripped = pc.utf8_trim_whitespace(column.take(pa.array(doubtful)))
        flags[doubtful] = pc.binary_length(stripped).to_numpy(zero_copy_only=False) == 0
    return flags


def _with_system(messages: list[dict[str, str]], system: str) -> list[dict[str, str]]:
    if not system.strip() or messages[0]["role"] == "system":
        return messages
    return [{"role": "system", "content": system}, *messages]


def _chat_from_csv(rows: ParsedRows, columns: dict[str, Any], file: int) -> Canonical:
    messages: list[list[dict[str, str]]] = []
    kept: list[int] = []
    refused = list(rows.refused)
    systems = columns["system"].to_pylist() if "system" in columns else [""] * len(rows.lines)
    for place, cell in enumerate(columns["messages"].to_pylist()):
        try:
            if not cell.strip():
                raise RefusedRecordError(Reason.MISSING_FIELD)
            turns = messages_of(cell)
            check_characters([turns])
            messages.append(_with_system(turns, systems[place]))
        except RefusedRecordError as error:
            refused.append((int(rows.lines[place]), error.code.value))
        else:
            kept.append(place)
    index = np.array(kept, np.int64)
    return _checked_chat(
        messages, rows.ordinals[index], rows.lines[index], file, refused, rows.records
    )


def _checked_chat(
    conversations: list[list[dict[str, str]]],
    ordinals: Positions,
    lines: Positions,
    file: int,
    refused: list[tuple[int, str]],
    records: int,
) -> Canonical:
    faults = [_fault(messages) for messages in conversations]
    kept = [place for place, fault in enumerate(faults) if fault is None]
    more = [(int(lines[i]), fault.value) for i, fault in enumerate(faults) if fault is not None]
    column = pa.array([conversations[i] for i in kept], schema_of("chat").field("messages").type)
    index = np.array(kept, np.int64)
    batch = _batch("chat", ordinals[index], lines[index], file, {"messages": column})
    return Canonical(batch, sorted(refused + more), records)


def _fault(messages: list[dict[str, str]]) -> Reason | None:
    """Judge a conversation. Two turns in a row by one speaker are tolerated, as they are common."""
    roles = [message["role"] for message in messages]
    spoken = [role for role in roles if role != "system"]
    if "system" in roles[1:] or spoken[:1] == ["assistant"]:
        return Reason.BAD_ORDER
    if "assistant" not in roles:
        return Reason.NO_ANSWER
    for message in messages:
        if not message["content"].strip():
            answer = message["role"] == "assistant"
            return Reason.EMPTY_ANSWER if answer else Reason.EMPTY_FIELD
    return None
