"""Which base model to take here: QLoRA laid against this machine for each, and one recommended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from workbench.models.facts import ModelFacts
from workbench.planning.advice import Advice
from workbench.planning.budget import budget_of
from workbench.planning.cards import CARDS, card_name, needs
from workbench.planning.memory import Device
from workbench.planning.pace import Shape, seconds_per_token
from workbench.planning.planner import ROOMY, make_plan
from workbench.planning.probe import Hardware
from workbench.recipe import Recipe
from workbench.wording import duration, size

# Below this many parameters a model has hardly learnt its language: it shows how things work.
LEAST_USEFUL = 50_000_000
# Longer than this, and a person would rather take a smaller model.
_PATIENCE = 24 * 3600.0
# A record's length where no run has measured it with the model's tokenizer.
GUESSED_TOKENS = 256


@dataclass(frozen=True)
class Weighed:
    """QLoRA on one model, laid against this machine.

    Attributes:
        name: What the model is called.
        parameters: How large it is.
        needs: Bytes at the fullest moment of the thriftiest run.
        of: Bytes that a run may plan with.
        fits: Whether that suffices.
        seconds: Roughly how long a run takes; None without an amount of data or a known speed.
        card: Bytes of the smallest card that a usual run fits, rows of `context` tokens; None:
            none of those that are sold, or it fits here.
        crowded: Whether it does not fit only because others hold memory of this machine's card.
    """

    name: str
    parameters: int
    needs: int
    of: int
    fits: bool
    device: Device
    seconds: float | None = None
    card: int | None = None
    context: int = 0
    crowded: bool = False

    @property
    def has_room(self) -> bool:
        """Whether it fits with some memory to spare."""
        return self.fits and self.needs <= ROOMY * self.of

    @property
    def is_slow(self) -> bool:
        """Whether a run would take more than a day."""
        return self.seconds is not None and self.seconds > _PATIENCE

    @property
    def is_toy(self) -> bool:
        """Whether the model is too small for anything but trying things out."""
        return self.parameters < LEAST_USEFUL

    def to_json(self) -> dict[str, Any]:
        """Return what `workbench model list --json` says of it."""
        return {
            "fits": self.fits,
            "needs_bytes": self.needs,
            "of_bytes": self.of,
            "device": self.device,
            "card_bytes": self.card,
        }

    def lacking(self) -> str:
        """Say in a sentence what a model that does not fit would need; empty where it fits."""
        if self.fits:
            return ""
        if self.crowded:
            return "It would fit this card if other programs held none of it."
        rows = f"rows of {self.context:,} tokens"
        if self.card is None:
            return f"With {rows}, no card of {card_name(CARDS[-1])} or less holds it."
        return f"With {rows}, it needs a card of {card_name(self.card)}."


def weigh(name: str, facts: ModelFacts, hardware: Hardware, *, tokens: int = 0) -> Weighed:
    """Lay QLoRA on one model against this machine; a few milliseconds.

    Args:
        tokens: Tokens to train on, measured or guessed; 0: no time is estimated.
    """
    # What it must have; the planner's own proposal spends whatever is free on speed.
    least = make_plan(
        facts, hardware, method="qlora", micro_batch=1, recomputed_layers=facts.layers
    )
    needed = least.chosen or min(least.candidates, key=lambda each: each.predicted.total)
    plan = make_plan(facts, hardware, method="qlora")
    best, seconds = plan.chosen, None
    if best is not None and tokens and plan.budget.timed:
        row = float(best.context * best.micro_batch)
        pace = seconds_per_token(
            facts,
            plan.budget.rates,
            Shape(
                method=best.method,
                rank=best.rank,
                tokens=row,
                length=min(best.context, GUESSED_TOKENS),
                counted=row / 2,
                recomputed_layers=best.recomputed_layers,
            ),
            filled=row,
            accumulate=best.accumulate,
            dora=False,
        )
        seconds = pace * tokens * Recipe().epochs
    room_in_all = budget_of(plan.budget.total_bytes).usable_bytes
    needing = None if needed.fits else needs(facts, Recipe(method="qlora"))[0]
    return Weighed(
        name=name,
        parameters=facts.parameters,
        needs=needed.predicted.total,
        of=plan.budget.usable_bytes,
        fits=needed.fits,
        device=plan.budget.device,
        seconds=seconds,
        card=None if needing is None else needing.card,
        context=0 if needing is None else needing.context,
        crowded=not needed.fits
        and plan.budget.device == "cuda"
        and needed.predicted.total <= room_in_all,
    )


def recommend(weighed: Sequence[Weighed]) -> tuple[int, Advice] | None:
    """Return the index of the model to take and why, in a sentence; None where there is none.

    The largest that fits with room and trains within a day; else the least demanding that fits.
    One that is only for trying things out comes last of what fits.
    """
    if not weighed:
        return None
    good = [w for w in weighed if w.has_room and not w.is_slow and not w.is_toy]
    fitting = [w for w in weighed if w.fits and not w.is_toy]
    toys = [w for w in weighed if w.fits and w.is_toy]
    if good:
        best = max(good, key=lambda each: each.parameters)
        why = Advice("largest_with_room", _about_good(best, alone=len(good) == 1))
    elif fitting:
        best = min(fitting, key=lambda each: (each.is_slow, each.needs))
        why = _about_grudging(best)
    elif toys:
        best = max(toys, key=lambda each: each.parameters)
        why = Advice(
            "only_for_trying",
            f"{best.name} fits, but it is so small that it is only for trying things out. "
            "For real work add the folder of a larger model.",
        )
    else:
        best = min(weighed, key=lambda each: each.needs)
        why = Advice(
            "nothing_fits",
            f"None fits in the {size(best.of)} that are free here; {best.name} needs least, "
            f"{size(best.needs)}. Add a smaller model, or close other programs.",
        )
    return list(weighed).index(best), why


def _about_good(best: Weighed, *, alone: bool) -> str:
    which = "it fits" if alone else "the largest that fits"
    return f"{best.name} is recommended: {which} with room to spare."


def _about_grudging(best: Weighed) -> Advice:
    if best.is_slow:
        took = duration(best.seconds or 0)
        return Advice(
            "fits_slowly",
            f"{best.name} fits, but training is slow here: roughly {took} for this data. "
            "A smaller model or a faster device would help.",
        )
    return Advice(
        "fits_tightly",
        f"{best.name} fits, but only just; close other programs before you train.",
    )
