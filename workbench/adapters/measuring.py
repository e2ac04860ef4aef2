"""Measure this machine once: a job that somebody waits for, like an evaluation."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from workbench.adapters.short_jobs import Progress, ShortJob, run_job
from workbench.errors import Busy, WorkbenchError
from workbench.planning.measured import (
    Measurement,
    keep_measurement,
    measurement_of,
    read_measurement,
)
from workbench.planning.probe import Hardware, probe_hardware
from workbench.runs.job import JobFolder
from workbench.runs.listing import list_runs

if TYPE_CHECKING:
    from workbench.vault.store import Vault

# Starting the libraries and measuring takes ten seconds on an idle machine.
_PATIENCE_SECONDS = 120.0


def measure_machine(vault: Vault, progress: Progress | None = None) -> Measurement:
    """Measure how fast this machine trains, and keep it in the home.

    What was learned from runs before goes: it was a correction of the old numbers.

    Raises:
        Busy: Another job is at work: it would be in the way, and so would this be.
        WorkbenchError: The job failed, or took too long.
    """
    at_work = [
        state.run
        for state in list_runs(vault.home)
        if not state.is_over and JobFolder(vault.runs_folder / state.run).is_alive()
    ]
    if at_work:
        raise Busy(
            "A job is at work here; measuring beside it would give wrong numbers.",
            hint="Measure when it has ended: `workbench doctor --measure`.",
        )
    ends = time.monotonic() + _PATIENCE_SECONDS

    def told(done: int, total: int, phase: str) -> None:
        if time.monotonic() > ends:
            raise Busy(
                "The machine is too busy to be measured now.",
                hint="Measure when less is at work: `workbench doctor --measure`.",
            )
        if progress is not None:
            progress(done, total, phase)

    found = measurement_of(probe_hardware(), run_job(vault, ShortJob("probe", {}, {}), told).result)
    keep_measurement(vault.home, found)
    return found


def measure_once(vault: Vault, hardware: Hardware, progress: Progress | None = None) -> bool:
    """Measure if nobody did; return whether there are new numbers. What fails is only missed."""
    if read_measurement(vault.home, hardware) is not None:
        return False
    try:
        measure_machine(vault, progress)
    except WorkbenchError:
        return False
    return True
