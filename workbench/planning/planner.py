"""What to train here: candidates that were laid against the memory, one choice, and the reasons."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from workbench.errors import UsageError
from workbench.models.facts import ModelFacts
from workbench.planning.advice import Advice, advise
from workbench.planning.budget import Budget, budget_of
from workbench.planning.candidates import Candidate, DatasetLength
from workbench.planning.memory import Method
from workbench.planning.probe import Hardware
from workbench.planning.searching import Search
from workbench.recipe import Recipe, parse
from workbench.wording import count

__all__ = ["Candidate", "DatasetLength", "Plan", "make_plan", "settled"]

METHODS: tuple[Method, ...] = ("qlora", "lora", "full")
# 16 teaches most tasks; 8 is for little memory, 64 for much and varied data.
RANKS = (8, 16, 64)
USUAL_RANK = 16
# Plain LoRA fits "with room" when one row, nothing recomputed, takes at most this share.
ROOMY = 0.8


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
    if recipe.offload is True and budget.device == "cpu":
        raise UsageError(
            "offload: training on a processor keeps everything in main memory as it is.",
            hint="Set offload to auto; only a run on a GPU has another memory to wait in.",
            code="offload_without_gpu",
        )
    search = Search(facts, budget, recipe, dataset)
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
        offload=candidate.offload,
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
