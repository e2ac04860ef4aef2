"""How much of a machine a run may count on: bytes, and operations a second."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from workbench.models.facts import ModelFacts
from workbench.planning.memory import Device
from workbench.planning.nvidia import Accelerator
from workbench.planning.nvidia_faults import Fault
from workbench.planning.probe import Cpu, Hardware
from workbench.planning.rates import Rates, guess_for_gpu, guess_for_processor

# Kept free: a display on the card, or the user's other programs in main memory.
_KEPT_FREE = {"cuda": 0.05, "cpu": 0.10}

# Measured matrix products a second and core, in computing precision.
_CPU_BF16, _CPU_AVX512, _CPU_PLAIN = 220e9, 55e9, 25e9
# Share of a GPU's peak that training reaches on wide models; published QLoRA runs: 0.31 to 0.76.
_GPU_REACHED = 0.55
# Bytes a second of page-locked memory over eight lanes of PCIe 4, which most machines reach.
_BUS = 12e9
# What candidates for an imagined card are compared by: which is faster depends little on it.
_SOME_CARD = 80e12


@dataclass(frozen=True)
class Budget:
    """What a run may use.

    Attributes:
        total_bytes: What the device has.
        usable_bytes: What a run may plan with: the free part, less a reserve, within a set limit.
        compute_bytes: 2 where the device computes in bf16, else 4.
        rates: How long it takes for each part of a step: measured, or guessed from what it is.
        timed: Whether the rates say how long a run takes; else only which way is the faster.
        factors: By method, how much longer earlier runs took.
        card: The GPU that it is the budget of.
        faults: What keeps a GPU from being used.
        margin: The share by which earlier runs exceeded their prediction; so much is kept free.
        host_bytes: Main memory that a run on this machine's GPU may use; None: not known, or
            main memory is the device.
        to_device: Bytes a second to the GPU, `from_device`: back; measured or guessed.
        disk_free: Bytes that are free where the vault lies; None: not known.
    """

    device: Device
    total_bytes: int
    usable_bytes: int
    compute_bytes: int = 2
    rates: Rates = guess_for_gpu(_SOME_CARD)  # noqa: RUF009  it cannot be changed
    timed: bool = False
    factors: Mapping[str, float] = field(default_factory=dict)
    busy_bytes: int = 0
    card: Accelerator | None = None
    faults: tuple[Fault, ...] = ()
    imagined: bool = False
    margin: float = 0.0
    host_bytes: int | None = None
    to_device: float = _BUS
    from_device: float = _BUS
    disk_free: int | None = None


def budget_of(hardware: Hardware | int, limit: int = 0) -> Budget:
    """Return the budget of a machine, or of an imagined card with that many bytes.

    Args:
        limit: Most bytes to plan with; 0: no limit.
    """
    if isinstance(hardware, int):
        return Budget("cuda", hardware, _usable("cuda", hardware, limit, 0.0), imagined=True)
    card = hardware.accelerator
    if card is None:
        free = hardware.available_bytes
        return Budget(
            "cpu",
            hardware.ram_bytes,
            _usable("cpu", free, limit, hardware.margin),
            compute_bytes=2 if hardware.cpu.bf16 else 4,
            rates=hardware.rates or _guessed(hardware.cpu),
            timed=True,
            factors=hardware.factors,
            faults=hardware.faults,
            margin=hardware.margin,
            disk_free=hardware.disk_free,
        )
    known = hardware.rates
    if known is None and card.flops is not None:
        known = guess_for_gpu(_GPU_REACHED * card.flops)
    return Budget(
        "cuda",
        card.memory_bytes,
        _usable("cuda", card.free_bytes, limit, hardware.margin),
        compute_bytes=2 if card.bf16 else 4,
        rates=known or guess_for_gpu(_SOME_CARD),
        timed=known is not None,
        factors=hardware.factors,
        busy_bytes=card.memory_bytes - card.free_bytes,
        card=card,
        faults=hardware.faults,
        margin=hardware.margin,
        host_bytes=int(hardware.available_bytes * (1 - _KEPT_FREE["cpu"])),
        to_device=hardware.to_device or _BUS,
        from_device=hardware.from_device or _BUS,
        disk_free=hardware.disk_free,
    )


def _usable(device: Device, free: int, limit: int, margin: float) -> int:
    usable = free * (1 - _KEPT_FREE[device])
    return int((min(usable, limit) if limit else usable) / (1 + margin))


def _guessed(cpu: Cpu) -> Rates:
    plain = _CPU_AVX512 if "avx512f" in cpu.flags else _CPU_PLAIN
    return guess_for_processor(cpu.cores * (_CPU_BF16 if cpu.bf16 else plain), cpu.cores)


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
