"""What to train here: candidates that were laid against the memory, one choice, and the reasons."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from workbench.errors import UsageError
from workbench.models.facts import ModelFacts
from workbench.planning.advice import Advice, advise
from workbench.planning.budget import Budget, budget_of
from workbench.planning.candidates import Candidate, DatasetLength
from workbench.planning.memory import Method, predict, trained_parameters
from workbench.planning.pace import pace_of
from workbench.planning.probe import Hardware
from workbench.recipe import Recipe, parse
from workbench.wording import count

__all__ = ["Candidate", "DatasetLength", "Plan", "make_plan", "settled"]

METHODS: tuple[Method, ...] = ("qlora", "lora", "full")
# 16 teaches most tasks; 8 is for little memory, 64 for much and varied data.
RANKS = (8, 16, 64)
USUAL_RANK = 16
USUAL_CONTEXT = 2048
SMALLEST_CONTEXT = 256
# Examples that one optimizer step learns from.
STEP_EXAMPLES = 16
# Tokens of a micro-batch beyond which a device gets no faster.
_ENOUGH_TOKENS = {"cuda": 8192, "cpu": 2048}
# Plain LoRA fits "with room" when one row, nothing recomputed, takes at most this share.
ROOMY = 0.8
# A packed row should hold several records, or much of it stays empty.
_RECORDS_IN_ROW = 4


@dataclass(frozen=True)
class Plan:
    """Candidates, the index of the best that fits (None: nothing fits), and why.

    Attributes:
        recipe: What was asked for, before the choice settled it.
    """

    candidates: tuple[Candidate, ...]
    choice: int | None
    notes: tuple[Advice, ...]
    budget: Budget
    recipe: Recipe

    @property
    def advice(self) -> tuple[str, ...]:
        """The reasons in whole sentences, the most important first."""
        return tuple(note.text for note in self.notes)

    @property
    def chosen(self) -> Candidate | None:
        return None if self.choice is None else self.candidates[self.choice]

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values, as `workbench plan --json` prints them."""
        return {
            "candidates": [candidate.to_json() for candidate in self.candidates],
            "choice": self.choice,
            "advice": list(self.advice),
            "advice_codes": [note.code for note in self.notes],
            "device": self.budget.device,
            "budget_bytes": self.budget.usable_bytes,
        }


def make_plan(
    facts: ModelFacts,
    hardware: Hardware | int,
    *,
    dataset: DatasetLength | None = None,
    method: str | None = None,
    rank: int | None = None,
    context: int | None = None,
    micro_batch: int | None = None,
    recomputed_layers: int | None = None,
    recipe: Recipe | None = None,
) -> Plan:
    """Lay what a run may be against the memory; a few milliseconds.

    Args:
        hardware: This machine, or the bytes of an imagined CUDA card.
        dataset: Without it the context is a guess and no time is estimated.
        method: These five go over the recipe; None leaves it. Without a recipe several ranks are
            tried.

    Raises:
        UsageError: A value is out of range for a recipe or for this model.
    """
    told = {
        "method": method,
        "rank": rank,
        "context": context,
        "micro_batch": micro_batch,
        "recompute": recomputed_layers,
    }
    over = {key: value for key, value in told.items() if value is not None}
    ranks = RANKS if recipe is None and rank is None else None
    recipe = parse({**(recipe or Recipe()).to_json(), **over})
    _check_against(facts, recipe)
    budget = budget_of(hardware, recipe.memory_limit)
    search = _Search(facts, budget, recipe, dataset)
    methods = METHODS if recipe.method == "auto" else (recipe.method,)
    candidates = tuple(
        search.best(each, width)
        for each in methods
        for width in ((0,) if each == "full" else ranks or (recipe.rank,))
    )
    plain_bytes = search.comfortable_lora(recipe.rank)
    plain_has_room = plain_bytes <= ROOMY * budget.usable_bytes
    choice = _choose(candidates, plain_has_room)
    notes = advise(
        facts=facts,
        budget=budget,
        candidates=candidates,
        chosen=None if choice is None else candidates[choice],
        forced=recipe.method != "auto",
        plain_bytes=plain_bytes,
        plain_has_room=plain_has_room,
        dataset=dataset,
    )
    return Plan(candidates, choice, notes, budget, recipe)


def settled(recipe: Recipe, candidate: Candidate) -> Recipe:
    """Return the recipe with everything that the plan decides filled in."""
    return dataclasses.replace(
        recipe,
        method=candidate.method,
        rank=candidate.rank or recipe.rank,
        context=candidate.context,
        micro_batch=candidate.micro_batch,
        accumulate=candidate.accumulate,
        recompute=candidate.recomputed_layers,
    )


def _check_against(facts: ModelFacts, recipe: Recipe) -> None:
    if isinstance(recipe.context, int) and recipe.context > facts.context:
        raise UsageError(
            f"context: this model reads at most {facts.context} tokens, not {recipe.context}.",
            hint=f"Set context to {facts.context} or less.",
            code="context_too_long",
        )
    if isinstance(recipe.recompute, int) and recipe.recompute > facts.layers:
        raise UsageError(
            f"recompute: this model has {count(facts.layers, 'layer')}, so {recipe.recompute} "
            "cannot be recomputed.",
            hint=f"Give {facts.layers} or less, or `all`.",
            code="too_many_layers",
        )
    most = max(min(each.inputs, each.outputs) for each in facts.linears)
    if recipe.method != "full" and recipe.rank > most:
        raise UsageError(
            f"rank: the matrices of this model have at most rank {most}, so an adapter of rank "
            f"{recipe.rank} can do no more.",
            hint=f"Set rank to {most} or less; 8 to 64 are usual.",
            code="rank_too_large",
        )


def _choose(candidates: Sequence[Candidate], plain_has_room: bool) -> int | None:
    """Return the index of the best candidate that fits.

    Plain LoRA where it fits with room and reads as much, then QLoRA, then LoRA; full fine-tuning
    only where nothing else was asked for. Within a method: the longest context, the usual rank.
    """

    methods = {"qlora": 2, "lora": 3 if plain_has_room else 1, "full": 0}

    def merit(number: int) -> tuple[int, ...]:
        each = candidates[number]
        return (each.context, methods[each.method], -abs(each.rank - USUAL_RANK), -number)

    fitting = [number for number, each in enumerate(candidates) if each.fits]
    adapters = [number for number in fitting if candidates[number].method != "full"]
    return max(adapters or fitting, key=merit, default=None)


@dataclass(frozen=True)
class _Search:
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
                if (found := self._with_least_recomputation(method, rank, context, rows)).fits
            ]
            if fitting:
                return min(fitting, key=self._pace)
        rows = self._micro_batches(context)[0]
        return self._candidate(method, rank, context, rows, self._most_recomputed())

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

    def _usual_record(self, context: int) -> int | None:
        """Tokens of an average record, as attention on a processor rounds them up."""
        if self.dataset is None:
            return None
        return min(context, math.ceil(self.dataset.mean / 16) * 16)

    def _most_recomputed(self) -> int:
        told = self.recipe.recompute
        if isinstance(told, int):
            return told
        return 0 if told == "none" else self.facts.layers

    def _with_least_recomputation(
        self, method: Method, rank: int, context: int, rows: int
    ) -> Candidate:
        """Bisect for the fewest recomputed layers that fit; memory falls as they rise."""
        most = self._candidate(method, rank, context, rows, self._most_recomputed())
        if self.recipe.recompute != "auto" or not most.fits:
            return most
        low, high, best = 0, self.facts.layers, most
        while low < high:
            middle = (low + high) // 2
            tried = self._candidate(method, rank, context, rows, middle)
            if tried.fits:
                high, best = middle, tried
            else:
                low = middle + 1
        return best

    def _candidate(
        self, method: Method, rank: int, context: int, rows: int, recomputed: int
    ) -> Candidate:
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
            record=self._usual_record(context),
        )
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
            fits=predicted.total <= self.budget.usable_bytes,
            seconds=None,
            trained_parameters=trained_parameters(
                self.facts,
                method=method,
                rank=rank,
                targets=self.recipe.targets,
                dora=self.recipe.dora,
            ),
        )
        return dataclasses.replace(unpaced, seconds=self._seconds(unpaced))

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
