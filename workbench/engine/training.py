"""The training loop: optimizer steps, evaluation, early stopping, checkpoints, and coming back.

Everything that the next step depends on lives in `Progress`, the trained weights and the
optimizer; rows follow from the seed and the step's number. Whoever restores those three goes on
bit by bit where the run was left.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Protocol

import torch

from workbench.engine.course import Course
from workbench.engine.determinism import random_states, restore_random, untouched_random
from workbench.engine.forward import Passes
from workbench.engine.optimizers import WeightUpdater, shortening
from workbench.engine.pressure import Pressure
from workbench.engine.schedule import learning_rate
from workbench.engine.scoring import score
from workbench.engine.steering import Steering
from workbench.engine.usage import memory, peak_bytes
from workbench.errors import JobFailed
from workbench.recipe import Recipe

# So many steps in a row without a finite gradient mean that the run will not recover.
MOST_NOT_FINITE = 5
_SMOOTHING = 0.1  # of the step time that the ETA goes by


@dataclass
class Progress:
    """The counters of a run; they travel with each checkpoint.

    Attributes:
        step: Optimizer steps done.
        tokens: Tokens that they consumed, padding left out.
        seconds: Time that they took; loading, evaluation and checkpoints left out.
        evaluated: The last step after which there was an evaluation; -1 for none.
        best_step: The step with the lowest evaluation loss; -1 before the first evaluation.
        stale: Evaluations in a row that were no better than the best.
        not_finite: Steps in a row without a finite loss and gradient.
        skipped: All such steps.
        micro_batch: Rows that pass through the model together.
        recomputed: Layers that compute their inner values again.
        offload: Whether the inputs of recomputed layers wait in main memory.
        threads: Processor threads; 0 before they were chosen.
        peak_bytes: Most memory that any process of this run held.
    """

    micro_batch: int
    recomputed: int
    threads: int = 0
    step: int = 0
    tokens: int = 0
    seconds: float = 0.0
    loss_first: float | None = None
    loss_last: float | None = None
    evaluated: int = -1
    eval_loss_first: float | None = None
    eval_loss_last: float | None = None
    best_loss: float | None = None
    best_step: int = -1
    stale: int = 0
    not_finite: int = 0
    skipped: int = 0
    peak_bytes: int = 0
    offload: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return plain values; `from_json` undoes it."""
        return asdict(self)

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Progress:
        """Read what `to_json` gave, by this version or an earlier one."""
        known = [field.name for field in fields(cls) if field.name in plain]
        return cls(**{name: plain[name] for name in known})


class Reports(Protocol):
    """Where events go: the run's `EventWriter`."""

    def write(self, type: str, **values: Any) -> Any:
        """Append one event."""


class Training:
    """One run's loop over a model that is ready to be trained."""

    def __init__(
        self,
        *,
        passes: Passes,
        updater: WeightUpdater,
        course: Course,
        recipe: Recipe,
        progress: Progress,
        steering: Steering,
        reports: Reports,
        save: Callable[[bool], None],
        sample: Callable[[], None],
    ) -> None:
        """Take the parts together.

        Args:
            save: Writes a checkpoint of the present state; told whether it is the best so far.
            sample: Lets the model as it stands answer something; it leaves no trace in training.
        """
        self._passes = passes
        self._updater = updater
        self._course = course
        self._recipe = recipe
        self.progress = progress
        self._steering = steering
        self._reports = reports
        self._save = save
        self._sample = sample
        self._saved = progress.step if progress.threads else -1
        self._evaluate_every = recipe.interval("evaluate_every", course.steps)
        self._checkpoint_every = recipe.interval("checkpoint_every", course.steps)
        self._pressure = Pressure(passes, updater, course, progress, reports)
        self._step_seconds: float | None = None
        self._evaluation_seconds = 0.0

    def rehearse(self, choose_threads: Callable[[Callable[[], None]], int]) -> None:
        """Run the hardest batches once and throw the results away, so that a run which does not
        fit shows it now; then choose the threads and save the starting point.

        Args:
            choose_threads: Given a piece of work to time, returns the number of threads.

        Raises:
            Interrupted: A pause or stop was asked for; nothing was saved, nothing is lost.
        """
        with self._steering.abandoning(), untouched_random():
            self._pressure.relieved(self._hardest)
            self._updater.forget()
            if self._course.validation:
                self._pressure.relieved(self._hardest_evaluation)
            chosen = choose_threads(self._hardest)
            self._updater.forget()
        self.progress.threads = chosen
        torch.set_num_threads(chosen)
        self._checkpoint(best=False)

    def run(self) -> None:
        """Train to the end of the course or of patience.

        Raises:
            Interrupted: A pause or stop was asked for; the state is that after the last step.
            DiskFull: A checkpoint has no room.
            JobFailed: code `nan_loss`.
            DoesNotFit: code `out_of_memory`: not even one row at a time fits.
        """
        self._passes.model.train()
        while True:
            improved = self._evaluate() if self._evaluation_is_due() else False
            asked = self._steering.take_checkpoint_request()
            if improved or asked or self._checkpoint_is_due():
                self._checkpoint(best=improved)
            if self._steering.take_sample_request():
                self._sample()
            if self._is_over():
                return
            self._steering.check()
            self._step()

    def save(self) -> None:
        """Write a checkpoint of the present state unless there is one, or it is between steps."""
        if self._saved != self.progress.step and not self._updater.is_half_done:
            self._checkpoint(best=False)

    def _is_over(self) -> bool:
        patience = self._recipe.early_stop
        return self.progress.step >= self._course.steps or 0 < patience <= self.progress.stale

    def _evaluation_is_due(self) -> bool:
        step = self.progress.step
        if not self._course.validation or self.progress.evaluated >= step:
            return False
        return step % self._evaluate_every == 0 or step >= self._course.steps

    def _checkpoint_is_due(self) -> bool:
        step = self.progress.step
        due = step % self._checkpoint_every == 0 or self._is_over()
        return due and self._saved != step

    def _checkpoint(self, *, best: bool) -> None:
        self.progress.peak_bytes = max(self.progress.peak_bytes, peak_bytes(self._passes.device))
        self._save(best)
        self._saved = self.progress.step

    def _step(self) -> None:
        started = time.perf_counter()
        progress, course, recipe = self.progress, self._course, self._recipe
        number = progress.step + 1
        rows = course.rows_of(number)
        loss = self._pressure.relieved(lambda: self._gradient(rows))
        norm = self._pressure.relieved(self._updater.gradient_norm, spare_gradients=True)
        rate = learning_rate(
            number,
            course.steps,
            peak=recipe.learning_rate,
            warmup=recipe.warmup,
            shape=recipe.schedule,
        )
        length = float(norm)
        if math.isfinite(loss) and math.isfinite(length):
            shorten = shortening(norm, recipe.clip)
            self._pressure.relieved(
                lambda: self._updater.update(rate, shorten), spare_gradients=True
            )
            progress.not_finite = 0
        else:
            self._updater.forget()
            progress.not_finite += 1
            progress.skipped += 1
        seconds = time.perf_counter() - started
        tokens = sum(course.tokens_of(row) for row in rows)
        self._count(loss, tokens, seconds)
        self._report_step(loss, rate, length)
        if progress.not_finite >= MOST_NOT_FINITE:
            raise JobFailed(
                f"{MOST_NOT_FINITE} steps in a row gave no finite gradient.",
                hint="The last checkpoint stands. Try a lower learning rate or a longer warm-up.",
                code="nan_loss",
            )

    def _count(self, loss: float, tokens: int, seconds: float) -> None:
        progress = self.progress
        progress.step += 1
        progress.tokens += tokens
        progress.seconds += seconds
        if math.isfinite(loss):
            progress.loss_last = loss
            if progress.loss_first is None:
                progress.loss_first = loss
        before = self._step_seconds
        self._step_seconds = seconds if before is None else before + _SMOOTHING * (seconds - before)

    def _gradient(self, rows: Sequence[int]) -> float:
        """Add up the gradients of one optimizer step and return its loss.

        Each micro-batch brings the sum over its counted tokens, divided by the counted tokens of
        the whole step: how rows are divided into micro-batches makes no difference.
        """
        self._updater.forget()
        counted = sum(self._course.targets_of(row) for row in rows)
        total = torch.zeros((), device=self._passes.device)
        size = self.progress.micro_batch
        before = random_states()
        try:
            for start in range(0, len(rows), size):
                if start:
                    self._steering.check()
                batch = self._course.batch(rows[start : start + size])
                loss = self._passes.summed_loss(batch) / counted
                loss.backward()
                total += loss.detach()
        except BaseException:
            # What dropout drew belongs to a step that never was: a pause saves the state after
            # the step before, and the one that is done again has to draw the same.
            restore_random(before)
            raise
        return float(total)

    def _hardest(self) -> None:
        self._updater.forget()
        self._passes.model.train()
        batch = self._course.batch(self._course.longest_rows(self.progress.micro_batch))
        loss = self._passes.summed_loss(batch) / max(1, len(batch.targets))
        loss.backward()

    def _hardest_evaluation(self) -> None:
        longest = max(self._course.validation, key=len)
        count = max(1, self._evaluation_tokens() // len(longest))
        score(
            self._passes,
            [longest] * count,
            pad_id=self._course.pad_id,
            batch_tokens=self._evaluation_tokens(),
        )

    def _evaluation_tokens(self) -> int:
        return self.progress.micro_batch * self._course.context

    def _evaluate(self) -> bool:
        """Score the validation split; return whether the loss is the lowest so far."""
        started = time.perf_counter()
        progress = self.progress
        found = self._pressure.relieved(
            lambda: score(
                self._passes,
                self._course.validation,
                pad_id=self._course.pad_id,
                batch_tokens=self._evaluation_tokens(),
                progress=lambda _done, _total: self._steering.check(),
            )
        )
        self._evaluation_seconds = time.perf_counter() - started
        progress.evaluated = progress.step
        progress.eval_loss_last = found.loss
        if progress.eval_loss_first is None:
            progress.eval_loss_first = found.loss
        if progress.step == 0:
            # What the base does: the measure of the gain, and no result of training.
            improved = False
        else:
            improved = progress.best_loss is None or found.loss < progress.best_loss
        if improved:
            progress.best_loss, progress.best_step, progress.stale = found.loss, progress.step, 0
        elif progress.step:
            progress.stale += 1
        self._reports.write(
            "evaluated", step=progress.step, loss=found.loss, tokens=found.tokens, best=improved
        )
        return improved

    def _eta(self) -> float:
        left = self._course.steps - self.progress.step
        evaluations = left / self._evaluate_every if self._course.validation else 0.0
        return left * (self._step_seconds or 0.0) + evaluations * self._evaluation_seconds

    def _report_step(self, loss: float, rate: float, length: float) -> None:
        progress = self.progress
        self._reports.write(
            "step",
            step=progress.step,
            steps=self._course.steps,
            loss=loss,
            lr=rate,
            grad_norm=length,
            tokens=progress.tokens,
            seconds=progress.seconds,
            tokens_per_second=progress.tokens / progress.seconds if progress.seconds else 0.0,
            eta_seconds=self._eta(),
            memory=memory(self._passes.device),
        )
