"""Why a plan is what it is, number by number, and what the other ways would cost and gain."""

from __future__ import annotations

from collections.abc import Iterator

from workbench.models.facts import ModelFacts
from workbench.planning.candidates import Candidate, DatasetLength
from workbench.planning.pace import pace_of
from workbench.planning.planner import Plan
from workbench.recipe import Recipe
from workbench.wording import METHOD_NAMES, count, duration, size

_RANKS = {
    8: "for little memory or a narrow task",
    16: "enough for most tasks",
    64: "for much and varied data",
}
_PARTS = (
    ("weights", "the model's weights"),
    ("adapters", "the adapters"),
    ("gradients", "their gradients"),
    ("optimizer", "the optimizer's moments"),
    ("activations", "what layers keep for the backward pass"),
    ("logits", "the loss at work"),
    ("workspace", "short-lived copies"),
    ("overhead", "the process and its gaps"),
)
_HOST_PARTS = (
    ("process", "the program with CUDA's libraries"),
    ("loading", "weights on their way"),
    ("optimizer", "moments that may have to leave the GPU"),
    ("waiting", "what recomputed layers keep"),
    ("records", "the records"),
)
# Differences below these are within what is predicted.
_SAME_MEMORY, _SAME_PACE = 0.02, 0.05


def explain(facts: ModelFacts, plan: Plan, dataset: DatasetLength | None) -> tuple[str, ...]:
    """Return sentences on each number of the choice, then one on each alternative.

    Nothing where nothing fits: the plan's advice says what is missing.
    """
    chosen = plan.chosen
    if chosen is None:
        return ()
    return (
        *_about_choice(facts, chosen, plan.recipe, dataset),
        *(
            _beside(other, chosen, _longer(facts, plan, dataset, other, chosen), plan)
            for other in plan.candidates
            if other is not chosen
        ),
    )


def _about_choice(
    facts: ModelFacts, chosen: Candidate, recipe: Recipe, dataset: DatasetLength | None
) -> Iterator[str]:
    amounts = chosen.predicted.to_json()
    parts = [f"{name} {size(amounts[key])}" for key, name in _PARTS if amounts[key]]
    yield f"Memory at the fullest moment, {size(chosen.predicted.total)}: {', '.join(parts)}."
    if chosen.rank:
        why = _RANKS.get(chosen.rank, "as it was asked for")
        share = chosen.trained_parameters / facts.parameters
        yield (
            f"Rank {chosen.rank} trains {count(chosen.trained_parameters)} numbers, {share:.2%} of "
            f"the model's: {why}. A higher rank learns more and takes little more memory."
        )
    yield _about_context(chosen, recipe, dataset)
    in_step = chosen.micro_batch * chosen.accumulate
    yield (
        f"{count(chosen.micro_batch, 'row')} at a time, {count(chosen.accumulate, 'time')} for "
        f"each step: a step learns from {count(in_step, 'row')}. More rows at a time are faster "
        "until the device is busy, and take more memory."
    )
    if chosen.recomputed_layers:
        yield (
            f"{count(chosen.recomputed_layers, 'layer')} of {facts.layers} keep only their input "
            "and are computed again in the backward pass: as few as fit."
        )
    else:
        yield "No layer has to be computed again: everything that the backward pass needs fits."
    yield from _about_rest(chosen)


def _about_rest(chosen: Candidate) -> Iterator[str]:
    """Say what the run takes besides its device."""
    host = chosen.host
    if host is not None:
        amounts = host.to_json()
        parts = [f"{name} {size(amounts[key])}" for key, name in _HOST_PARTS if amounts[key]]
        yield f"Main memory beside the GPU, up to {size(host.total)}: {', '.join(parts)}."
    if chosen.offload:
        yield (
            "What recomputed layers keep waits there (offload): on the GPU it would leave less "
            "room, for a shorter row or more layers that are computed again."
        )
    yield f"Disk for checkpoints and the result: up to {size(chosen.disk_bytes)}."


def _about_context(chosen: Candidate, recipe: Recipe, dataset: DatasetLength | None) -> str:
    row = f"A row holds {chosen.context} tokens"
    if recipe.context != "auto":
        return f"{row}, as it was asked for."
    if dataset is None:
        return f"{row}: a guess, for no dataset was given."
    if chosen.context < dataset.longest:
        return f"{row}: the most that fits. The longest record has {count(dataset.longest)}."
    records = round(dataset.in_row(chosen.context))
    if recipe.packing and records > 1:
        return (
            f"{row}, about {count(records, 'record')}: packed side "
            "by side, records leave little of a row empty, and never see each other."
        )
    return f"{row}: the longest record fits."


def _longer(
    facts: ModelFacts,
    plan: Plan,
    dataset: DatasetLength | None,
    other: Candidate,
    chosen: Candidate,
) -> float:
    """Return how much longer than the choice the other way takes; 0.1: a tenth."""
    ours = pace_of(facts, plan.budget, plan.recipe, dataset, chosen)
    return pace_of(facts, plan.budget, plan.recipe, dataset, other) / ours - 1


def _beside(other: Candidate, chosen: Candidate, longer: float, plan: Plan) -> str:
    """Say what another way would cost and gain, against the choice."""
    named = METHOD_NAMES[other.method]
    name = named[0].upper() + named[1:] + (f" at rank {other.rank}" if other.rank else "")
    total = other.predicted.total
    if not other.fits and other.host is not None and total <= plan.budget.usable_bytes:
        needs, of = size(other.host.total), size(plan.budget.host_bytes or 0)
        return f"{name} does not fit: beside the GPU it needs {needs} of main memory; {of} may be."
    if not other.fits:
        over = total - plan.budget.usable_bytes
        return f"{name} does not fit: it needs {size(total)}, {size(over)} too much."
    told = [*_memory(total, chosen.predicted.total), *_time(other, longer)]
    if other.context != chosen.context:
        told.append(f"reads {other.context} tokens")
    if other.method != chosen.method:
        told.append(_METHODS[other.method])
    elif other.rank != chosen.rank:
        told.append("can learn more" if other.rank > chosen.rank else "can learn less")
    return f"{name}: {', '.join(told)}."


_METHODS = {
    "qlora": "rounds the base to 4 bit",
    "lora": "spares the rounding to 4 bit",
    "full": "changes every weight and gives a file as large as the model",
}


def _memory(total: int, ours: int) -> list[str]:
    if abs(total - ours) <= _SAME_MEMORY * ours:
        return ["the same memory"]
    return [f"{size(abs(total - ours))} {'more' if total > ours else 'less'}"]


def _time(other: Candidate, longer: float) -> list[str]:
    if abs(longer) <= _SAME_PACE:
        return ["the same time"]
    took = f" ({duration(other.seconds)})" if other.seconds else ""
    return [f"{abs(longer):.0%} {'longer' if longer > 0 else 'shorter'}{took}"]
