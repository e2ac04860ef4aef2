"""Records as the rest of the product sees them, and the columns that they are kept in.

A dataset has one kind, and a kind has fixed ("canonical") columns, so that the engine, SQL and
the screens need not know which headings a user's file had. Every batch begins with the origin of
its rows: `number` (int64, counts the records of the import from 0, taken or not), `file` (int32,
index into the sources) and `line` (int64, from 1, the physical line where the record starts).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, cast

import pyarrow as pa

Role: TypeAlias = Literal["system", "user", "assistant"]
ROLES: tuple[Role, ...] = ("system", "user", "assistant")

ORIGIN: tuple[str, ...] = ("number", "file", "line")

# The text columns of each kind, in order; chat's only column is a list of messages.
FIELDS: dict[str, tuple[str, ...]] = {
    "chat": ("messages",),
    "instruction": ("instruction", "input", "output", "system"),
    "completion": ("prompt", "completion", "system"),
    "text": ("text",),
    "classification": ("text", "label"),
}
KINDS: tuple[str, ...] = tuple(FIELDS)

MESSAGE_TYPE = pa.struct(
    [pa.field("role", pa.string(), False), pa.field("content", pa.string(), False)]
)


def schema_of(kind: str) -> pa.Schema:
    """Return the canonical schema of `kind`: origin columns, then non-null text columns.

    A field that a source does not have (an instruction's `input`, say) is the empty string.
    """
    origin = [
        pa.field("number", pa.int64(), False),
        pa.field("file", pa.int32(), False),
        pa.field("line", pa.int64(), False),
    ]
    if kind == "chat":
        return pa.schema([*origin, pa.field("messages", pa.list_(MESSAGE_TYPE), False)])
    return pa.schema([*origin, *(pa.field(name, pa.string(), False) for name in FIELDS[kind])])


@dataclass(frozen=True)
class Message:
    """One turn of a conversation."""

    role: Role
    content: str


@dataclass(frozen=True)
class Record:
    """One example to train on or to evaluate.

    Attributes:
        number: The record's place in its import, from 0; unique within a dataset.
        messages: The conversation; empty for a record of plain text.
        text: The plain text of a record of kind `text`, else None.
    """

    number: int
    messages: tuple[Message, ...]
    text: str | None

    def begun(self, most: int) -> Record:
        """Return how the record begins: at most `most` characters of each of its texts."""
        messages = tuple(Message(turn.role, turn.content[:most]) for turn in self.messages)
        return Record(self.number, messages, None if self.text is None else self.text[:most])


def records_from_batch(batch: pa.RecordBatch, kind: str) -> list[Record]:
    """Turn a canonical batch into records.

    Instructions, prompts and classified texts become a user's and an assistant's message, after
    a system message where there is one; an instruction's input follows it after a blank line.

    Args:
        batch: Columns as in `schema_of(kind)`.
        kind: One of `KINDS`.
    """
    rows = cast("list[dict[str, Any]]", batch.to_pylist())
    if kind == "text":
        return [Record(row["number"], (), row["text"]) for row in rows]
    return [Record(row["number"], _messages(row, kind), None) for row in rows]


def _messages(row: dict[str, Any], kind: str) -> tuple[Message, ...]:
    if kind == "chat":
        return tuple(Message(turn["role"], turn["content"]) for turn in row["messages"])
    if kind == "classification":
        return (Message("user", row["text"]), Message("assistant", row["label"]))
    if kind == "instruction":
        question, answer = row["instruction"], row["output"]
        if row["input"]:
            question = f"{question}\n\n{row['input']}" if question else row["input"]
    else:
        question, answer = row["prompt"], row["completion"]
    system = (Message("system", row["system"]),) if row["system"] else ()
    return (*system, Message("user", question), Message("assistant", answer))
