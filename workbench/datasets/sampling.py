"""A sample of a split that opens few of its batches, always the same for the same dataset."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from workbench.datasets.records import FIELDS, Record, records_from_batch
from workbench.datasets.store import SealedDataset


@dataclass(frozen=True, repr=False)
class Sample:
    """Some records of a split.

    Attributes:
        spread: Records at even distances within the opened batches, as many of each batch as
            befits its rows; all records when the split has no more than were asked for.
        longest: Of each opened batch the record with the most bytes of text.
    """

    spread: list[Record]
    longest: list[Record]


def sample_split(dataset: SealedDataset, split: str, *, rows: int, batches: int) -> Sample:
    """Read about `rows` records of `split` from at most `batches` batches, spread evenly over it.

    Raises:
        NotFound: The dataset has no such split (code `no_such_split`).
        VaultDamaged: A chunk does not verify.
    """
    sizes = dataset.batch_rows(split)
    chosen = _evenly(len(sizes), batches)
    starts = np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)])
    opened = sum(sizes[number] for number in chosen)
    # Where all of it may be read, it is: nothing is left to estimate.
    share = min(1.0, rows / max(1, opened))
    sample = Sample([], [])
    for number in chosen:
        batch = dataset.page(split, int(starts[number]), sizes[number])
        wanted = _evenly(sizes[number], max(1, round(share * sizes[number])))
        sample.spread.extend(_records(batch, wanted, dataset.kind))
        longest = int(np.argmax(text_bytes(batch, dataset.kind)))
        sample.longest.extend(_records(batch, [longest], dataset.kind))
    return sample


def text_bytes(batch: pa.Table, kind: str) -> NDArray[np.int64]:
    """Return the bytes of text of each row of a canonical batch, of shape [rows]."""
    if kind == "chat":
        messages = batch.column("messages").combine_chunks()
        sizes = pc.binary_length(pc.struct_field(pc.list_flatten(messages), "content"))
        found = np.bincount(
            pc.list_parent_indices(messages).to_numpy(),
            weights=sizes.to_numpy(),
            minlength=batch.num_rows,
        )
        return found.astype(np.int64)
    found = np.zeros(batch.num_rows, np.int64)
    for field in FIELDS[kind]:
        found += pc.binary_length(batch.column(field)).to_numpy()
    return found


def _evenly(count: int, wanted: int) -> list[int]:
    """Return `wanted` of the numbers below `count` at even distances, or all of them."""
    if wanted >= count:
        return list(range(count))
    return [(2 * number + 1) * count // (2 * wanted) for number in range(wanted)]


def _records(batch: pa.Table, numbers: list[int], kind: str) -> Iterator[Record]:
    part = batch.take(pa.array(numbers, pa.int64())).combine_chunks()
    for piece in part.to_batches():
        yield from records_from_batch(cast("pa.RecordBatch", piece), kind)
