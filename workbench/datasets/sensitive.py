"""Likely identifiers in text: hints, not de-identification.

Shapes (regular expressions) and checksums find electronic mail addresses, telephone numbers,
IBANs (ISO 13616, mod 97), payment cards (ISO/IEC 7812, Luhn), US social security numbers
(SSA's rules of 2011), NHS numbers (mod 11), IPv4 addresses and numbers written after "MRN". Names,
addresses, dates and everything else that identifies a person are NOT found, some of what is found
is none (one random number in ten passes Luhn), and masking what is found does not make a text
anonymous.

Whole columns are searched for the bytes that any identifier has to have, so that only the few
texts which may hold one are looked at closely.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

KINDS = ("email", "phone", "iban", "card", "ssn", "nhs_number", "ip", "mrn")


class Hit(NamedTuple):
    """A likely identifier: its kind and its place in characters."""

    kind: str
    start: int
    end: int


# Each pattern begins with a plain class, which the engine looks for fast, and every repetition is
# bounded, so that a hostile text costs linear time.
_EMAIL_NAME = re.compile(r"[\w.+-]{1,64}\Z")
_EMAIL_HOST = re.compile(r"@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){1,8}(?![\w-])")
_IBAN = re.compile(r"[A-Z]{2}\d{2}(?:[ -]?[A-Z0-9]){11,30}")
_MRN = re.compile(r"MRN[:#. -]{0,3}(\d{4,12})(?!\w)")
_IP = re.compile(r"\d{1,3}(?:\.\d{1,3}){3}(?!\w|\.\d)")
_DIGITS = re.compile(r"\d[\d ().\-/]{7,}\d")
_NUMBER = re.compile(r"(?<![\w+])[+(]{0,2}\d(?:[ ().\-/]{0,2}\d){8,18}(?!\w)")
_SSN = re.compile(r"(?!000|666|9)\d{3}([- ])(?!00)\d\d\1(?!0000)\d{4}")
_NANP = re.compile(r"\(?[2-9]\d\d\)?[ .\-]{1,2}[2-9]\d\d[ .\-]\d{4}")

_IBAN_LENGTHS = {
    "AD": 24, "AE": 23, "AT": 20, "BE": 16, "BG": 22, "CH": 21, "CY": 28, "CZ": 24, "DE": 22,
    "DK": 18, "EE": 20, "ES": 24, "FI": 18, "FR": 27, "GB": 22, "GR": 27, "HR": 21, "HU": 28,
    "IE": 22, "IL": 23, "IS": 26, "IT": 27, "LI": 21, "LT": 20, "LU": 20, "LV": 21, "MC": 27,
    "MT": 31, "NL": 18, "NO": 15, "PL": 28, "PT": 25, "RO": 24, "SA": 24, "SE": 24, "SI": 19,
    "SK": 24, "SM": 27, "TR": 26,
}  # fmt: skip


def luhn(digits: str) -> bool:
    """Whether the last digit is the check digit of ISO/IEC 7812."""
    total = 0
    for place, char in enumerate(reversed(digits)):
        value = int(char) * (1 + place % 2)
        total += value - 9 * (value > 9)
    return total % 10 == 0


def mod97(iban: str) -> bool:
    """Whether an IBAN without spaces has the check digits of ISO 13616."""
    return int("".join(str(int(char, 36)) for char in iban[4:] + iban[:4])) % 97 == 1


def nhs_check(digits: str) -> bool:
    """Whether ten digits are an NHS number: weights 10 to 2, modulo 11."""
    check = 11 - sum(int(d) * w for d, w in zip(digits, range(10, 1, -1), strict=False)) % 11
    return check != 10 and check % 11 == int(digits[9])


def _iban_end(text: str, start: int, end: int) -> int | None:
    """Return where the IBAN that starts here ends; its shape may have run into the next word."""
    wanted = _IBAN_LENGTHS.get(text[start : start + 2])
    kept: list[str] = []
    for place in range(start, end):
        if text[place].isalnum():
            kept.append(text[place])
        if len(kept) == wanted:
            follows = text[place + 1 : place + 2]
            return place + 1 if not follows.isalnum() and mod97("".join(kept)) else None
    return None


def _number_kind(text: str) -> str | None:
    """Classify a run of digits and separators."""
    digits = re.sub(r"\D", "", text)
    if _SSN.fullmatch(text):
        return "ssn"
    if text.startswith(("+", "(+")):
        return "phone" if 9 <= len(digits) <= 15 else None
    if 13 <= len(digits) <= 19 and digits[0] in "3456" and re.fullmatch(r"[\d -]+", text):
        return "card" if luhn(digits) else None
    if len(digits) == 10 and re.fullmatch(r"\d{3}[ -]?\d{3}[ -]?\d{4}", text) and nhs_check(digits):
        return "nhs_number"
    if _NANP.fullmatch(text):
        return "phone"
    trunk = digits.startswith("0") and 10 <= len(digits) <= 12 and "." not in text
    return "phone" if trunk and len(set(digits)) > 2 else None


def _emails(text: str) -> Iterator[Hit]:
    at = text.find("@")
    while at >= 0:
        host = _EMAIL_HOST.match(text, at)
        name = _EMAIL_NAME.search(text[max(0, at - 64) : at]) if host else None
        if host and name:
            yield Hit("email", at - len(name.group()), host.end())
        at = text.find("@", at + 1)


def _stands_alone(text: str, start: int) -> bool:
    before = text[start - 1] if start else " "
    return not (before.isalnum() or before == "_")


def _numbers(text: str) -> Iterator[Hit]:
    for run in _DIGITS.finditer(text):
        for match in _NUMBER.finditer(text, max(0, run.start() - 2), run.end() + 1):
            start, number = match.start(), match.group()
            while number.startswith("(") and number.count("(") > number.count(")"):
                start, number = start + 1, number[1:]
            kind = _number_kind(number)
            if kind is not None:
                yield Hit(kind, start, match.end())


def find(text: str) -> list[Hit]:
    """Return the likely identifiers in `text`, in order, without overlaps."""
    hits = list(_emails(text))
    for match in _IBAN.finditer(text):
        end = _iban_end(text, *match.span())
        if end is not None and _stands_alone(text, match.start()):
            hits.append(Hit("iban", match.start(), end))
    if "MRN" in text:
        hits += [Hit("mrn", *match.span(1)) for match in _MRN.finditer(text)]
    if text.count(".") >= 3:
        for match in _IP.finditer(text):
            before = text[match.start() - 1] if match.start() else " "
            low = all(int(part) < 256 for part in match.group().split("."))
            if low and before != "." and _stands_alone(text, match.start()):
                hits.append(Hit("ip", *match.span()))
    hits += _numbers(text)
    taken: list[Hit] = []
    for hit in hits:  # kinds found first are the surer ones
        if all(hit.end <= other.start or hit.start >= other.end for other in taken):
            taken.append(hit)
    return sorted(taken, key=lambda hit: hit.start)


def mask(text: str, hits: list[Hit]) -> str:
    """Return `text` with each hit replaced by its kind, such as `[EMAIL]`."""
    parts: list[str] = []
    end = 0
    for hit in hits:
        parts += [text[end : hit.start], f"[{hit.kind.upper()}]"]
        end = hit.end
    return "".join((*parts, text[end:]))


def doubtful(column: Any) -> npt.NDArray[np.int64]:
    """Return the indices of the values of a string column that may hold an identifier."""
    offsets = np.frombuffer(column.buffers()[1], np.int32)[column.offset :][: len(column) + 1]
    if not len(column) or column.buffers()[2] is None:
        return np.empty(0, np.int64)
    low, high = int(offsets[0]), int(offsets[-1])
    data = np.frombuffer(column.buffers()[2], np.uint8)[low:high]
    places = [_piece(data, start) for start in range(0, len(data), _PIECE)]
    rows = np.searchsorted(offsets, np.concatenate((*places, [])) + low, side="right") - 1
    return np.unique(rows.astype(np.int64))


_PIECE = 1 << 16  # bytes searched at once: intermediate arrays stay in the processor's cache
_TOP_BYTE = 7 if sys.byteorder == "little" else 0
_OVERLAP = 32


def _piece(data: npt.NDArray[np.uint8], start: int) -> npt.NDArray[np.int64]:
    """Return places near which an identifier may stand, in `_PIECE` bytes and a little more."""
    part = data[start : start + _PIECE + _OVERLAP]
    found = [np.flatnonzero(part == ord("@")), _dense(part), _dotted(part)]
    capitals = np.flatnonzero(part[:-2] == ord("M"))
    if len(capitals):
        follows = (part[capitals + 1] == ord("R")) & (part[capitals + 2] == ord("N"))
        found.append(capitals[follows])
    return np.concatenate(found) + start


def _dense(part: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    """Return places where 9 digits stand within four aligned words of 8 bytes.

    Nine digits span at most 25 bytes where each is two separators from the next.
    """
    digits = np.zeros((len(part) + 7) // 8 * 8, np.bool_)
    np.less(np.subtract(part, np.uint8(48)), np.uint8(10), out=digits[: len(part)])
    # The top byte of the product is the sum of the word's eight bytes.
    sums = (digits.view(np.uint64) * np.uint64(0x0101010101010101)).view(np.uint8)[_TOP_BYTE::8]
    counts = np.zeros(len(sums) + 3, np.uint8)
    counts[: len(sums)] = sums
    words = np.flatnonzero(counts[:-3] + counts[1:-2] + counts[2:-1] + counts[3:] >= 9)
    # A row of 9 bytes or more that overlaps the window holds one of these bytes.
    last = len(part) - 1
    return np.concatenate([np.minimum(words * 8 + step, last) for step in (0, 8, 16, 24, 31)])


def _dotted(part: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    """Return places of three dots within 9 bytes, as every IPv4 address has."""
    dots = np.flatnonzero(part == ord("."))
    if len(dots) < 3:
        return np.empty(0, np.int64)
    return dots[:-2][dots[2:] - dots[:-2] <= 8]


class Scan(NamedTuple):
    """What a column holds: (row, kind) of each hit, and the column, masked if asked for."""

    hits: list[tuple[int, str]]
    column: Any


def scan_column(column: Any, *, masked: bool, row_of: Callable[[int], int] = int) -> Scan:
    """Look for identifiers in a string column.

    Args:
        column: A pyarrow string array without nulls.
        masked: Replace what is found.
        row_of: The record that a value belongs to, by the value's index.
    """
    rows = doubtful(column)
    hits: list[tuple[int, str]] = []
    replaced: dict[int, str] = {}
    texts = column.take(pa.array(rows)).to_pylist() if len(rows) else []
    for row, text in zip(rows.tolist(), texts, strict=True):
        found = find(text)
        if found:
            hits += [(row_of(row), hit.kind) for hit in found]
            replaced[row] = mask(text, found)
    if masked and replaced:
        flags = np.zeros(len(column), np.bool_)
        flags[list(replaced)] = True
        values = pa.array([replaced[row] for row in sorted(replaced)], pa.string())
        column = pc.replace_with_mask(column, pa.array(flags), values)
    return Scan(hits, column)
