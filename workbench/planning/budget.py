"""How much of a machine a run may count on: bytes, and operations a second."""

from __future__ import annotations

from dataclasses import dataclass

from workbench.models.facts import ModelFacts
from workbench.planning.memory import Device
from workbench.planning.probe import Cpu, Hardware

# Kept free: a display on the card, or the user's other programs in main memory.
_KEPT_FREE = {"cuda": 0.05, "cpu": 0.10}

# Measured matrix products a second and core, in computing precision.
_CPU_BF16, _CPU_AVX512, _CPU_PLAIN = 220e9, 55e9, 25e9
# Share of a GPU's peak that training reaches on wide models; published QLoRA runs: 0.31 to 0.76.
_GPU_REACHED = 0.55
# Narrow models reach less: at this width half of it.
_HALF_WIDTH = {"cuda": 1024, "cpu": 256}
# Each micro-batch unpacks all weights three times; that costs as much as this many tokens.
_TOKENS_OF_OVERHEAD = 128


@dataclass(frozen=True)
class Budget:
    """What a run may use.

    Attributes:
        total_bytes: What the device has.
        usable_bytes: What a run may plan with: the free part, less a reserve, within a set limit.
        compute_bytes: 2 where the device computes in bf16, else 4.
        flops: Operations a second that wide models reach; None when unknown.
    """

    device: Device
    total_bytes: int
    usable_bytes: int
    compute_bytes: int = 2
    flops: float | None = None
    busy_bytes: int = 0
    imagined: bool = False


def budget_of(hardware: Hardware | int, limit: int = 0) -> Budget:
    """Return the budget of a machine, or of an imagined card with that many bytes.

    Args:
        limit: Most bytes to plan with; 0: no limit.
    """
    if isinstance(hardware, int):
        return Budget("cuda", hardware, _usable("cuda", hardware, limit), imagined=True)
    card = hardware.accelerator
    if card is None:
        free = hardware.available_bytes
        return Budget(
            "cpu",
            hardware.ram_bytes,
            _usable("cpu", free, limit),
            compute_bytes=2 if hardware.cpu.bf16 else 4,
            flops=_cpu_flops(hardware.cpu),
        )
    return Budget(
        "cuda",
        card.memory_bytes,
        _usable("cuda", card.free_bytes, limit),
        compute_bytes=2 if card.bf16 else 4,
        flops=None if card.flops is None else _GPU_REACHED * card.flops,
        busy_bytes=card.memory_bytes - card.free_bytes,
    )


def _usable(device: Device, free: int, limit: int) -> int:
    usable = int(free * (1 - _KEPT_FREE[device]))
    return min(usable, limit) if limit else usable


def _cpu_flops(cpu: Cpu) -> float:
    if cpu.bf16:
        return cpu.cores * _CPU_BF16
    return cpu.cores * (_CPU_AVX512 if "avx512f" in cpu.flags else _CPU_PLAIN)


def flops_per_token(
    facts: ModelFacts, *, method: str, recomputed_layers: int, length: float
) -> float:
    """Return the operations that training spends on one token of records `length` tokens long.

    2 a weight forward, 2 for the gradient of the inputs, 2 more for that of the weights where all
    are trained, 2 for each recomputed layer; causal attention looks at half the record.
    """
    layer = sum(each.inputs * each.outputs for each in facts.linears)
    head = facts.vocab * facts.hidden
    passes = 6 if method == "full" else 4
    attention = facts.heads * facts.head_dim * length
    return (
        passes * (facts.layers * layer + head)
        + 7 * attention * facts.layers
        + recomputed_layers * (2 * layer + 2 * attention)
    )


def seconds_per_token(
    facts: ModelFacts,
    budget: Budget,
    *,
    method: str,
    recomputed_layers: int,
    length: float,
    tokens: int,
) -> float:
    """Return how long a token takes in micro-batches of `tokens`; relative where flops is None."""
    operations = flops_per_token(
        facts, method=method, recomputed_layers=recomputed_layers, length=length
    )
    width = facts.hidden / (facts.hidden + _HALF_WIDTH[budget.device])
    return operations * (1 + _TOKENS_OF_OVERHEAD / tokens) / ((budget.flops or 1.0) * width)
