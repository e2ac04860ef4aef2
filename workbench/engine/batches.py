"""Records as token ids, packed into rows, and rows as the tensors that a model takes.

A row holds whole records one after the other, up to the context's length. Within a row the
positions start again at 0 with each record, and transformers builds attention from them: a token
sees only the tokens before it in its own record (for sliding windows too). What is left of a row
is filled with a record of padding that nothing else sees and that nothing counts. Batch shape
therefore changes no loss and no gradient.
"""

from __future__ import annotations

import bisect
import random
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, repr=False)
class Example:
    """One record: n token ids, and for each whether the loss counts it (never the first)."""

    ids: Sequence[int]
    counted: Sequence[int]

    @classmethod
    def compact(cls, ids: Iterable[int], counted: Iterable[bool]) -> Example:
        """Keep a record in 5 bytes a token: all records of a run are held, and tuples of Python's
        numbers take 44.
        """
        return cls(array("i", ids), bytes(counted))

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def targets(self) -> int:
        """How many tokens the loss counts; the first cannot be predicted from anything."""
        return sum(self.counted[1:])


Row = tuple[int, ...]  # numbers of examples


@dataclass(frozen=True)
class Batch:
    """Tensors of one pass through the model: B rows of T tokens.

    Attributes:
        ids: [B, T] token ids.
        positions: [B, T] positions, from 0 in each record.
        predictors: [n] places in the flattened B*T whose next token is counted.
        targets: [n] ids of those next tokens.
        tokens: Tokens that are not padding.
        records: (first place, length) of each record in the flattened B*T, padding as records of
            its own: together they cover every place once.
    """

    ids: Tensor
    positions: Tensor
    predictors: Tensor
    targets: Tensor
    tokens: int
    records: tuple[tuple[int, int], ...]

    def to(self, device: torch.device) -> Batch:
        """Return the batch on a device."""
        if device.type == "cpu":
            return self
        return Batch(
            self.ids.to(device),
            self.positions.to(device),
            self.predictors.to(device),
            self.targets.to(device),
            self.tokens,
            self.records,
        )


def pack(lengths: Sequence[int], context: int, *, packing: bool, seed: int) -> list[Row]:
    """Divide examples into rows of at most `context` tokens; deterministic for a seed.

    Best fit over windows of the shuffled examples: a window's longest example opens the first
    row, and each next one goes where least room is left over.

    Args:
        lengths: Tokens of each example, none above `context`.
    """
    order = list(range(len(lengths)))
    random.Random(seed).shuffle(order)  # noqa: S311  shuffling, no secret
    if not packing:
        return [(number,) for number in order]
    rows: list[Row] = []
    for start in range(0, len(order), _WINDOW):
        rows.extend(_best_fit(order[start : start + _WINDOW], lengths, context))
    return rows


_WINDOW = 4096
# Widths of batches are multiples of this; so are the lengths that attention works on.
WIDTH_STEP = 16


def _best_fit(window: Sequence[int], lengths: Sequence[int], context: int) -> list[Row]:
    rows: list[list[int]] = []
    room: list[tuple[int, int]] = []  # (tokens left, row), sorted
    for number in sorted(window, key=lambda n: -lengths[n]):
        length = lengths[number]
        at = bisect.bisect_left(room, (length, -1))
        if at == len(room):
            rows.append([number])
            left, row = context - length, len(rows) - 1
        else:
            left, row = room.pop(at)
            rows[row].append(number)
            left -= length
        bisect.insort(room, (left, row))
    return [tuple(row) for row in rows]


def row_tokens(row: Row, lengths: Sequence[int]) -> int:
    """Return how many tokens a row holds."""
    return sum(lengths[number] for number in row)


def make_batch(rows: Sequence[Sequence[Example]], pad_id: int) -> Batch:
    """Lay rows of examples side by side, filled up to the longest row and a multiple of 16.

    Processors compile their matrix products for each shape anew and keep them, about half a MiB
    each: widths that repeat save that time and memory.
    """
    longest = max(sum(len(example) for example in row) for row in rows)
    width = -(-longest // WIDTH_STEP) * WIDTH_STEP
    ids: list[list[int]] = []
    positions: list[list[int]] = []
    predictors: list[int] = []
    targets: list[int] = []
    records: list[tuple[int, int]] = []
    tokens = 0
    for number, row in enumerate(rows):
        row_ids: list[int] = []
        row_positions: list[int] = []
        for example in row:
            base = number * width + len(row_ids)
            records.append((base, len(example)))
            for place in range(1, len(example)):
                if example.counted[place]:
                    predictors.append(base + place - 1)
                    targets.append(example.ids[place])
            row_ids.extend(example.ids)
            row_positions.extend(range(len(example)))
        tokens += len(row_ids)
        fill = width - len(row_ids)
        if fill:
            records.append((number * width + len(row_ids), fill))
        ids.append(row_ids + [pad_id] * fill)
        positions.append(row_positions + list(range(fill)))
    return Batch(
        torch.tensor(ids),
        torch.tensor(positions),
        torch.tensor(predictors, dtype=torch.long),
        torch.tensor(targets, dtype=torch.long),
        tokens,
        tuple(records),
    )
