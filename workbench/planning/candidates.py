"""What the planner weighs: one way to run, and the length of the data."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

from workbench.planning.elsewhere import HostNeed
from workbench.planning.memory import Method, Prediction

# Packed rows are full but for this share.
_PACKED = 0.9


@dataclass(frozen=True)
class DatasetLength:
    """How much there is to train on, after encoding for the model.

    Attributes:
        records: Records of the training split.
        tokens: Tokens of all of them.
        longest: Tokens of the longest one.
        counted: Tokens of the answers, which the loss counts; None: not known.
    """

    records: int
    tokens: int
    longest: int
    counted: int | None = None

    @property
    def mean(self) -> float:
        """Tokens of an average record, at least 1."""
        return max(1.0, self.tokens / max(1, self.records))

    @property
    def answered(self) -> float:
        """Share of the tokens that stand in answers; half of them where that is not known."""
        return 0.5 if self.counted is None else min(1.0, self.counted / max(1, self.tokens))

    def usual_record(self, context: int) -> int:
        """Return the tokens of an average record, as attention on a processor rounds them up."""
        return min(context, math.ceil(self.mean / 16) * 16)

    def filled(self, context: int, rows: int, *, packing: bool) -> tuple[float, float]:
        """Return tokens without and with padding of a micro-batch of `rows` rows.

        Best fit leaves about a quarter of a record free in a row: 0.93 of rows of 256 tokens are
        filled by records of 68. Rows of one record are padded to the longest beside them.
        """
        mean = min(self.mean, context)
        if packing:
            return rows * max(mean, context - mean / 4), float(rows * context)
        longest = min(self.longest, context)
        return rows * mean, rows * (longest - (longest - mean) / rows)

    def in_row(self, context: int) -> float:
        """Return how many average records a packed row of `context` tokens holds, at least 1."""
        return max(1.0, _PACKED * context / self.mean)


@dataclass(frozen=True)
class Candidate:
    """One way to run.

    Attributes:
        rank: Width of the adapters; 0 for full fine-tuning, which has none.
        accumulate: Micro-batches that make one optimizer step.
        fits: Whether the predicted total stays within the budget, and main memory suffices.
        trained_parameters: How many parameters the optimizer moves.
        seconds: Estimated training time; None without a dataset or a known speed.
        offload: Whether the inputs of recomputed layers wait in main memory.
        host: Main memory that a run on a GPU takes; None on a processor, where it is the device.
        disk_bytes: Disk that checkpoints and the result take.
    """

    method: Method
    rank: int
    context: int
    micro_batch: int
    accumulate: int
    recomputed_layers: int
    optimizer: str
    predicted: Prediction
    fits: bool
    seconds: float | None
    trained_parameters: int
    offload: bool = False
    host: HostNeed | None = None
    disk_bytes: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        shallow = {each.name: getattr(self, each.name) for each in dataclasses.fields(self)}
        host = None if self.host is None else self.host.to_json()
        return {**shallow, "predicted": self.predicted.to_json(), "host": host}
