"""NVIDIA GPUs as the driver's management library (NVML) describes them; no CUDA context is made.

What keeps a GPU from being used becomes a `Fault`, a sentence with its cure, and never an error:
whatever is left, at least the processor, is planned with. NVML numbers GPUs in PCI order, and the
engine sets CUDA_DEVICE_ORDER so that torch does the same.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.planning.nvidia_faults import (
    DIVIDED,
    SILENT,
    UNREACHABLE,
    Fault,
    about_card,
    about_driver,
)
from workbench.text import printable

# Dense bf16 tensor operations a core and clock tick, by compute capability. They reproduce the
# makers' figures: A100 312, H100 989, RTX 3090 71, RTX 4090 165, RTX 5090 210 TFLOP/s.
_PER_CORE_AND_TICK = {(8, 0): 32, (9, 0): 32, (10, 0): 32, (10, 3): 32}
_CONSUMER = 4
_FIRST_WITH_BF16 = (8, 0)
# A limit this much below the maker's own slows training noticeably.
_LOW_POWER = 0.7
_PCI_NVIDIA, _PCI_DISPLAY = "0x10de", "0x03"
_SLICE = "MIG-"  # how the UUID of a slice begins
_LONGEST_NAME = 16  # of a process: TASK_COMM_LEN, proc(5)


@dataclass(frozen=True)
class Holder:
    """A process that holds memory of a GPU.

    Attributes:
        pid: Its number; 0 where only its group of processes is known.
        name: What it is called, as far as this user may see it; else empty.
        bytes: What it holds; None where the driver does not tell.
    """

    pid: int
    name: str
    bytes: int | None


@dataclass(frozen=True)
class Accelerator:
    """One GPU that can be used.

    Attributes:
        index: Its number among the visible ones, in PCI order, as torch counts them.
        memory_bytes: What the card (of a divided one: its first slice) has; `free_bytes` is what
            nobody uses now.
        capability: CUDA compute capability, for instance (8, 9).
        bf16: Whether it computes in bf16; without, training computes in 32 bit.
        flops: Peak bf16 operations a second; None when the driver does not tell enough.
        clock_mhz: The fastest clock of its cores.
        power_watts: What it may draw, and `usual_watts` what its maker lets it draw.
        ecc: Whether its memory corrects errors; `uncorrected` counts those that it could not,
            since the last restart.
        mig: Whether it is divided into slices.
        holders: Who holds its memory now, most first.
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
    clock_mhz: int | None = None
    power_watts: float | None = None
    usual_watts: float | None = None
    ecc: bool | None = None
    uncorrected: int = 0
    mig: bool = False
    holders: tuple[Holder, ...] = ()

    @property
    def is_throttled(self) -> bool:
        """Whether somebody set its power limit far below its maker's."""
        usual = self.usual_watts or 0.0
        return self.power_watts is not None and self.power_watts < _LOW_POWER * usual

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
            "clock_mhz": self.clock_mhz,
            "power_watts": self.power_watts,
            "ecc": self.ecc,
            "mig": self.mig,
            "holders": [
                {"pid": each.pid, "name": each.name, "bytes": each.bytes} for each in self.holders
            ],
        }


@dataclass(frozen=True)
class Nvidia:
    """What NVML tells of a machine.

    Attributes:
        accelerators: The visible GPUs that can be used.
        faults: What keeps others from it.
        cuda: The newest CUDA version that the driver runs, for instance (12, 8); None: not told.
    """

    accelerators: tuple[Accelerator, ...] = ()
    faults: tuple[Fault, ...] = ()
    cuda: tuple[int, int] | None = None


def probe_nvidia(
    nvml: Any = None, environment: Mapping[str, str] | None = None, root: Path = Path("/")
) -> Nvidia:
    """Return the visible GPUs and what is wrong with them; nothing where there is no GPU.

    Args:
        nvml: The binding; the installed `pynvml` by default.
        environment: Where CUDA_VISIBLE_DEVICES stands; this process's by default.
        root: Where dev, proc and sys are mounted.
    """
    if nvml is None:
        try:
            import pynvml
        except ImportError:
            return Nvidia()
        nvml = pynvml
    visible = (os.environ if environment is None else environment).get("CUDA_VISIBLE_DEVICES")
    try:
        nvml.nvmlInit()
    except (nvml.NVMLError, OSError) as error:
        return Nvidia(faults=about_driver(_code(error), present=_on_the_bus(root)))
    try:
        return _Probe(nvml, root).look(visible)
    except nvml.NVMLError as error:
        return Nvidia(faults=about_driver(_code(error), present=True))
    finally:
        nvml.nvmlShutdown()


def _on_the_bus(root: Path) -> bool:
    """Whether an NVIDIA display or compute device sits in the machine, driver or not."""
    for device in sorted((root / "sys/bus/pci/devices").glob("*")):
        display = _text_of(device / "class").startswith(_PCI_DISPLAY)
        if display and _text_of(device / "vendor") == _PCI_NVIDIA:
            return True
    return False


@dataclass(frozen=True)
class _Probe:
    nvml: Any
    root: Path

    def look(self, visible: str | None) -> Nvidia:
        """Describe every visible GPU that answers and can be opened."""
        nvml = self.nvml
        handles: list[Any] = []
        uuids: list[str] = []
        faults: list[Fault] = []
        for number in range(nvml.nvmlDeviceGetCount()):
            try:
                handle = nvml.nvmlDeviceGetHandleByIndex(number)
                uuids.append(_text(nvml.nvmlDeviceGetUUID(handle)))
                handles.append(handle)
            except nvml.NVMLError as error:
                faults.append(about_card(_code(error), f"GPU {number}"))
        found: list[Accelerator] = []
        if visible is not None and visible.startswith(_SLICE):
            # A slice is named by itself, and a process gets one only.
            wanted = visible.partition(",")[0].strip()
            owners = [n for n, each in enumerate(handles) if self._slice(each, wanted) is not None]
            visible = ",".join(map(str, owners))
        else:
            wanted = ""
        for number in _visible(uuids, visible):
            described = self._described(handles[number], len(found), wanted or uuids[number])
            if isinstance(described, Fault):
                faults.append(described)
            else:
                found.append(described)
        version = self._asked("nvmlSystemGetCudaDriverVersion")
        cuda = None if version is None else (version // 1000, version % 1000 // 10)
        return Nvidia(tuple(found), tuple(faults), cuda)

    def _described(self, handle: Any, index: int, uuid: str) -> Accelerator | Fault:
        name = f"GPU {index}"
        try:
            name = printable(_text(self.nvml.nvmlDeviceGetName(handle)), limit=64)
            if not self._can_be_opened(handle):
                return Fault("gpu_not_reachable", UNREACHABLE.format(name=name))
            return self._describe(handle, index, name, uuid)
        except self.nvml.NVMLError as error:
            return about_card(_code(error), name)
        except (TypeError, ValueError, AttributeError):
            return Fault("gpu_silent", SILENT.format(name=name))  # a driver of another age

    def _can_be_opened(self, handle: Any) -> bool:
        """Whether this process may use the card's device file; a group may forbid it."""
        if (self.root / "dev/dxg").exists():
            return True  # Windows' subsystem has one file for all
        number = self._asked("nvmlDeviceGetMinorNumber", handle)
        names = ["nvidiactl", *([] if number is None else [f"nvidia{number}"])]
        for name in names:
            try:
                os.close(os.open(self.root / "dev" / name, os.O_RDWR | os.O_CLOEXEC))
            except OSError:
                return False
        return True

    def _describe(self, handle: Any, index: int, name: str, uuid: str) -> Accelerator | Fault:
        nvml = self.nvml
        mig = bool((self._asked("nvmlDeviceGetMigMode", handle) or (0, 0))[0])
        part = self._slice(handle, uuid if uuid.startswith(_SLICE) else "") if mig else handle
        if part is None:
            return Fault("gpu_divided", DIVIDED.format(name=name))
        memory = nvml.nvmlDeviceGetMemoryInfo(part)
        major, minor = nvml.nvmlDeviceGetCudaComputeCapability(handle)
        capability = (int(major), int(minor))
        clock = self._asked("nvmlDeviceGetMaxClockInfo", handle, nvml.NVML_CLOCK_SM)
        cores = self._asked("nvmlDeviceGetNumGpuCores", handle)
        known = clock is not None and cores is not None and capability >= _FIRST_WITH_BF16
        ticks = _PER_CORE_AND_TICK.get(capability, _CONSUMER)
        # Uncorrected errors (1) since the last restart (0).
        errors = self._asked("nvmlDeviceGetTotalEccErrors", handle, 1, 0)
        ecc = self._asked("nvmlDeviceGetEccMode", handle)
        return Accelerator(
            index=index,
            name=name,
            memory_bytes=int(memory.total),
            free_bytes=int(memory.free),
            capability=capability,
            driver=_text(nvml.nvmlSystemGetDriverVersion()),
            bf16=capability >= _FIRST_WITH_BF16,
            # A slice has only a part of the cores, and NVML does not say which.
            flops=float(cores * clock * 1e6 * ticks) if known and not mig else None,
            uuid=uuid,
            clock_mhz=clock,
            power_watts=self._watts("nvmlDeviceGetEnforcedPowerLimit", handle),
            usual_watts=self._watts("nvmlDeviceGetPowerManagementDefaultLimit", handle),
            ecc=None if ecc is None else bool(ecc[0]),
            uncorrected=int(errors or 0),
            mig=mig,
            holders=tuple(sorted(self._holders(part), key=lambda each: -(each.bytes or 0))),
        )

    def _slice(self, handle: Any, wanted: str) -> Any:
        """Return the named slice of a divided card, or the one that CUDA takes: the first."""
        for number in range(self._asked("nvmlDeviceGetMaxMigDeviceCount", handle) or 0):
            found = self._asked("nvmlDeviceGetMigDeviceHandleByIndex", handle, number)
            if found is None:
                continue
            if not wanted or _text(self._asked("nvmlDeviceGetUUID", found) or "") == wanted:
                return found
        return None

    def _holders(self, handle: Any) -> Iterator[Holder]:
        seen = set()
        for kind in ("Compute", "Graphics"):
            for process in self._asked(f"nvmlDeviceGet{kind}RunningProcesses", handle) or ():
                pid, used = int(process.pid), process.usedGpuMemory
                if pid in seen or pid == os.getpid():
                    continue
                seen.add(pid)
                name = _text_of(self.root / f"proc/{pid}/comm")
                yield Holder(
                    pid, printable(name, limit=_LONGEST_NAME), None if used is None else int(used)
                )

    def _watts(self, name: str, handle: Any) -> float | None:
        milliwatts = self._asked(name, handle)
        return None if milliwatts is None else milliwatts / 1000

    def _asked(self, name: str, *told: Any) -> Any:
        """Return what a call answers; None where this driver or card does not know it."""
        try:
            return getattr(self.nvml, name)(*told)
        except (self.nvml.NVMLError, AttributeError, TypeError):
            return None


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


def _code(error: BaseException) -> int:
    """Return NVML's number of an error; 0 where it has none."""
    value = getattr(error, "value", 0)
    return value if isinstance(value, int) else 0


def _text(value: str | bytes) -> str:
    return value.decode("utf-8", errors="replace") if isinstance(value, bytes) else value


def _text_of(path: Path) -> str:
    try:
        return path.read_text("utf-8", errors="replace").strip()
    except OSError:
        return ""
