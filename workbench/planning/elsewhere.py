"""What a run takes besides its device: main memory beside a GPU, and disk for what it writes.

On a processor main memory is the device, and `planning.memory` says all of it. Beside a GPU stand
there (`HostNeed`):

1. The process with CUDA's libraries, a reserve that was not measured.
2. Weights on their way: transformers reads with up to four threads, each a tensor in 16 bit
   (`GLOBAL_WORKERS` in transformers' core_model_loading.py); four of the largest are counted. What
   is mapped of the files besides is the kernel's to take back.
3. Paged moments: CUDA moves them here when the device runs full, so there must be room for all.
4. With offload, the inputs of the recomputed layers in page-locked memory, which torch hands out in
   powers of two (`CachingHostAllocator`).
5. The encoded records, 5 bytes a token (`engine.batches.Example`) and Python's objects around them.

A checkpoint holds the trained parameters in 32 bit and the optimizer's moments; the two newest
stay, the best, and the one that is being written. The sealed result lies beside them.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

from workbench.models.facts import ModelFacts
from workbench.planning.resident import Method

GIB = 1 << 30
CUDA_PROCESS = 2 * GIB
_READERS = 4
_TOKEN, _RECORD = 5, 300
_CHECKPOINTS = 4
# Sealing adds a tag to each block.
_SEALED = 1.01


@dataclass(frozen=True)
class HostNeed:
    """Main memory that a run on a GPU takes at most, in bytes, by the numbers above."""

    process: int
    loading: int
    optimizer: int
    waiting: int
    records: int

    @property
    def total(self) -> int:
        return self.process + self.loading + self.optimizer + self.waiting + self.records

    def to_json(self) -> dict[str, int]:
        """Return the components and their total."""
        return {**asdict(self), "total": self.total}


def host_need(
    facts: ModelFacts,
    *,
    tokens: int,
    waiting_layers: int,
    moments: int,
    paged: bool,
    compute_bytes: int = 2,
    dataset: tuple[int, int] = (0, 0),
) -> HostNeed:
    """Return what a run on a GPU takes of main memory.

    Args:
        tokens: Of a micro-batch.
        waiting_layers: Layers whose inputs wait here; 0 without offload.
        moments: Bytes of the optimizer's moments.
        paged: Whether they may move here.
        dataset: Records, and tokens of all of them.
    """
    largest = max(
        facts.vocab * facts.hidden, *(each.inputs * each.outputs for each in facts.linears)
    )
    block = compute_bytes * facts.hidden * tokens
    records, length = dataset
    return HostNeed(
        process=CUDA_PROCESS,
        loading=_READERS * 2 * largest,
        optimizer=moments * paged,
        waiting=waiting_layers * (1 << (block - 1).bit_length()),
        records=_TOKEN * length + _RECORD * records,
    )


def suits(need: HostNeed | None, usable: int | None) -> bool:
    """Say whether main memory suffices, where both are known."""
    return need is None or usable is None or need.total <= usable


def disk_need(*, method: Method, trained: int, moments: int) -> int:
    """Return the bytes that checkpoints and the sealed result take at most.

    Args:
        trained: Parameters.
        moments: Bytes of the optimizer's moments.
    """
    result = (2 if method == "full" else 4) * trained
    return int(_SEALED * (_CHECKPOINTS * (4 * trained + moments) + result))
