"""What stays in memory for a whole run, by component, in bytes.

1. NF4 with double quantisation (arXiv 2305.14314, section 3) keeps NK/2 bytes of codes, one byte of
   scale for each 64 weights, one 4-byte constant for each 256 scales, and tables of 2 KB a linear.
2. Everything else (embeddings, output layer, norms, biases) stays in 16 bit. Nothing is cast to
   32 bit, which peft's `prepare_model_for_kbit_training` would do.
3. Adapters are 32-bit: 4P; AdamW's moments 8P, or in 8 bit 2P and 8 bytes for each 256, but 8 bytes
   each in tensors below 4,096 elements (`Optimizer2State.init_state` in bitsandbytes).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from workbench.errors import UsageError
from workbench.models.facts import LinearShape, ModelFacts

Method = Literal["qlora", "lora", "full"]

EIGHT_BIT_MOMENTS = 2 + 8 / 256
# Code book, nested code book, offset: CUDA's allocator rounds each up to 512 bytes.
_NF4_TABLES = 2048
_EIGHT_BIT_FROM = 4096


def weight_bytes(facts: ModelFacts, method: Method, compute_bytes: int = 2) -> int:
    """Return the bytes of the base model in memory: formulas (1) and (2).

    `lora` keeps it in computing precision, `full` in 32 bit, cast to bf16 as it is used.
    """
    if method == "full":
        return 4 * facts.parameters
    if method == "lora":
        return compute_bytes * facts.parameters
    linear = facts.layers * sum(each.inputs * each.outputs for each in facts.linears)
    packed = facts.layers * sum(_nf4_bytes(each) for each in facts.linears)
    return packed + compute_bytes * (facts.parameters - linear)


def trained_parameters(
    facts: ModelFacts,
    *,
    method: Method,
    rank: int,
    targets: str | Sequence[str] = "all-linear",
    dora: bool = False,
) -> int:
    """Return P, the number of trained parameters: all of them for `full`."""
    if method == "full":
        return facts.parameters
    chosen = targeted(facts, targets)
    each = sum(rank * (linear.inputs + linear.outputs) for linear in chosen)
    sizes = sum(linear.outputs for linear in chosen) if dora else 0
    return facts.layers * (each + sizes)


def targeted(facts: ModelFacts, targets: str | Sequence[str]) -> tuple[LinearShape, ...]:
    """Return the linears of one layer that get an adapter.

    Raises:
        UsageError: A name is none of this model's linears.
    """
    if targets == "all-linear":
        return facts.linears
    asked = (targets,) if isinstance(targets, str) else tuple(targets)
    names = {linear.name for linear in facts.linears}
    unknown = [name for name in asked if name not in names]
    if unknown:
        raise UsageError(
            f"targets: this model has no {', '.join(unknown)}.",
            hint=f"Its modules are {', '.join(linear.name for linear in facts.linears)}.",
            code="unknown_target",
        )
    return tuple(linear for linear in facts.linears if linear.name in asked)


def moments_bytes(
    facts: ModelFacts,
    optimizer: str,
    method: Method,
    *,
    rank: int,
    targets: str | Sequence[str],
    dora: bool,
) -> int:
    """Formula (3): AdamW's two moments."""
    trained = trained_parameters(facts, method=method, rank=rank, targets=targets, dora=dora)
    if optimizer == "adamw":
        return 8 * trained
    if method == "full":
        return int(EIGHT_BIT_MOMENTS * trained)
    counts = [
        count
        for linear in targeted(facts, targets)
        for count in (rank * linear.inputs, rank * linear.outputs, linear.outputs * dora)
    ]
    return facts.layers * sum(
        2 * count + 8 * -(-count // 256) if count >= _EIGHT_BIT_FROM else 8 * count
        for count in counts
    )


def _nf4_bytes(linear: LinearShape) -> int:
    """Formula (1)."""
    count = linear.inputs * linear.outputs
    return -(-count // 2) + -(-count // 64) + 4 * -(-count // 16_384) + _NF4_TABLES
