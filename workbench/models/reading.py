"""Bounded, strict reading of the small JSON and text files in a model's folder.

They come from strangers: size is checked before a byte is read, doubled keys and `NaN` are
refused (two readers could take them differently), and nesting cannot exhaust the stack.
"""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

from workbench.errors import BadInput

MIB = 1 << 20
CONFIG_LIMIT = 4 * MIB
# The largest published tokenizer (Gemma 3, 262k tokens) has 33 MiB.
TOKENIZER_LIMIT = 128 * MIB
TEMPLATE_LIMIT = 1 * MIB


def read_bytes(path: Path, limit: int) -> bytes:
    """Return a file's bytes.

    Raises:
        BadInput: No regular file, larger than `limit` bytes, or unreadable.
    """
    try:
        # O_NONBLOCK: opening a pipe that nobody feeds must not hang.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as source:
            facts = os.fstat(source.fileno())
            if not stat.S_ISREG(facts.st_mode):
                raise BadInput(f"{path.name} is no regular file.", code="unreadable_file")
            data = source.read(limit + 1)
    except OSError as error:
        raise BadInput(
            f"{path.name} cannot be read ({error.strerror}).", code="unreadable_file"
        ) from error
    if len(data) > limit:
        raise BadInput(
            f"{path.name} is larger than {limit // MIB} MiB, more than such a file ever needs.",
            code="file_too_large",
        )
    return data


def read_text(path: Path, limit: int) -> str:
    """Return a UTF-8 file's text, line ends as they stand.

    Raises:
        BadInput: As `read_bytes`, or the bytes are no UTF-8.
    """
    try:
        return read_bytes(path, limit).decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadInput(
            f"{path.name} is no UTF-8 text.",
            hint="Copy the model's files again from its publisher.",
            code="bad_encoding",
        ) from error


def read_object(path: Path, limit: int = CONFIG_LIMIT) -> dict[str, object]:
    """Return the JSON object that a file holds.

    Raises:
        BadInput: As `read_text`, or the text is no single strict JSON object.
    """
    return parse_object(read_text(path, limit), path.name)


def read_object_if_there(path: Path) -> dict[str, object]:
    """Return the JSON object that a file holds, or an empty one when there is no such file."""
    return read_object(path) if path.exists() else {}


def parse_object(text: str, name: str) -> dict[str, object]:
    """Parse one strict JSON object; `name` stands in the error's message.

    Raises:
        BadInput: No JSON, no object, a doubled key, a `NaN`, or nested too deeply.
    """
    try:
        value = json.loads(text, object_pairs_hook=_no_doubles, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise BadInput(
            f"{name} is broken: no strict JSON.",
            hint="Copy the model's files again from its publisher.",
            code="bad_json",
        ) from error
    if not isinstance(value, dict):
        raise BadInput(
            f"{name} is broken: not a JSON object.",
            hint="Copy the model's files again from its publisher.",
            code="bad_json",
        )
    return value


def _no_doubles(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("doubled key")
    return found


def _no_constant(name: str) -> object:
    raise ValueError(name)
