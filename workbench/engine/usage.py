"""How much memory this process holds right now and held at most, in bytes."""

from __future__ import annotations

import resource
from pathlib import Path

import torch

_PAGE = resource.getpagesize()


def host_bytes() -> int:
    """Return the resident memory of the process."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * _PAGE


def host_peak() -> int:
    """Return the most resident memory that the process ever had.

    VmHWM, proc(5): the peak that getrusage tells begins with that of whoever started the process.
    """
    status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


def peak_bytes(device: torch.device) -> int:
    """Return the most that was ever used: of the GPU's memory, or of this process's on a CPU."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    return host_peak()


def memory(device: torch.device) -> dict[str, int]:
    """Return allocated, reserved, peak and host bytes; on a CPU the first three are the host's."""
    host = host_bytes()
    if device.type != "cuda":
        return {"allocated": host, "reserved": host, "peak": host_peak(), "host": host}
    return {
        "allocated": int(torch.cuda.memory_allocated(device)),
        "reserved": int(torch.cuda.memory_reserved(device)),
        "peak": peak_bytes(device),
        "host": host,
    }
