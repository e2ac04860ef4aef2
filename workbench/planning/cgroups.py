"""The memory and processor limits that control groups set, of version 1 and 2.

A limit may stand on any level above the process, so every level up to the mount is read.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

# Version 1 writes "no limit" as the largest multiple of the page size.
_NO_LIMIT = 1 << 60


@dataclass(frozen=True)
class Limits:
    """The tightest limits; None where there is none.

    Attributes:
        memory_bytes: Most memory the group may hold.
        memory_left: What is left of it; cached files that can be dropped count as left.
        cpus: Processors' worth of time, for instance 1.5.
    """

    memory_bytes: int | None = None
    memory_left: int | None = None
    cpus: float | None = None


NO_LIMITS = Limits()


@dataclass(frozen=True)
class _Names:
    """What one version calls its files."""

    limits: tuple[str, ...]
    usage: str
    droppable: str


_V1 = _Names(("memory.limit_in_bytes",), "memory.usage_in_bytes", "total_inactive_file")
_V2 = _Names(("memory.max", "memory.high"), "memory.current", "inactive_file")


def read_limits(root: Path = Path("/")) -> Limits:
    """Return the limits of this process; unreadable files count as no limit."""
    memory: list[tuple[int, int]] = []
    cpus: list[float] = []
    for folder, version in _levels(root, "memory"):
        memory += _memory(folder, _V1 if version == 1 else _V2)
    for folder, version in _levels(root, "cpu"):
        cpus += _cpus(folder, version)
    return Limits(
        memory_bytes=min((limit for limit, _ in memory), default=None),
        memory_left=min((left for _, left in memory), default=None),
        cpus=min(cpus, default=None),
    )


def _levels(root: Path, controller: str) -> Iterator[tuple[Path, int]]:
    """Yield the folders of this process's groups for a controller, innermost first."""
    groups = _groups(root)
    for mount, inner, version, controllers in _mounts(root):
        name = "" if version == 2 else controller
        if name not in groups or (version == 1 and controller not in controllers):
            continue
        # In a container the mount may show only a part of the hierarchy: its own.
        path = groups[name].removeprefix(inner.rstrip("/")).strip("/")
        folder = mount / path if ".." not in Path(path).parts else mount
        while True:
            yield folder, version
            if folder == mount:
                break
            folder = folder.parent


def _groups(root: Path) -> dict[str, str]:
    """Return controller -> group path of this process; version 2 stands under an empty name."""
    groups = {}
    for line in _text(root / "proc/self/cgroup").splitlines():
        number, _, rest = line.partition(":")
        names, _, path = rest.partition(":")
        if number == "0" and not names:
            groups[""] = path
        for name in filter(None, names.split(",")):
            groups[name] = path
    return groups


def _mounts(root: Path) -> Iterator[tuple[Path, str, int, set[str]]]:
    """Yield (where, which part of the hierarchy, version, controllers) of each mount."""
    for line in _text(root / "proc/self/mountinfo").splitlines():
        before, dash, after = line.partition(" - ")
        fields, kind = before.split(), after.split()
        if not dash or len(fields) < 5 or len(kind) < 3:
            continue
        if kind[0] in ("cgroup", "cgroup2"):
            where = root / fields[4].lstrip("/")
            yield where, fields[3], 2 if kind[0] == "cgroup2" else 1, set(kind[2].split(","))


def _memory(folder: Path, names: _Names) -> list[tuple[int, int]]:
    """Return (limit, what is left of it) for each limit of one level."""
    limits = [_number(folder / name) for name in names.limits]
    set_limits = [limit for limit in limits if limit is not None and limit < _NO_LIMIT]
    if not set_limits:
        return []
    used = (_number(folder / names.usage) or 0) - _stat(folder / "memory.stat", names.droppable)
    return [(limit, max(0, limit - max(0, used))) for limit in set_limits]


def _cpus(folder: Path, version: int) -> list[float]:
    if version == 2:
        words = _text(folder / "cpu.max").split()
        quota, period = words if len(words) == 2 else ("max", "0")
    else:
        quota = _text(folder / "cpu.cfs_quota_us").strip()
        period = _text(folder / "cpu.cfs_period_us").strip()
    if not (quota.isdecimal() and period.isdecimal() and int(period)):
        return []  # "max" and -1 mean no limit
    return [int(quota) / int(period)]


def usable_cores(cores: int, limits: Limits) -> int:
    """Return how many threads are worth starting on `cores` under `limits`; at least 1."""
    return max(1, min(cores, math.ceil(limits.cpus))) if limits.cpus else cores


def _number(path: Path) -> int | None:
    text = _text(path).strip()
    return int(text) if text.isdecimal() else None


def _stat(path: Path, name: str) -> int:
    for line in _text(path).splitlines():
        key, _, value = line.partition(" ")
        if key == name and value.strip().isdecimal():
            return int(value)
    return 0


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8", errors="replace")
    except OSError:
        return ""
