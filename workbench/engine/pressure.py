"""When memory runs out: the same step in smaller pieces, and on it goes.

The rungs, from the cheapest down: half the rows at a time; half of the layers that are not yet
computed again; on a GPU, what these wait with goes to main memory. None changes the effective
batch, the order of the data or, but for the order of sums, the result.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import torch

from workbench.engine.forward import Passes, recompute_layers
from workbench.engine.loading import decoder_layers
from workbench.engine.optimizers import WeightUpdater
from workbench.errors import DoesNotFit
from workbench.planning.nvidia import probe_nvidia

if TYPE_CHECKING:
    from workbench.engine.course import Course
    from workbench.engine.training import Progress, Reports

T = TypeVar("T")


def is_out_of_memory(error: BaseException) -> bool:
    """Say whether an exception means that memory ran out, on a GPU or on the host."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    # The CPU's allocator and some CUDA libraries raise plain RuntimeErrors.
    told = str(error)
    return isinstance(error, RuntimeError) and (
        "can't allocate memory" in told
        or "CUDA error: out of memory" in told
        or "_STATUS_ALLOC_FAILED" in told
    )


class Pressure:
    """Repeats work in smaller pieces until it fits."""

    def __init__(
        self,
        passes: Passes,
        updater: WeightUpdater,
        course: Course,
        progress: Progress,
        reports: Reports,
    ) -> None:
        self._passes = passes
        self._updater = updater
        self._course = course
        self._progress = progress
        self._reports = reports

    def relieved(self, work: Callable[[], T], *, spare_gradients: bool = False) -> T:
        """Do the work; whenever memory runs out, make room and do it again.

        Args:
            spare_gradients: Whether the work goes on from what it has done rather than beginning
                anew, and so needs the gradients that are there.

        Raises:
            DoesNotFit: code `out_of_memory`: no rung is left.
        """
        while True:
            try:
                return work()
            except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
                if not is_out_of_memory(error):
                    raise
            # Outside the handler: the exception's frames hold the tensors that must go first.
            if not spare_gradients:
                self._updater.forget()
            self._make_room()

    def _make_room(self) -> None:
        gc.collect()
        if self._passes.device.type == "cuda":
            torch.cuda.empty_cache()
        self._go_down()
        progress = self._progress
        told: dict[str, Any] = {
            "micro_batch": progress.micro_batch,
            "accumulate": -(-self._course.rows_per_step // progress.micro_batch),
            "recomputed_layers": progress.recomputed,
            "offload": progress.offload,
            **_largest_neighbour(self._passes.device),
        }
        self._reports.write("adjusted", reason="out_of_memory", step=progress.step, **told)

    def _go_down(self) -> None:
        progress, model = self._progress, self._passes.model
        kept = len(decoder_layers(model)) - progress.recomputed
        if progress.micro_batch > 1:
            progress.micro_batch //= 2
        elif kept > 0:
            progress.recomputed += -(-kept // 2)
            recompute_layers(model, progress.recomputed, offload=progress.offload)
        elif self._passes.device.type == "cuda" and not progress.offload:
            progress.offload = True
            recompute_layers(model, progress.recomputed, offload=True)
        else:
            raise DoesNotFit(
                "Memory ran out with one row at a time and every layer recomputed.",
                hint="Train with a shorter context, a smaller rank or a smaller model; the last "
                "checkpoint stands.",
                code="out_of_memory",
            )


def _largest_neighbour(device: torch.device) -> dict[str, int]:
    """Return the number of the process that holds most of the GPU beside this one, and how much.

    Nothing where there is none, or where the driver counts processes otherwise than this one does,
    as in some containers: it must not name this run itself.
    """
    if device.type != "cuda":
        return {}
    holders = next(
        (a.holders for a in probe_nvidia().accelerators if a.index == (device.index or 0)), ()
    )
    others = [each for each in holders if each.pid != os.getpid() and each.bytes]
    if not others or len(others) == len(holders):
        return {}
    largest = max(others, key=lambda each: each.bytes or 0)
    return {"other_pid": largest.pid, "other_bytes": largest.bytes or 0}
