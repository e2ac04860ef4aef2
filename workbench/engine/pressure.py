"""When memory runs out: smaller micro-batches with the same effective batch, and on it goes."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import torch

from workbench.engine.forward import Passes, recompute_layers
from workbench.engine.loading import decoder_layers
from workbench.engine.optimizers import WeightUpdater
from workbench.errors import DoesNotFit

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
        "can't allocate memory" in told or "CUBLAS_STATUS_ALLOC_FAILED" in told
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

    def relieved(self, work: Callable[[], T]) -> T:
        """Do the work; whenever memory runs out, make room and do it again from its beginning.

        Raises:
            DoesNotFit: code `out_of_memory`: one row at a time does not fit either.
        """
        while True:
            try:
                return work()
            except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
                if not is_out_of_memory(error):
                    raise
            # Outside the handler: the exception's frames hold the tensors that must go first.
            self._make_room()

    def _make_room(self) -> None:
        progress = self._progress
        self._updater.forget()
        gc.collect()
        if self._passes.device.type == "cuda":
            torch.cuda.empty_cache()
        layers = len(decoder_layers(self._passes.model))
        if progress.micro_batch > 1:
            progress.micro_batch //= 2
        elif progress.recomputed < layers:
            progress.recomputed = layers
            recompute_layers(self._passes.model, layers)
        else:
            raise DoesNotFit(
                "Memory ran out with one row at a time and every layer recomputed.",
                hint="Train with a shorter context, a smaller rank or a smaller model; the last "
                "checkpoint stands.",
                code="out_of_memory",
            )
        told: dict[str, Any] = {
            "micro_batch": progress.micro_batch,
            "accumulate": -(-self._course.rows_per_step // progress.micro_batch),
            "recomputed_layers": progress.recomputed,
        }
        self._reports.write("adjusted", reason="out_of_memory", step=progress.step, **told)
