"""Cutting CSV bytes into records, with honest line numbers and damage kept local.

CSV readers either stop at the first bad byte or drop rows without a word, and one unclosed quote
swallows the rest of the file. So the bytes are cut first, here, in whole columns of positions
(numpy): RFC 4180 quoting, records may span lines. Where quoting makes no sense, the record that
began there is refused up to its first line end, and cutting goes on with the next line: one torn
row costs one row.

The rule behind the repair: a line with an even number of quotes is a record of its own; one with
an odd number needs the next odd line to close it. If that pair breaks the rules of quoting, its
first line was torn. Each gap between odd lines is thus looked at twice at most, so hostile files
cost linear time.
"""

from __future__ import annotations

import codecs
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from workbench.datasets.rejects import Reason

Positions: TypeAlias = npt.NDArray[np.int64]
Flags: TypeAlias = npt.NDArray[np.bool_]

_LF, _CR, _QUOTE = 10, 13, 34


@dataclass
class Cut:
    """The records of one piece of a file.

    Attributes:
        data: The bytes that were cut; they end with a line feed.
        starts: First byte of each record.
        ends: Byte behind each record's own line feed.
        lines: Index of the line, from 0 within `data`, where each record starts.
        refused: Reason by the record's index.
        used: Bytes of `data` that the records and blank lines cover; the rest is unfinished.
        line_count: Lines within the used bytes.
    """

    data: bytes
    starts: Positions
    ends: Positions
    lines: Positions
    refused: dict[int, Reason]
    used: int
    line_count: int


def cut_records(data: bytes, delimiter: int, *, final: bool, give_up: bool = False) -> Cut:
    """Cut whole lines into records.

    Args:
        data: Ends with a line feed.
        delimiter: The byte between fields.
        final: Nothing follows, so an open quote is a torn row, not an unfinished record.
        give_up: The record at the start has used up its budget: refuse its first line.
    """
    bytes_ = np.frombuffer(data, np.uint8)
    feeds = np.flatnonzero(bytes_ == _LF)
    torn: dict[int, Reason] = {}
    if _QUOTE not in data:
        first = last = np.arange(len(feeds))
    else:
        first, last, torn = _pair_lines(bytes_, feeds, delimiter, final=final, give_up=give_up)
    used_lines = int(last[-1]) + 1 if len(last) else 0
    line_starts = np.concatenate((np.zeros(1, np.int64), feeds + 1))
    starts, ends = line_starts[first], feeds[last] + 1
    sizes = ends - starts
    blank = (sizes == 1) | ((sizes == 2) & (bytes_[starts] == _CR))
    if blank.any():
        kept = np.flatnonzero(~blank)
        places = {int(old): new for new, old in enumerate(kept)} if torn else {}
        torn = {places[old]: code for old, code in torn.items()}
        starts, ends, first = starts[kept], ends[kept], first[kept]
    used = int(line_starts[used_lines])
    cut = Cut(data, starts, ends, first, torn, used, used_lines)
    # What is unfinished is looked at again, whole, with the next bytes.
    _refuse_bytes(cut, bytes_[:used])
    return cut


def _pair_lines(
    data: npt.NDArray[np.uint8], feeds: Positions, delimiter: int, *, final: bool, give_up: bool
) -> tuple[Positions, Positions, dict[int, Reason]]:
    """Return the first and the last line of each record, and the torn ones by record."""
    quotes = np.flatnonzero(data == _QUOTE)
    before = np.searchsorted(quotes, feeds)  # quotes up to each line's end
    before_line = np.concatenate((np.zeros(1, np.int64), before[:-1]))
    odd = ((before - before_line) & 1).astype(bool)

    previous = data[np.maximum(quotes - 1, 0)]
    opens = (quotes == 0) | np.isin(previous, (delimiter, _LF, _QUOTE))
    following = data[quotes + 1]  # data ends with a line feed, so no quote stands last
    closes = np.isin(following, (delimiter, _LF, _QUOTE)) | (
        (following == _CR) & (data[np.minimum(quotes + 2, len(data) - 1)] == _LF)
    )
    place = np.arange(len(quotes))
    if not give_up and bool(np.where(place & 1, closes, opens).all()):
        # The common case: every quote opens or closes a field as it should.
        last = np.flatnonzero((before & 1) == 0)
        first = np.concatenate((np.zeros(1, np.int64), last[:-1] + 1))[: len(last)]
        if not final or not len(quotes) & 1:
            return first, last, {}

    line_of = np.searchsorted(feeds, quotes)
    inner = (place - before_line[line_of]) & 1
    # Faults of each line if it begins outside quotes, and if it begins inside.
    outside = np.bincount(line_of, np.where(inner, ~closes, ~opens), len(feeds)) > 0
    inside = np.bincount(line_of, np.where(inner, ~opens, ~closes), len(feeds)) > 0
    return _repair(odd, outside, inside, final=final, give_up=give_up)


def _repair(
    odd: Flags, outside: Flags, inside: Flags, *, final: bool, give_up: bool
) -> tuple[Positions, Positions, dict[int, Reason]]:
    """Pair odd lines as far as quoting allows; the first line of a pair that fails is torn."""
    inside_before = np.concatenate((np.zeros(1, np.int64), np.cumsum(inside))).tolist()
    odd_lines = [*np.flatnonzero(odd).tolist(), -1]
    is_odd, faulty = odd.tolist(), outside.tolist()
    first: list[int] = []
    last: list[int] = []
    torn: dict[int, Reason] = {}
    line, cursor = 0, 0
    while line < len(is_odd):
        end = line
        bad = faulty[line]
        if is_odd[line]:
            cursor += 1
            partner = odd_lines[cursor]
            if bad:
                pass
            elif partner < 0:
                if not final and not (give_up and line == 0):
                    break
                bad = True
            elif inside_before[partner + 1] > inside_before[line + 1]:
                bad = True
            else:
                end = partner
                cursor += 1
        if bad:
            torn[len(first)] = Reason.TORN_ROW
        first.append(line)
        last.append(end)
        line = end + 1
    return np.array(first, np.int64), np.array(last, np.int64), torn


def _refuse_bytes(cut: Cut, data: npt.NDArray[np.uint8]) -> None:
    """Mark records with NUL bytes, carriage returns outside quotes, or that are not UTF-8."""
    if b"\0" in cut.data:
        _refuse_at(cut, np.flatnonzero(data == 0), Reason.NUL_BYTE)
    if b"\r" in cut.data:
        returns = np.flatnonzero(data[:-1] == _CR)
        bare = returns[data[returns + 1] != _LF]
        if len(bare):
            # Inside quotes it is text; outside, readers take it for the end of the row.
            record = np.clip(np.searchsorted(cut.starts, bare, side="right") - 1, 0, None)
            quotes = np.flatnonzero(data == _QUOTE)
            depth = np.searchsorted(quotes, bare) - np.searchsorted(quotes, cut.starts[record])
            _refuse_at(cut, bare[(depth & 1) == 0], Reason.TORN_ROW)
    refuse_encoding(cut)


def _refuse_at(cut: Cut, positions: Positions, reason: Reason) -> None:
    for record in np.unique(np.searchsorted(cut.starts, positions, side="right") - 1).tolist():
        if record >= 0 and record < len(cut.ends):
            cut.refused.setdefault(record, reason)


def refuse_encoding(cut: Cut) -> None:
    """Mark the records of a cut that are not UTF-8, each of them alone."""
    if cut.data.isascii():
        return
    view = memoryview(cut.data)[: cut.used]
    position = 0
    while True:
        try:
            codecs.utf_8_decode(view[position:], "strict", True)
        except UnicodeDecodeError as error:
            record = int(np.searchsorted(cut.starts, position + error.start, side="right")) - 1
            cut.refused[record] = Reason.BAD_ENCODING
            position = int(cut.ends[record])
        else:
            return
