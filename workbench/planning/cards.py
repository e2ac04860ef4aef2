"""What card a model would need: the cards that are sold, and the smallest that each method fits."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from workbench.models.facts import ModelFacts
from workbench.planning.budget import budget_of
from workbench.planning.candidates import DatasetLength
from workbench.planning.memory import Method
from workbench.planning.planner import make_plan
from workbench.recipe import Recipe

GIB = 1 << 30
# From laptops to the largest accelerators of a workstation.
CARDS = tuple(each * GIB for each in (8, 12, 16, 24, 48, 80, 141))
# More than any card has: with it the planner shortens nothing.
_BOUNDLESS = 1 << 60


@dataclass(frozen=True)
class Need:
    """The least that a method needs at the wanted context.

    Attributes:
        context: Tokens of a row.
        bytes: The predicted total with one row, unless the recipe says more, and every layer
            recomputed with offload, unless it says less.
        card: The smallest of `CARDS` that this fits; None: none of them.
    """

    method: Method
    context: int
    bytes: int
    card: int | None


def needs(
    facts: ModelFacts, recipe: Recipe, dataset: DatasetLength | None = None
) -> tuple[Need, ...]:
    """Return what each method needs: QLoRA, plain LoRA, full fine-tuning.

    Raises:
        UsageError: A value of the recipe is out of range for this model.
    """
    least = dataclasses.replace(
        recipe,
        method="auto",
        memory_limit=0,
        micro_batch=1 if recipe.micro_batch == "auto" else recipe.micro_batch,
        recompute="all" if recipe.recompute == "auto" else recipe.recompute,
        offload=recipe.offload if recipe.offload != "auto" else recipe.recompute not in ("none", 0),
    )
    plan = make_plan(facts, _BOUNDLESS, dataset=dataset, recipe=least)
    return tuple(
        Need(each.method, each.context, each.predicted.total, smallest(each.predicted.total))
        for each in plan.candidates
    )


def card_name(card: int) -> str:
    """Return a card's size as it is sold."""
    return f"{card >> 30} GB"


def smallest(total: int) -> int | None:
    """Return the bytes of the smallest of `CARDS` on which a run of `total` bytes fits."""
    return next((card for card in CARDS if total <= budget_of(card).usable_bytes), None)
