"""How much memory a training run will need, component by component, from plain arithmetic.

The sizes follow from `config.json` and from what our engine does on torch 2.13, transformers 5.23,
peft 0.21 and bitsandbytes 0.50. `workbench.engine.tracing` counts the same without these formulas;
tests/benchmarks/memory_grid.py compares the two.

What stays for the whole run says `workbench.planning.resident`. What comes and goes, gradients (4P)
among it, and at which moment most is there, says `workbench.planning.moments` for plain adapters,
and `workbench.planning.replay` for full fine-tuning, DoRA and dropout. On the device stand,
besides, gaps of the allocator, the CUDA context and cuBLAS' workspace.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Literal

from workbench.models.facts import LinearShape, ModelFacts
from workbench.planning.layers import Shape
from workbench.planning.linears import Treatment
from workbench.planning.moments import Step
from workbench.planning.replay import Replay
from workbench.planning.resident import (
    Method,
    moments_bytes,
    targeted,
    trained_tensors,
    weight_bytes,
)

__all__ = ["Device", "Method", "Prediction", "predict"]

Device = Literal["cuda", "cpu"]

MIB = 1 << 20

# The loss is computed over this many tokens at a time, so the logits of more never exist.
# Large enough to keep a GPU busy while it reads the output layer, small enough to be 0.75 GiB for
# a vocabulary of 128k.
LOGIT_CHUNK_TOKENS = 512

# Share of the peak that the allocator holds but cannot use; published fits lie between 2 and 8 %
# with expandable segments.
FRAGMENTATION = 0.05
# The same on a processor, where the C library's allocator mixes sizes: measured over tensors of
# 0.2 to 2.1 GiB, its gaps are 33 to 90 % of a few hundred MiB and 44 to 51 % of 2 GiB. Telling it
# to hand back all blocks from 1 MiB on leaves 3 %, at 4 to 28 % of the speed.
PROCESSOR_GAPS = 0.4
# What `cudaMemGetInfo` misses after the first kernel; 0.3 to 0.6 GB by driver and device.
CUDA_CONTEXT = 512 * MIB
# cuBLAS workspace on Hopper; 8 MiB on earlier devices.
CUBLAS_WORKSPACE = 32 * MIB
# What unpacking a matrix takes by its size in computing precision: its scales come in 32 bit.
_UNPACKED = 1 + 1 / 32
# Resident size of an engine that trains almost nothing on the processor, libraries included.
CPU_PROCESS = 576 * MIB

# Linears whose group shares one input.
_SHARING = (
    {"q_proj", "k_proj", "v_proj", "qkv_proj"},
    {"gate_proj", "up_proj", "gate_up_proj"},
)


@dataclass(frozen=True)
class Prediction:
    """What stands in memory at the fullest moment of a training step, in bytes.

    Attributes:
        weights: The base model, as it is kept.
        adapters: The trained adapter weights; 0 for full fine-tuning.
        gradients: Of whatever is trained, as far as they are there at that moment: none at the
            loss.
        optimizer: Its moments; paged ones count in full, though they may move to main memory.
        activations: What layers keep for the backward pass, and one layer at work.
        logits: The loss at work; 0 when a layer's backward pass is the fuller moment.
        workspace: Short-lived copies of weights in computing precision, and the attention mask.
        overhead: Fragmentation and what the device or process takes before any tensor.
    """

    weights: int
    adapters: int
    gradients: int
    optimizer: int
    activations: int
    logits: int
    workspace: int
    overhead: int

    @property
    def allocated(self) -> int:
        """Bytes of tensors: everything but the overhead."""
        return (
            self.weights
            + self.adapters
            + self.gradients
            + self.optimizer
            + self.activations
            + self.logits
            + self.workspace
        )

    @property
    def total(self) -> int:
        return self.allocated + self.overhead

    def to_json(self) -> dict[str, int]:
        """Return the components and their total."""
        return {**asdict(self), "total": self.total}


def predict(
    facts: ModelFacts,
    *,
    method: Method,
    rank: int,
    context: int,
    micro_batch: int,
    recomputed_layers: int | None = None,
    optimizer: str = "paged_adamw_8bit",
    targets: str | Sequence[str] = "all-linear",
    dropout: float = 0.0,
    dora: bool = False,
    device: Device = "cuda",
    compute_bytes: int = 2,
    masked: bool = True,
    record: int | None = None,
    offload: bool = False,
) -> Prediction:
    """Predict the peak of a training step; takes tens of microseconds.

    Args:
        context: Tokens of one row; `micro_batch` rows pass through the model together.
        recomputed_layers: How many of the first layers are recomputed; None: all of them.
        compute_bytes: Bytes of one activation: 2 for bf16, 4 where the processor lacks it.
        masked: Whether attention gets a mask, as packed or padded rows need one.
        record: Tokens of a usual record; None: as long as a row. It matters on a processor.
        offload: Whether the inputs of recomputed layers wait in main memory.

    Raises:
        UsageError: `targets` names a module that the model does not have.
    """
    chosen = targeted(facts, targets) if method != "full" else ()
    tensors = trained_tensors(facts, method=method, rank=rank, targets=targets, dora=dora)
    trained = sum(size * times for size, times in tensors.items())
    recomputed = facts.layers if recomputed_layers is None else recomputed_layers
    recomputed = min(recomputed, facts.layers)
    # Gemma 2's attention is not among those that go record by record.
    by_record = (record or context) if device == "cpu" and facts.family != "gemma2" else 0
    if method == "full" or dora or dropout > 0:
        moment = Replay(
            facts=facts,
            how=Treatment(
                method=method,
                adapted=frozenset(each.name for each in chosen),
                rank=rank,
                dropout=dropout,
                dora=dora,
                device=device,
                narrow=compute_bytes,
            ),
            shape=Shape(micro_batch, context, masked, by_record),
            recomputed=recomputed,
            chunk=LOGIT_CHUNK_TOKENS,
            largest=max(tensors),
            optimizer=optimizer,
            offload=offload,
        ).fullest()
    else:
        # Fused nodes, as `attach_adapter` decides in workbench.engine.lora.
        moment = Step(
            facts=facts,
            context=context,
            rows=micro_batch,
            recomputed=recomputed,
            left_out=_left_out(facts, chosen),
            trained=trained,
            unpacked=_UNPACKED * compute_bytes * (method == "qlora"),
            masked=masked,
            record=by_record,
            chunk=LOGIT_CHUNK_TOKENS,
            wide=compute_bytes / 2,
            offload=offload,
        ).fullest()
    parts = Prediction(
        weights=weight_bytes(facts, method, compute_bytes),
        adapters=0 if method == "full" else 4 * trained,
        gradients=moment.gradients,
        optimizer=moments_bytes(tensors, optimizer),
        activations=moment.activations,
        logits=moment.logits,
        workspace=moment.workspace,
        overhead=0,
    )
    return replace(parts, overhead=_overhead_bytes(parts.allocated, device))


def _overhead_bytes(allocated: int, device: Device) -> int:
    """Return the allocator's gaps, and what the process or CUDA takes before any tensor."""
    if device == "cpu":
        return int(PROCESSOR_GAPS * allocated) + CPU_PROCESS
    return int(FRAGMENTATION * allocated) + CUDA_CONTEXT + CUBLAS_WORKSPACE


def _left_out(facts: ModelFacts, chosen: Sequence[LinearShape]) -> int:
    """Return the bytes that one token leaves less in one layer where linears have no adapter.

    Frozen linears need no input for the backward pass: where no linear of a group has an adapter,
    what `kept_per_token` counts for the group is gone.
    """
    names = {each.name for each in chosen}
    return sum(
        2 * max((each.inputs for each in facts.linears if each.name in group), default=0)
        for group in _SHARING
        if not names & group
    )
