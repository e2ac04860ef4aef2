"""JSON lines (and arrays of objects) as canonical columns.

JSON is read record by record: each line is judged alone, so that a broken one costs itself only.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from workbench.datasets.columns import OPTIONAL, Layout, fields_of
from workbench.datasets.csv_records import Positions
from workbench.datasets.rejects import Reason
from workbench.datasets.source import BLOCK_BYTES, RECORD_BYTES, Source
from workbench.errors import BadInput

_HEAD_BYTES = 1 << 20
_HEAD_RECORDS = 100
_ROLES = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "model": "assistant",
    "bot": "assistant",
}
_SUSPECT = re.compile(rb"\\u(?:[dD][89a-fA-F]|0000)")


class RefusedRecordError(Exception):
    """A record cannot be taken; `code` says why."""

    def __init__(self, code: Reason) -> None:
        super().__init__(code.value)
        self.code = code


@dataclass(frozen=True)
class JsonBlock:
    """Lines of a JSON file: (physical line from 1, its bytes or the reason it is refused)."""

    entries: tuple[tuple[int, bytes | Reason], ...]


@dataclass
class JsonRows:
    """Values by canonical field, with their origin; see `csv_source.ParsedRows`."""

    values: dict[str, list[Any]]
    ordinals: Positions
    lines: Positions
    refused: list[tuple[int, str]]
    records: int


def json_blocks(source: Source, size: int = BLOCK_BYTES) -> Iterator[JsonBlock]:
    """Yield the file's lines in blocks, blank lines left out."""
    carried: list[bytes] = []
    held, line, skipping = 0, 1, False
    for block in source.blocks(size):
        entries: list[tuple[int, bytes | Reason]] = []
        *whole, rest = block.split(b"\n")
        for piece in whole:
            text = b"".join((*carried, piece)) if carried else piece
            carried, held = [], 0
            if not skipping and text.strip():
                too_long = len(text) > RECORD_BYTES
                entries.append((line, Reason.TOO_LONG if too_long else text))
            skipping = False
            line += 1
        carried.append(rest)
        held += len(rest)
        if held > RECORD_BYTES:
            if not skipping:
                entries.append((line, Reason.TOO_LONG))
            carried, held, skipping = [], 0, True
        yield JsonBlock(tuple(entries))
    text = b"".join(carried)
    if text.strip() and not skipping:
        yield JsonBlock(((line, text),))


def read_keys(source: Source) -> tuple[str, ...]:
    """Return the keys of the first records, in order of appearance.

    Raises:
        BadInput: No record at the start of the file is a JSON object.
    """
    head = source.head(_HEAD_BYTES)
    if not head.strip():
        raise BadInput(f"{source.path.name} is empty.", hint="Leave it out.", code="empty_file")
    keys: dict[str, None] = {}
    seen = 0
    for line in head.split(b"\n"):
        try:
            keys.update(dict.fromkeys(parse_object(line)))
        except RefusedRecordError:
            continue
        seen += 1
        if seen == _HEAD_RECORDS:
            break
    if not seen:
        # The first record may be longer than the head: read it, within the budget.
        for block in json_blocks(source):
            for _, text in block.entries:
                try:
                    return tuple(parse_object(text)) if isinstance(text, bytes) else ()
                except RefusedRecordError:
                    continue
        raise BadInput(
            f"{source.path.name} holds no JSON objects, one a line.",
            hint="Each line has to be an object such as {…}.",
            code="not_json_lines",
        )
    return tuple(keys)


def parse_object(text: bytes) -> dict[str, Any]:
    """Parse one record.

    Raises:
        RefusedRecordError: It is not a JSON object in UTF-8, or is nested too deeply.
    """
    try:
        value = json.loads(text.decode("utf-8"))
    except UnicodeDecodeError:
        raise RefusedRecordError(Reason.BAD_ENCODING) from None
    except RecursionError:
        raise RefusedRecordError(Reason.TOO_DEEP) from None
    except ValueError:  # also a number of more digits than Python converts
        code = Reason.NUL_BYTE if b"\0" in text else Reason.BAD_JSON
        raise RefusedRecordError(code) from None
    if not isinstance(value, dict):
        raise RefusedRecordError(Reason.NOT_AN_OBJECT)
    return value


def parse_rows(block: JsonBlock, layout: Layout) -> JsonRows:
    """Parse a block's lines into the canonical fields of the layout's kind."""
    fields = fields_of(layout.kind)
    values: dict[str, list[Any]] = {field: [] for field in fields}
    ordinals: list[int] = []
    lines: list[int] = []
    refused: list[tuple[int, str]] = []
    for ordinal, (line, text) in enumerate(block.entries):
        try:
            if isinstance(text, Reason):
                raise RefusedRecordError(text)
            row = _row(parse_object(text), layout)
            if _SUSPECT.search(text):
                check_characters(row)
        except RefusedRecordError as error:
            refused.append((line, error.code.value))
            continue
        for field, value in zip(fields, row, strict=True):
            values[field].append(value)
        ordinals.append(ordinal)
        lines.append(line)
    return JsonRows(
        values, np.array(ordinals, np.int64), np.array(lines, np.int64), refused, len(block.entries)
    )


def _row(record: Mapping[str, Any], layout: Layout) -> list[Any]:
    """Return the values of the kind's fields."""
    row: list[Any] = []
    for field in fields_of(layout.kind):
        heading = layout.columns.get(field)
        value = record.get(heading) if heading is not None else None
        if value is None:
            if field not in OPTIONAL[layout.kind]:
                raise RefusedRecordError(Reason.MISSING_FIELD)
            value = ""
        elif field == "label" and isinstance(value, bool | int):
            value = str(value).lower()
        elif field == "messages":
            value = messages_of(value)
        elif not isinstance(value, str):
            raise RefusedRecordError(Reason.WRONG_TYPE)
        row.append(value)
    return row


def messages_of(value: Any) -> list[dict[str, str]]:
    """Turn OpenAI `role`/`content` or ShareGPT `from`/`value` turns into canonical messages.

    Raises:
        RefusedRecordError: The turns are not of this form.
    """
    if isinstance(value, str):  # a CSV cell, or JSON within JSON
        try:
            value = json.loads(value)
        except RecursionError:
            raise RefusedRecordError(Reason.TOO_DEEP) from None
        except ValueError:
            raise RefusedRecordError(Reason.BAD_JSON) from None
    if not isinstance(value, list):
        raise RefusedRecordError(Reason.WRONG_TYPE)
    if not value:
        raise RefusedRecordError(Reason.MISSING_FIELD)
    return [_message(turn) for turn in value]


def _message(turn: Any) -> dict[str, str]:
    if not isinstance(turn, dict):
        raise RefusedRecordError(Reason.WRONG_TYPE)
    role = turn.get("role", turn.get("from"))
    content = turn.get("content", turn.get("value"))
    if role is None or content is None:
        raise RefusedRecordError(Reason.MISSING_FIELD)
    if isinstance(content, list):
        content = _joined_parts(content)
    if not isinstance(role, str) or not isinstance(content, str):
        raise RefusedRecordError(Reason.WRONG_TYPE)
    known = _ROLES.get(role.strip().lower())
    if known is None:
        raise RefusedRecordError(Reason.BAD_ROLE)
    return {"role": known, "content": content}


def _joined_parts(parts: list[Any]) -> str:
    """Join OpenAI's content parts; pictures and sounds are not text."""
    texts: list[str] = []
    for part in parts:
        text = part.get("text") if isinstance(part, dict) and part.get("type") == "text" else None
        if not isinstance(text, str):
            raise RefusedRecordError(Reason.WRONG_TYPE)
        texts.append(text)
    return "".join(texts)


def check_characters(values: Iterable[str | list[dict[str, str]]]) -> None:
    """Refuse lone surrogates and NUL, which JSON can write as escapes.

    Args:
        values: Texts, or lists of messages.

    Raises:
        RefusedRecordError: A text holds one.
    """
    for value in values:
        for text in [value] if isinstance(value, str) else [turn["content"] for turn in value]:
            if "\0" in text:
                raise RefusedRecordError(Reason.NUL_BYTE)
            try:
                text.encode("utf-8")
            except UnicodeEncodeError:
                raise RefusedRecordError(Reason.LONE_SURROGATE) from None
