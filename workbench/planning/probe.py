"""What this machine has to compute with: processor, memory, GPUs and the limits set on them."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any, Literal

from workbench.planning.cgroups import NO_LIMITS, Limits, read_limits, usable_cores
from workbench.planning.nvidia import Accelerator, Nvidia, probe_nvidia
from workbench.planning.nvidia_faults import Fault
from workbench.planning.rates import Rates
from workbench.text import printable

# What a processor that computes in bf16 is called in /proc/cpuinfo: x86, x86 with AMX, Arm.
_BF16_FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}
# How torch/version.py names it: cuda: Optional[str] = '12.8'
_TORCH_CUDA = re.compile(r"^cuda\b[^=\n]*= *['\"](\d+)\.(\d+)", re.MULTILINE)
_UNUSABLE = ("torch_without_cuda", "driver_too_old")


@dataclass(frozen=True)
class Cpu:
    """The processor: `cores` are those that this process may use, quota and affinity included."""

    name: str
    cores: int
    bf16: bool
    flags: frozenset[str] = frozenset()

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values; of the flags only what they mean for training."""
        return {"name": self.name, "cores": self.cores, "bf16": self.bf16}


@dataclass(frozen=True)
class Hardware:
    """The machine as it is now.

    Attributes:
        ram_bytes: Main memory that this process may ever use: the machine's or its group's limit.
        available_bytes: What of it is free or can be freed now.
        cuda_build: Whether the installed torch was built for GPUs and for this driver.
        faults: What keeps a GPU from being used, with the cure.
        rates: How fast it trains, where that was measured (`planning.measured`).
        factors: By method, how much longer earlier runs on the model took than the rates say.
        margin: The share by which earlier runs exceeded their predicted memory.
        to_device: Bytes a second to the GPU, `from_device`: back; 0: not measured.
        disk_free: Bytes that are free where the vault lies; None: there is no vault yet.
    """

    cpu: Cpu
    ram_bytes: int
    available_bytes: int
    accelerators: tuple[Accelerator, ...] = ()
    limits: Limits = NO_LIMITS
    cuda_build: bool = True
    rates: Rates | None = None
    factors: Mapping[str, float] = field(default_factory=dict)
    margin: float = 0.0
    faults: tuple[Fault, ...] = ()
    to_device: float = 0.0
    from_device: float = 0.0
    disk_free: int | None = None

    @property
    def accelerator(self) -> Accelerator | None:
        """The GPU that a run would take: the one with most free memory; None: the processor."""
        usable = self.accelerators if self.cuda_build else ()
        return max(usable, key=lambda each: each.free_bytes, default=None)

    @property
    def device(self) -> str:
        """The name of the device that a run would take: `cpu`, `cuda-0`, …"""
        return "cpu" if self.accelerator is None else f"cuda-{self.accelerator.index}"


def probe_hardware(root: Path = Path("/")) -> Hardware:
    """Describe this machine; needs no privilege, no torch and a few milliseconds.

    Args:
        root: Where proc and sys are mounted.
    """
    limits = read_limits(root)
    total, available = _memory(root)
    if limits.memory_bytes is not None:
        total = min(total, limits.memory_bytes)
    if limits.memory_left is not None:
        available = min(available, limits.memory_left)
    nvidia = probe_nvidia(root=root)
    faults = (*nvidia.faults, *_disagreements(nvidia, torch_cuda()))
    return Hardware(
        cpu=_cpu(root, limits),
        ram_bytes=total,
        available_bytes=min(available, total),
        accelerators=nvidia.accelerators,
        limits=limits,
        cuda_build=not any(each.code in _UNUSABLE for each in faults),
        faults=faults,
    )


def torch_cuda() -> tuple[int, int] | Literal["missing"] | None:
    """Return the CUDA version that torch was built for; None: for the processor only.

    It stands in `torch/version.py`, which torch's build writes; torch is not imported.
    """
    try:
        text = Path(str(distribution("torch").locate_file("torch/version.py"))).read_text("utf-8")
    except (PackageNotFoundError, OSError, UnicodeDecodeError):
        return "missing"
    found = _TORCH_CUDA.search(text)
    return (int(found[1]), int(found[2])) if found else None


def _disagreements(
    nvidia: Nvidia, built_for: tuple[int, int] | Literal["missing"] | None
) -> Iterator[Fault]:
    """Yield why torch cannot use the GPUs that are there."""
    if not nvidia.accelerators or built_for == "missing":
        return
    if built_for is None:
        yield Fault(
            "torch_without_cuda",
            "There is a GPU, but this torch was built for the processor only; training does not "
            "use the GPU. Install the CUDA build of the same version.",
        )
    # Within one major version newer programs run on older drivers (CUDA Compatibility, NVIDIA).
    elif nvidia.cuda is not None and nvidia.cuda[0] < built_for[0]:
        wanted, has = (".".join(map(str, each)) for each in (built_for, nvidia.cuda))
        yield Fault(
            "driver_too_old",
            f"The NVIDIA driver {printable(nvidia.accelerators[0].driver, limit=32)} runs CUDA "
            f"up to {has}, but torch was built for {wanted}; training does not use the GPU. "
            f"Update the driver, or install the build of torch for CUDA {nvidia.cuda[0]}.",
        )


def _cpu(root: Path, limits: Limits) -> Cpu:
    name, flags = "", frozenset[str]()
    try:
        for line in (root / "proc/cpuinfo").read_text("utf-8", errors="replace").splitlines():
            key, _, value = line.partition(":")
            if key.strip() in ("model name", "Model") and not name:
                name = value.strip()
            elif key.strip() in ("flags", "Features") and not flags:
                flags = frozenset(value.split())
    except OSError:
        pass  # the platform's own words must do
    return Cpu(
        name=name or platform.processor() or platform.machine() or "unknown",
        cores=usable_cores(_affinity(), limits),
        bf16=bool(flags & _BF16_FLAGS),
        flags=flags,
    )


def _affinity() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _memory(root: Path) -> tuple[int, int]:
    """Return total and available bytes of the machine."""
    found: dict[str, int] = {}
    try:
        for line in (root / "proc/meminfo").read_text("ascii", errors="replace").splitlines():
            key, _, value = line.partition(":")
            words = value.split()
            if words and words[0].isdecimal():
                found[key] = int(words[0]) * 1024
    except OSError:
        pass  # sysconf below
    total = found.get("MemTotal") or os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return total, found.get("MemAvailable", total)
