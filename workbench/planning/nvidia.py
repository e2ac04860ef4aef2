"""NVIDIA GPUs as the driver's management library (NVML) describes them; no CUDA context is made."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

# Dense bf16 tensor operations a core and clock tick, by compute capability. They reproduce the
# makers' figures: A100 312, H100 989, RTX 3090 71, RTX 4090 165, RTX 5090 210 TFLOP/s.
_PER_CORE_AND_TICK = {(8, 0): 32, (9, 0): 32, (10, 0): 32, (10, 3): 32}
_CONSUMER = 4
_FIRST_WITH_BF16 = (8, 0)


@dataclass(frozen=True)
class Accelerator:
    """One GPU.

    Attributes:
        index: Its number among the visible ones, in PCI order, as torch counts them.
        memory_bytes: What the card has; `free_bytes` is what nobody uses now.
        capability: CUDA compute capability, for instance (8, 9).
        bf16: Whether it computes in bf16; without, training computes in 32 bit.
        flops: Peak bf16 operations a second; None when the driver does not tell enough.
    """

    index: int
    name: str
    memory_bytes: int
    free_bytes: int
    capability: tuple[int, int]
    driver: str
    bf16: bool
    flops: float | None
    uuid: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "index": self.index,
            "name": self.name,
            "memory_bytes": self.memory_bytes,
            "free_bytes": self.free_bytes,
            "compute_capability": f"{self.capability[0]}.{self.capability[1]}",
            "driver": self.driver,
            "bf16": self.bf16,
        }


def probe_accelerators(
    nvml: Any = None, environment: Mapping[str, str] | None = None
) -> tuple[Accelerator, ...]:
    """Return the visible GPUs; none when there is no driver, no GPU, or it does not answer.

    Args:
        nvml: The binding; the installed `pynvml` by default.
        environment: Where CUDA_VISIBLE_DEVICES stands; this process's by default.
    """
    if nvml is None:
        try:
            import pynvml
        except ImportError:
            return ()
        nvml = pynvml
    visible = (os.environ if environment is None else environment).get("CUDA_VISIBLE_DEVICES")
    try:
        nvml.nvmlInit()
    except (nvml.NVMLError, OSError):
        return ()
    try:
        handles = [nvml.nvmlDeviceGetHandleByIndex(n) for n in range(nvml.nvmlDeviceGetCount())]
        names = [_text(nvml.nvmlDeviceGetUUID(handle)) for handle in handles]
        chosen = _visible(names, visible)
        return tuple(_describe(nvml, handles[n], index) for index, n in enumerate(chosen))
    except nvml.NVMLError:
        return ()
    finally:
        nvml.nvmlShutdown()


def _visible(uuids: Sequence[str], told: str | None) -> list[int]:
    """Return the numbers that CUDA_VISIBLE_DEVICES leaves, in its order; it ends at a bad entry."""
    if told is None:
        return list(range(len(uuids)))
    chosen: list[int] = []
    for entry in (part.strip() for part in told.split(",")):
        if entry.isdecimal() and int(entry) < len(uuids):
            number = int(entry)
        else:
            matches = [n for n, uuid in enumerate(uuids) if entry and uuid.startswith(entry)]
            if len(matches) != 1:
                break
            number = matches[0]
        if number in chosen:
            break
        chosen.append(number)
    return chosen


def _describe(nvml: Any, handle: Any, index: int) -> Accelerator:
    memory = nvml.nvmlDeviceGetMemoryInfo(handle)
    major, minor = nvml.nvmlDeviceGetCudaComputeCapability(handle)
    capability = (int(major), int(minor))
    return Accelerator(
        index=index,
        name=_text(nvml.nvmlDeviceGetName(handle)),
        memory_bytes=int(memory.total),
        free_bytes=int(memory.free),
        capability=capability,
        driver=_text(nvml.nvmlSystemGetDriverVersion()),
        bf16=capability >= _FIRST_WITH_BF16,
        flops=_peak(nvml, handle, capability),
        uuid=_text(nvml.nvmlDeviceGetUUID(handle)),
    )


def _peak(nvml: Any, handle: Any, capability: tuple[int, int]) -> float | None:
    if capability < _FIRST_WITH_BF16:
        return None
    try:
        cores = nvml.nvmlDeviceGetNumGpuCores(handle)
        megahertz = nvml.nvmlDeviceGetMaxClockInfo(handle, nvml.NVML_CLOCK_SM)
    except nvml.NVMLError:
        return None
    return float(cores * megahertz * 1e6 * _PER_CORE_AND_TICK.get(capability, _CONSUMER))


def _text(value: str | bytes) -> str:
    return value.decode("utf-8", errors="replace") if isinstance(value, bytes) else value
