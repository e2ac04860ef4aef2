"""Which kind of dataset a source is, and which of its columns feeds which field."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from workbench.datasets.records import FIELDS, KINDS
from workbench.errors import BadInput, UsageError

# Headings that are taken for a field when none is mapped by hand, the likeliest first.
_SYNONYMS: dict[str, dict[str, tuple[str, ...]]] = {
    "chat": {
        "messages": ("messages", "conversations", "conversation", "dialogue", "dialog", "turns"),
        "system": ("system", "system_prompt"),
    },
    "instruction": {
        "instruction": ("instruction", "instructions", "task"),
        "input": ("input", "context"),
        "output": ("output", "response", "answer", "completion"),
        "system": ("system", "system_prompt"),
    },
    "completion": {
        "prompt": ("prompt", "question", "query", "request", "input", "user"),
        "completion": (
            "completion", "response", "answer", "output", "reply", "target", "assistant",
        ),
        "system": ("system", "system_prompt"),
    },
    "classification": {
        "text": ("text", "sentence", "review", "message", "document", "note", "content"),
        "label": ("label", "class", "category", "intent", "sentiment", "target"),
    },
    "text": {"text": ("text", "content", "document", "body", "note")},
}  # fmt: skip

# Fields that a record may lack; a chat's `system` is put before the messages.
OPTIONAL: dict[str, frozenset[str]] = {
    "chat": frozenset({"system"}),
    "instruction": frozenset({"input", "system"}),
    "completion": frozenset({"system"}),
    "text": frozenset(),
    "classification": frozenset(),
}


@dataclass(frozen=True)
class Layout:
    """What was chosen for a source: its kind, and {field: heading}."""

    kind: str
    columns: dict[str, str]


def fields_of(kind: str) -> tuple[str, ...]:
    """Return the fields that may be mapped for `kind`."""
    return ("messages", "system") if kind == "chat" else FIELDS[kind]


def is_known_heading(name: str) -> bool:
    """Say whether a column of this name is taken for some field."""
    plain = _plain(name)
    return any(plain in names for kind in _SYNONYMS.values() for names in kind.values())


def missing_fields(headings: Sequence[str], kind: str, mapping: Mapping[str, str]) -> list[str]:
    """Return the fields of `kind` that every record needs and for which there is no column.

    Args:
        headings: The source's columns or keys.
        kind: One of `KINDS`.
        mapping: {field: heading} by the user's hand, as in `choose_layout`.
    """
    found = _found(kind, headings, mapping)
    return [field for field in _required(kind) if not found.get(field)]


def choose_layout(headings: Sequence[str], kind: str, mapping: Mapping[str, str]) -> Layout:
    """Choose kind and columns for a source with these headings.

    Args:
        headings: The source's columns or keys.
        kind: One of `KINDS`, or "auto".
        mapping: {field: heading} by the user's hand; other fields are still detected. An empty
            heading leaves out a field that records may lack.

    Raises:
        UsageError: Unknown kind, field or heading (codes `bad_kind`, `bad_map`).
        BadInput: Nothing fits (code `kind_unknown`).
    """
    if kind != "auto" and kind not in KINDS:
        raise UsageError(
            "There is no such kind of dataset.",
            hint=f"Kinds: auto, {', '.join(KINDS)}.",
            code="bad_kind",
        )
    kinds = _possible_kinds(kind, mapping)
    for heading in mapping.values():
        if heading and heading not in headings:
            raise UsageError(
                "--map names a column that the file does not have.",
                hint=f"The file has {len(headings)} columns; letter case counts.",
                code="bad_map",
            )
    for candidate in kinds:
        columns = _match(candidate, headings, mapping)
        if columns is not None:
            return Layout(candidate, columns)
    if len(headings) == 1 and "text" in kinds and not mapping:
        return Layout("text", {"text": headings[0]})
    wanted = "; ".join(f"{k}: {', '.join(_required(k))}" for k in kinds)
    missing = missing_fields(headings, kinds[0], mapping) if len(kinds) == 1 else []
    raise BadInput(
        f"No column is known for: {', '.join(missing)}."
        if missing
        else f"None of the file's {len(headings)} columns fit what was asked for.",
        hint=f"Say which column is which: --as KIND --map FIELD=COLUMN. Fields by kind: {wanted}.",
        code="kind_unknown",
    )


def _possible_kinds(kind: str, mapping: Mapping[str, str]) -> list[str]:
    kinds = list(_SYNONYMS) if kind == "auto" else [kind]
    possible = [k for k in kinds if set(mapping) <= set(fields_of(k))]
    if not possible:
        choices = "; ".join(f"{k}: {', '.join(fields_of(k))}" for k in kinds)
        raise UsageError(
            "--map names a field that this kind of dataset does not have.",
            hint=f"Fields: {choices}.",
            code="bad_map",
        )
    return possible


def _required(kind: str) -> tuple[str, ...]:
    return tuple(field for field in fields_of(kind) if field not in OPTIONAL[kind])


def _plain(heading: str) -> str:
    return re.sub(r"[\s\-.]+", "_", heading.strip().lower())


def _match(kind: str, headings: Sequence[str], mapping: Mapping[str, str]) -> dict[str, str] | None:
    """Return {field: heading} for `kind`, or None where a required field has no column."""
    columns = _found(kind, headings, mapping)
    if any(not columns.get(field) for field in _required(kind)):
        return None
    return {field: columns[field] for field in fields_of(kind) if columns.get(field)}


def _found(kind: str, headings: Sequence[str], mapping: Mapping[str, str]) -> dict[str, str]:
    """Return {field: heading} of those mapped by hand and those that are detected."""
    columns = dict(mapping)
    plain: dict[str, str] = {}
    for heading in headings:
        if heading not in mapping.values():
            plain.setdefault(_plain(heading), heading)
    for field in fields_of(kind):
        if field in columns:
            continue
        found = next((plain[s] for s in _SYNONYMS[kind][field] if s in plain), None)
        if found is not None and found not in columns.values():
            columns[field] = found
    return columns
