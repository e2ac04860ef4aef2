"""The fastest run of one method and rank that fits: contexts, rows and recomputed layers tried."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from workbench.models.facts import ModelFacts
from workbench.planning.budget import Budget
from workbench.planning.candidates import Candidate, DatasetLength
from workbench.planning.elsewhere import HostNeed, disk_need, host_need, suits
from workbench.planning.memory import Method, Prediction, predict
from workbench.planning.pace import pace_of
from workbench.planning.resident import trained_parameters
from workbench.recipe import Recipe

USUAL_CONTEXT = 2048
SMALLEST_CONTEXT = 256
# Examples that one optimizer step learns from.
STEP_EXAMPLES = 16
# How much shorter a run with offload must be to be worth what it asks of main memory.
_WORTH_OFFLOAD = 1.03
# Tokens of a micro-batch beyond which a device gets no faster.
_ENOUGH_TOKENS = {"cuda": 8192, "cpu": 2048}
# A packed row should hold several records, or much of it stays empty.
_RECORDS_IN_ROW = 4


@dataclass(frozen=True)
class Search:
    """Finds the fastest run of one method and rank that fits."""

    facts: ModelFacts
    budget: Budget
    recipe: Recipe
    dataset: DatasetLength | None

    def comfortable_lora(self, rank: int) -> int:
        """Return the bytes of plain LoRA with one row, the wanted context, nothing recomputed."""
        context = self._contexts()[0]
        least = 0 if self.recipe.recompute == "auto" else self._most_recomputed()
        rows = self._micro_batches(context)[0]
        return self._candidate("lora", rank, context, rows, least).predicted.total

    def best(self, method: Any, rank: int) -> Candidate:
        """Return the fastest that fits at the longest context; the smallest of all if none does."""
        for context in self._contexts():
            fitting = [
                found
                for rows in self._micro_batches(context)
                for found in self._ways(method, rank, context, rows)
                if found.fits
            ]
            if fitting:
                return min(fitting, key=self._length)
        rows = self._micro_batches(context)[0]
        least = [
            self._candidate(method, rank, context, rows, self._most_recomputed(), offload)
            for offload in self._offloads()
        ]
        # What fits no device, or no main memory: the smaller need is the one to be told.
        return min(
            least,
            key=lambda each: (
                not suits(each.host, self.budget.host_bytes),
                each.predicted.total,
            ),
        )

    def _ways(self, method: Method, rank: int, context: int, rows: int) -> Iterator[Candidate]:
        """Yield the fewest recomputed layers that fit, without and with offload."""
        for offload in self._offloads():
            found = self._with_least_recomputation(method, rank, context, rows, offload)
            yield found
            if found.fits and not found.recomputed_layers:
                return  # nothing waits, so nothing can be gained

    def _offloads(self) -> tuple[bool, ...]:
        """Return whether inputs may stay on the device, and whether they may wait elsewhere."""
        told = self.recipe.offload
        if self.budget.device == "cpu" or not self._most_recomputed():
            return (False,)
        return (False, True) if told == "auto" else (told is True,)

    def _length(self, candidate: Candidate) -> float:
        return self._pace(candidate) * (_WORTH_OFFLOAD if candidate.offload else 1.0)

    def _contexts(self) -> list[int]:
        """The wanted context, then halves of it."""
        if isinstance(self.recipe.context, int):
            return [self.recipe.context]
        wanted = float(USUAL_CONTEXT)
        if self.dataset is not None:
            several = _RECORDS_IN_ROW * self.dataset.mean if self.recipe.packing else 0
            wanted = max(self.dataset.longest, several)
        contexts = [max(16, min(math.ceil(wanted / 64) * 64, self.facts.context))]
        while contexts[-1] // 2 >= SMALLEST_CONTEXT:
            contexts.append(contexts[-1] // 2)
        return contexts

    def _micro_batches(self, context: int) -> list[int]:
        if isinstance(self.recipe.micro_batch, int):
            return [self.recipe.micro_batch]
        most = _ENOUGH_TOKENS[self.budget.device] // context
        examples = self._examples_per_row(context)
        useful = 1.25 * STEP_EXAMPLES / examples
        return [1] + [rows for rows in (2, 4, 8, 16) if rows <= min(most, useful)]

    def _examples_per_row(self, context: int) -> float:
        if self.dataset is None or not self.recipe.packing:
            return 1.0
        return self.dataset.in_row(context)

    def _most_recomputed(self) -> int:
        told = self.recipe.recompute
        if isinstance(told, int):
            return told
        return 0 if told == "none" else self.facts.layers

    def _with_least_recomputation(
        self, method: Method, rank: int, context: int, rows: int, offload: bool
    ) -> Candidate:
        """Bisect for the fewest recomputed layers that fit; memory falls as they rise."""
        most = self._candidate(method, rank, context, rows, self._most_recomputed(), offload)
        if self.recipe.recompute != "auto" or not most.fits:
            return most
        low, high, best = 0, self.facts.layers, most
        while low < high:
            middle = (low + high) // 2
            tried = self._candidate(method, rank, context, rows, middle, offload)
            if tried.fits:
                high, best = middle, tried
            else:
                low = middle + 1
        return best

    def _candidate(
        self,
        method: Method,
        rank: int,
        context: int,
        rows: int,
        recomputed: int,
        offload: bool = False,
    ) -> Candidate:
        offload = offload and recomputed > 0
        predicted = predict(
            self.facts,
            method=method,
            rank=rank,
            context=context,
            micro_batch=rows,
            recomputed_layers=recomputed,
            optimizer=self.recipe.optimizer,
            targets=self.recipe.targets,
            dropout=self.recipe.dropout,
            dora=self.recipe.dora,
            device=self.budget.device,
            compute_bytes=self.budget.compute_bytes,
            record=self.dataset.usual_record(context) if self.dataset else None,
            offload=offload,
        )
        trained = trained_parameters(
            self.facts,
            method=method,
            rank=rank,
            targets=self.recipe.targets,
            dora=self.recipe.dora,
        )
        host = self._host(predicted, context * rows, recomputed * offload)
        accumulate = self.recipe.accumulate
        if not isinstance(accumulate, int):
            accumulate = max(1, round(STEP_EXAMPLES / (rows * self._examples_per_row(context))))
        unpaced = Candidate(
            method=method,
            rank=rank,
            context=context,
            micro_batch=rows,
            accumulate=accumulate,
            recomputed_layers=recomputed,
            optimizer=self.recipe.optimizer,
            predicted=predicted,
            fits=predicted.total <= self.budget.usable_bytes
            and suits(host, self.budget.host_bytes),
            seconds=None,
            trained_parameters=trained,
            offload=offload,
            host=host,
            disk_bytes=disk_need(method=method, trained=trained, moments=predicted.optimizer),
        )
        return dataclasses.replace(unpaced, seconds=self._seconds(unpaced))

    def _host(self, predicted: Prediction, tokens: int, waiting: int) -> HostNeed | None:
        if self.budget.device == "cpu":
            return None
        data = self.dataset
        return host_need(
            self.facts,
            tokens=tokens,
            waiting_layers=waiting,
            moments=predicted.optimizer,
            paged=self.recipe.optimizer.startswith("paged"),
            compute_bytes=self.budget.compute_bytes,
            dataset=(0, 0) if data is None else (data.records, data.tokens),
        )

    def _pace(self, candidate: Candidate) -> float:
        return pace_of(self.facts, self.budget, self.recipe, self.dataset, candidate)

    def _seconds(self, candidate: Candidate) -> float | None:
        if self.dataset is None or not self.budget.timed:
            return None
        tokens = self.recipe.epochs * self.dataset.tokens
        if self.recipe.max_steps:
            rows = candidate.micro_batch
            filled, _ = self.dataset.filled(candidate.context, rows, packing=self.recipe.packing)
            tokens = min(tokens, self.recipe.max_steps * candidate.accumulate * filled)
        return round(tokens * self._pace(candidate), 1)
