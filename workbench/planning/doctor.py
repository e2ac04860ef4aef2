"""The state of this machine: hardware, libraries, protection, swap, disk, and what to do about it.

Nothing heavy is imported: versions come from the installed packages' metadata.
"""

from __future__ import annotations

import os
import platform
import shutil
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from workbench.airgap.environment import HYGIENE
from workbench.airgap.lockdown import Protection
from workbench.airgap.probe import try_layers
from workbench.planning.advice import holders_of
from workbench.planning.measured import Measurement, read_measurement
from workbench.planning.nvidia import Accelerator
from workbench.planning.nvidia_faults import Fault
from workbench.planning.overnight import read_process_limits, what_ends_runs
from workbench.planning.probe import Hardware, probe_hardware
from workbench.planning.swap import Swap, read_swaps
from workbench.wording import count, size

_NEEDED = (
    "bitsandbytes",
    "cryptography",
    "duckdb",
    "jinja2",
    "numpy",
    "nvidia-ml-py",
    "peft",
    "pyarrow",
    "safetensors",
    "tokenizers",
    "torch",
    "transformers",
)
# Fetches compiled code from a hub when it is there, through transformers and bitsandbytes.
_FETCHES_CODE = "kernels"
_LITTLE_DISK = 10 << 30
_LITTLE_TEMPORARY = 16 << 20
_BUSY_LOAD = 0.75
_MOSTLY_FREE = 0.9


@dataclass(frozen=True)
class Findings:
    """Everything that the warnings are drawn from."""

    home: Path
    hardware: Hardware
    libraries: Mapping[str, str]
    fetches_code: bool
    protection: Protection
    swaps: tuple[Swap, ...]
    disk_free: int
    load: float
    measurement: Measurement | None = None
    endings: tuple[Fault, ...] = ()
    temporary_free: int | None = None


def examine(home: Path) -> dict[str, Any]:
    """Look at this machine and return what `workbench doctor --json` prints; about a second.

    Args:
        home: The vault's folder; need not exist.
    """
    hardware = probe_hardware()
    findings = Findings(
        home=home,
        hardware=hardware,
        libraries={name: found for name in _NEEDED if (found := _version(name))},
        fetches_code=_version(_FETCHES_CODE) is not None,
        protection=try_layers(),
        swaps=read_swaps(),
        disk_free=shutil.disk_usage(_existing(home)).free,
        load=os.getloadavg()[0],
        measurement=read_measurement(home, hardware),
        endings=what_ends_runs(),
        temporary_free=_free(Path(HYGIENE["TMPDIR"])),
    )
    return describe(findings)


def describe(findings: Findings) -> dict[str, Any]:
    """Return the document for what was found."""
    hardware = findings.hardware
    warnings = list(_warnings(findings))
    limits = read_process_limits()
    return {
        "python": platform.python_version(),
        "cpu": hardware.cpu.to_json(),
        "ram_bytes": hardware.ram_bytes,
        "available_bytes": hardware.available_bytes,
        "limits": {
            "memory_bytes": hardware.limits.memory_bytes,
            "cpus": hardware.limits.cpus,
            "memlock_bytes": limits.get("locked memory"),
            "open_files": limits.get("open files"),
            "address_space_bytes": limits.get("address space"),
            "processor_seconds": limits.get("cpu time"),
        },
        "accelerators": [each.to_json() for each in hardware.accelerators],
        "device": hardware.device,
        "libraries": dict(findings.libraries),
        "protection": findings.protection.to_json(),
        "protection_holds": findings.protection.holds,
        "swap": [
            {"name": each.name, "bytes": each.bytes, "state": each.state} for each in findings.swaps
        ],
        "speed": speed_of(findings.measurement),
        "disk": {
            "home": str(findings.home),
            "free_bytes": findings.disk_free,
            "temporary_free_bytes": findings.temporary_free,
        },
        "warnings": [text for _, text in warnings],
        "warning_codes": [code for code, _ in warnings],
    }


def speed_of(measurement: Measurement | None) -> dict[str, Any] | None:
    """Return what was measured: operations and bytes a second; None: nobody has measured."""
    if measurement is None:
        return None
    return {
        **measurement.figures,
        "moment": measurement.moment,
        "threads": measurement.threads,
        "disturbed": measurement.is_disturbed,
    }


def _warnings(findings: Findings) -> Iterator[tuple[str, str]]:
    """Yield (code, sentence) for all that needs the user's attention, the gravest first."""
    yield from _about_safety(findings)
    yield from _about_libraries(findings)
    yield from ((each.code, each.text) for each in findings.endings)
    yield from _about_means(findings)


def _about_safety(findings: Findings) -> Iterator[tuple[str, str]]:
    if not findings.protection.holds:
        yield (
            "no_protection",
            "A job cannot be cut off from the network here, so training refuses to run: neither "
            "seccomp nor a network namespace holds. Ask for a kernel or container that allows one.",
        )
    for swap in findings.swaps:
        if swap.state in ("plain", "unknown"):
            how = "is not encrypted" if swap.state == "plain" else "may not be encrypted"
            yield (
                "swap_not_encrypted",
                f"The swap area {swap.name} {how}: when memory runs short, or on hibernation, "
                "records in memory may reach the disk. Switch it off (`swapoff`) or encrypt it.",
            )
    if findings.fetches_code:
        yield (
            "fetches_code",
            "The package `kernels` is installed: libraries would use it to fetch compiled code "
            "from a hub. The lock-down prevents that; uninstall it for quiet logs.",
        )
    if findings.home.is_dir() and stat.S_IMODE(findings.home.stat().st_mode) & 0o077:
        yield (
            "open_home",
            f"Others can read {findings.home}; the vault will refuse it. Close it with "
            f"`chmod 700`.",
        )


def _about_libraries(findings: Findings) -> Iterator[tuple[str, str]]:
    missing = [name for name in _NEEDED if name not in findings.libraries]
    if missing:
        yield (
            "missing_libraries",
            f"Not installed: {', '.join(missing)}. Install the versions in packaging/pins.txt.",
        )
    for fault in findings.hardware.faults:
        yield fault.code, fault.text


def _about_means(findings: Findings) -> Iterator[tuple[str, str]]:
    hardware = findings.hardware
    if findings.disk_free < _LITTLE_DISK:
        yield (
            "little_disk",
            f"Only {size(findings.disk_free)} are free where the vault lies.",
        )
    if findings.temporary_free is not None and findings.temporary_free < _LITTLE_TEMPORARY:
        yield (
            "little_temporary",
            f"Only {size(findings.temporary_free)} are free in /dev/shm, where libraries keep "
            "temporary files of a job. Empty it, or give the container more (`--shm-size`).",
        )
    card = hardware.accelerator
    for each in hardware.accelerators:
        yield from _about_card(each)
    if card is not None and not card.bf16:
        yield (
            "no_bf16",
            f"{card.name} does not compute in bf16: training computes in 32 bit, slower and with "
            "more memory.",
        )
    if card is None and not hardware.cpu.bf16:
        yield (
            "no_bf16",
            "The processor does not compute in bf16: training computes in 32 bit, about three "
            "times slower.",
        )
    if card is None and findings.load > _BUSY_LOAD * hardware.cpu.cores:
        yield (
            "busy_processor",
            f"Other programs are at work (a load of {findings.load:.1f} on {hardware.cpu.cores} "
            "cores): fewer threads may train faster (`--set threads=1`).",
        )
    if findings.measurement is not None and findings.measurement.is_disturbed:
        yield (
            "speed_disturbed",
            "Other programs were at work when this machine's speed was measured, so the times "
            "shown are too long. Measure again when it is idle: `workbench doctor --measure`.",
        )


def _about_card(card: Accelerator) -> Iterator[tuple[str, str]]:
    if card.free_bytes < _MOSTLY_FREE * card.memory_bytes:
        by = holders_of(card)
        yield (
            "card_is_busy",
            f"{card.name} is in use: {size(card.free_bytes)} of {size(card.memory_bytes)} are "
            f"free{f'; {by}' if by else ''}. End what you do not need, and look again.",
        )
    if card.is_throttled:
        yield (
            "power_limited",
            f"{card.name} may draw {card.power_watts:.0f} of its usual {card.usual_watts:.0f} "
            "watts, which slows training. `nvidia-smi -pl` sets the limit.",
        )
    if card.uncorrected:
        yield (
            "memory_errors",
            f"The memory of {card.name} had {count(card.uncorrected, 'error')} that it could not "
            "correct since the last restart: results may be wrong. Restart the machine; if it "
            "happens again, have the card replaced.",
        )
    if card.mig:
        yield (
            "card_is_divided",
            f"{card.name} is divided into slices (MIG): a run gets one of them, with "
            f"{size(card.memory_bytes)}.",
        )


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _free(folder: Path) -> int | None:
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return None


def _existing(path: Path) -> Path:
    """Return the nearest folder of `path` that exists."""
    for folder in (path, *path.absolute().parents):
        if folder.is_dir():
            return folder
    return Path("/")
