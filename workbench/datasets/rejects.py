"""Why a record was not taken: reason codes, and the list that is sealed with the dataset.

A reject names file, line and code, and never holds a word of the record.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

import pyarrow as pa

from workbench.datasets.store import REJECTS_SCHEMA

LISTED = 100_000  # rejects that are kept one by one; the others are counted by code


class Reason(StrEnum):
    """Reason codes. Scripts match them: add codes, never rename one."""

    TORN_ROW = "torn_row"  # CSV: quoting, or the number of fields, does not fit the header
    BAD_ENCODING = "bad_encoding"  # not UTF-8
    NUL_BYTE = "nul_byte"
    TOO_LONG = "too_long"  # beyond the budget of bytes for one record
    BAD_JSON = "bad_json"
    NOT_AN_OBJECT = "not_an_object"  # JSON, but not {…}
    TOO_DEEP = "too_deep"  # JSON nested beyond reason
    LONE_SURROGATE = "lone_surrogate"  # JSON escapes that are not a character
    MISSING_FIELD = "missing_field"
    WRONG_TYPE = "wrong_type"  # a field that holds something else than text
    EMPTY_FIELD = "empty_field"  # nothing to answer, or no text
    EMPTY_ANSWER = "empty_answer"  # the part that training counts is blank
    BAD_ROLE = "bad_role"  # a turn by somebody else than system, user, assistant
    BAD_ORDER = "bad_order"  # system in the middle, or the assistant speaks first
    NO_ANSWER = "no_answer"  # a conversation without a turn of the assistant


@dataclass(frozen=True)
class Reject:
    """One record that was not taken.

    Attributes:
        file: Name of the source file, without its folder.
        line: Physical line, from 1, where the record starts.
        code: A `Reason`.
    """

    file: str
    line: int
    code: str


class RejectList:
    """Collects rejects: all are counted, the first `LISTED` are kept with file and line."""

    def __init__(self) -> None:
        self.by_code: Counter[str] = Counter()
        self._kept: list[tuple[int, int, str]] = []

    @property
    def total(self) -> int:
        """How many records were not taken."""
        return self.by_code.total()

    def extend(self, file: int, found: Iterable[tuple[int, str]]) -> None:
        """Note (line, code) pairs of source number `file`."""
        for line, code in found:
            self.by_code[code] += 1
            if len(self._kept) < LISTED:
                self._kept.append((file, line, str(code)))

    def batch(self) -> pa.RecordBatch:
        """Return the kept rejects as columns, to be sealed."""
        columns = list(zip(*self._kept, strict=True)) or [(), (), ()]
        arrays = [pa.array(c, f.type) for c, f in zip(columns, REJECTS_SCHEMA, strict=True)]
        return pa.record_batch(arrays, schema=REJECTS_SCHEMA)

    def listed(self, names: list[str]) -> list[Reject]:
        """Return the kept rejects, with the sources' names."""
        return [Reject(names[file], line, code) for file, line, code in self._kept]
