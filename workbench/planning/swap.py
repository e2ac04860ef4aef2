"""Where memory may be written to when it runs short, and whether that is encrypted."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

SwapState = Literal["encrypted", "memory", "plain", "unknown"]


@dataclass(frozen=True)
class Swap:
    """One swap area: `memory` is compressed memory (zram), `unknown` could not be traced."""

    name: str
    bytes: int
    state: SwapState


def read_swaps(root: Path = Path("/")) -> tuple[Swap, ...]:
    """Return the active swap areas; none when the kernel has no list."""
    try:
        lines = (root / "proc/swaps").read_text("utf-8", errors="replace").splitlines()[1:]
    except OSError:
        return ()
    found = []
    for line in lines:
        fields = line.split()
        if len(fields) >= 3 and fields[2].isdecimal():
            name = fields[0].replace("\\040", " ")  # how the kernel writes a blank
            found.append(Swap(name, int(fields[2]) * 1024, _state(root, name)))
    return tuple(found)


def _state(root: Path, name: str) -> SwapState:
    device = Path(name).name if name.startswith("/dev/") else ""
    if device.startswith("zram"):
        return (
            "memory"
            if _text(root / f"sys/block/{device}/backing_dev") in ("", "none")
            else ("unknown")
        )
    block = _block(root, name)
    if block is None:
        return "unknown"
    return "encrypted" if _encrypted(block) else "plain"


def _block(root: Path, name: str) -> Path | None:
    """Return the sysfs folder of the device that `name` is, or that holds the file `name`."""
    if name.startswith("/dev/"):
        resolved = Path(os.path.realpath(root / name.lstrip("/")))
        folder = root / "sys/class/block" / resolved.name
    else:
        try:
            device = os.stat(root / name.lstrip("/")).st_dev
        except OSError:
            return None
        folder = root / f"sys/dev/block/{os.major(device)}:{os.minor(device)}"
    return folder if folder.exists() else None


def _encrypted(block: Path, depth: int = 0) -> bool:
    """Whether the device, or all that it is made of, is a dm-crypt mapping."""
    if _text(block / "dm/uuid").startswith("CRYPT-"):
        return True
    slaves = block / "slaves"
    below = sorted(slaves.iterdir()) if slaves.is_dir() and depth < 8 else []
    return bool(below) and all(_encrypted(each.resolve(), depth + 1) for each in below)


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8", errors="replace").strip()
    except OSError:
        return ""
