"""How much memory a training run will need, component by component, from plain arithmetic.

The sizes follow from `config.json` and from what our engine does on torch 2.13, transformers 5.23,
peft 0.21 and bitsandbytes 0.50. `workbench.engine.tracing` counts the same without these formulas;
tests/benchmarks/memory_grid.py compares the two.

What stays for the whole run says `workbench.planning.resident`; what comes and goes, gradients (4P)
among it, and at which moment most is there, `workbench.planning.moments`. On the device stand,
besides, gaps of the allocator, the CUDA context and cuBLAS' workspace.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal

from workbench.models.facts import LinearShape, ModelFacts
from workbench.planning.moments import Step, kept_per_token
from workbench.planning.resident import (
    Method,
    moments_bytes,
    targeted,
    trained_parameters,
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
    {"down_proj"},
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
    wide = compute_bytes / 2
    trained = trained_parameters(facts, method=method, rank=rank, targets=targets, dora=dora)
    kept = 0
    if method != "full":
        kept = _kept_by_adapters(
            facts,
            targeted(facts, targets),
            rank=rank,
            dropout=dropout,
            dora=dora,
            # The engine's own forward pass of adapters (`workbench.engine.lora`) leaves peft's out.
            casts=(dropout > 0 or dora)
            and compute_bytes == 2
            and (method == "lora" or device == "cpu"),
            device=device,
        )
    step = Step(
        facts=facts,
        context=context,
        rows=micro_batch,
        recomputed=facts.layers
        if recomputed_layers is None
        else min(recomputed_layers, facts.layers),
        adapters_kept=kept,
        # With full fine-tuning all gradients and copies are counted at every moment.
        trained=0 if method == "full" else trained,
        copies=2 if compute_bytes == 2 and method != "full" else 0,
        # DoRA makes the adapter's product from a unit matrix and adds it to the weight in 32 bit.
        unpacked=_UNPACKED * compute_bytes * (method == "qlora") + 24 * dora,
        masked=masked,
        record=(record or context) if device == "cpu" and facts.family != "gemma2" else 0,
        chunk=LOGIT_CHUNK_TOKENS,
        wide=wide,
        offload=offload,
    )
    moment = step.fullest()
    workspace, gradients = moment.workspace, moment.gradients
    if method == "full":
        gradients = 4 * trained
        if compute_bytes == 2:
            # Autocast keeps its bf16 copies until the backward pass is through.
            workspace += 2 * facts.parameters
    prediction = Prediction(
        weights=weight_bytes(facts, method, compute_bytes),
        adapters=0 if method == "full" else 4 * trained,
        gradients=gradients,
        optimizer=moments_bytes(facts, optimizer, method, rank=rank, targets=targets, dora=dora),
        activations=moment.activations,
        logits=moment.logits,
        workspace=workspace,
        overhead=0,
    )
    overhead = _overhead_bytes(prediction.allocated, device)
    return Prediction(**{**asdict(prediction), "overhead": overhead})


def _overhead_bytes(allocated: int, device: Device) -> int:
    """Return the allocator's gaps, and what the process or CUDA takes before any tensor."""
    if device == "cpu":
        return int(PROCESSOR_GAPS * allocated) + CPU_PROCESS
    return int(FRAGMENTATION * allocated) + CUDA_CONTEXT + CUBLAS_WORKSPACE


def _kept_by_adapters(
    facts: ModelFacts,
    chosen: Sequence[LinearShape],
    *,
    rank: int,
    dropout: float,
    dora: bool,
    casts: bool,
    device: Device,
) -> int:
    """Return the bytes that one token leaves in one layer more for adapters on these linears.

    Frozen linears need no input for the backward pass: where no linear of a group has an adapter,
    what `kept_per_token` counts for the group is gone.
    """
    inputs = sum(linear.inputs for linear in chosen)
    kept = 2 * rank * len(chosen)
    names = {each.name for each in chosen}
    for group in _SHARING:
        if dropout > 0 or casts or not names & group:
            kept -= 2 * max(
                (each.inputs for each in facts.linears if each.name in group), default=0
            )
    if casts or dropout > 0:  # a copy each, cast or dropped from, where a group shared its input
        kept += 2 * inputs
    if dropout > 0:  # the mask, which a processor keeps in 32 bit
        kept += inputs * (4 if device == "cpu" else 1)
    if dora:
        # The sizes are 32-bit numbers and make all behind them 32-bit; the outputs of base and
        # adapter stay for their gradient.
        kept += kept_per_token(facts, 0, masked=True) - 12 * facts.hidden
        kept += 6 * sum(each.outputs for each in chosen)
    return kept
