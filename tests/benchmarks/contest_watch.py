"""What one contestant is asked, and how it is watched: time, tokens and memory alike for all."""

from __future__ import annotations

import ctypes
import gc
import time
from dataclasses import dataclass, field
from pathlib import Path

from tests.benchmarks.contest_settings import MIXES, Mix, Record, records_per_step


@dataclass
class Told:
    """What the parent asks for, and what is noted on the way."""

    contestant: str
    model: str
    mix: str
    folder: Path
    steps: int
    threads: int
    rate: float
    records: list[Record]
    laps: list[tuple[float, float]] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    loaded: int = 0
    peak: int = 0

    @property
    def records_per_step(self) -> int:
        """Records of an optimizer step for those who pad."""
        return records_per_step(self.model, self.mix)

    @property
    def shape(self) -> Mix:
        """How long records are and how they are batched."""
        return MIXES[self.mix]

    def lap(self) -> None:
        """Note the end of an optimizer step (the first call: the beginning of the first one)."""
        self.laps.append((time.perf_counter(), time.process_time()))

    def is_loaded(self) -> None:
        """Begin the account of memory: what comes is training's own."""
        import torch

        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()
            self.loaded = int(torch.cuda.memory_allocated())
            return
        ctypes.CDLL(None).malloc_trim(0)
        # proc(5): 5 resets VmHWM to what is resident now.
        Path("/proc/self/clear_refs").write_text("5")
        self.loaded = resident("VmRSS")

    def is_trained(self) -> None:
        """End the account of memory."""
        import torch

        on_card = torch.cuda.is_available()
        self.peak = int(torch.cuda.max_memory_allocated()) if on_card else resident("VmHWM")


def resident(name: str) -> int:
    """Return VmRSS or VmHWM of this process in bytes."""
    status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    line = next(line for line in status.splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1]) * 1024


def device() -> str:
    """Return the device that everyone trains on."""
    import torch

    return "cuda:0" if torch.cuda.is_available() else "cpu"
