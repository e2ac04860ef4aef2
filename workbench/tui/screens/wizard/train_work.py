"""What the Train step does in the background: prepare, plan, start, enter the adapter."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from workbench.recipe import Recipe, parse
from workbench.runs.drafts import Draft, keep_draft
from workbench.runs.state import RunState
from workbench.wording import METHOD_NAMES, count, duration, size

if TYPE_CHECKING:
    from workbench.planning.nvidia_faults import Fault
    from workbench.planning.planner import Candidate
    from workbench.tui.session import Session, Tour

_UNNAMEABLE = re.compile(r"[^\w .+-]+")
_LONGEST_NAME = 80


@dataclass(frozen=True)
class Preparation:
    """What stands in the form before the start."""

    dataset: str
    model: str
    name: str


def start_run(session: Session, draft: Draft, name: str) -> Draft:
    """Start the run that a draft describes; return the draft with it, which is kept.

    Raises:
        WorkbenchError: As `start_training` and the recipe say.
    """
    from workbench.runs.training import start_training

    vault = session.vault
    started = start_training(
        vault, model=draft.model, dataset=draft.dataset, adapter=name,
        recipe=recipe_of(session.tour, draft),
    )  # fmt: skip
    # Kept at once: the terminal may be closed before the screen hears of it.
    with_run = draft.with_changes(run=started.run_id, adapter=name)
    keep_draft(vault, with_run)
    return with_run


def recipe_of(tour: Tour | None, draft: Draft) -> Recipe:
    """Return the recipe that was chosen; the demo brings its own, under what was changed in it.

    Raises:
        RecipeError: With every mistake at once.
    """
    base = tomllib.loads(tour.recipe.read_text("utf-8")) if tour is not None else {}
    return parse({**base, **draft.settings})


def free_name(wanted: str, taken: Iterable[str]) -> str:
    """Return `wanted` as a name that the library can take, numbered if it is there already."""
    name = _UNNAMEABLE.sub("-", wanted)[:_LONGEST_NAME].strip(" -.+") or "adapter"
    names = set(taken)
    found, number = name, 1
    while found in names:
        number += 1
        found = f"{name}-{number}"
    return found


def plan_words(model: str, dataset: str, plan: Candidate, fits: bool) -> str:
    """Return the plan in two sentences."""
    rank = f" of rank {plan.rank}" if plan.rank else ""
    first = (
        f"{model} will learn from {dataset} with {METHOD_NAMES[plan.method]}{rank}: "
        f"{count(plan.trained_parameters)} parameters are trained on records of up to "
        f"{count(plan.context)} tokens."
    )
    needs = f"That needs about {size(plan.predicted.total)} of memory"
    if not fits:
        return f"{first} {needs}, more than this machine has: step back to Fit."
    takes = f" and about {duration(plan.seconds)}" if plan.seconds else ""
    return f"{first} {needs}{takes}."


def ending_words(endings: Sequence[Fault]) -> list[str]:
    """Return what would end so long a run: the likeliest, and where the rest stands."""
    more = f" Doctor lists {len(endings) - 1} more." if len(endings) > 1 else ""
    return [f"▲ {each.text}{more}" for each in endings[:1]]


def prepare(session: Session, draft: Draft) -> Preparation:
    """Look up what was chosen; raises NotFound."""
    catalogue = session.vault.catalogue
    dataset = catalogue.get("dataset", draft.dataset).name
    model = catalogue.get("model", draft.model).name
    told = draft.adapter or (session.tour.adapter if session.tour else f"{dataset}-{model}")
    taken = [entry.name for entry in catalogue.entries("adapter")]
    return Preparation(dataset, model, free_name(told, taken))


def make_plan_for(session: Session, draft: Draft) -> tuple[Candidate, bool, tuple[Fault, ...]]:
    """Return the plan's choice or what comes nearest, whether it fits, and what would end it."""
    from workbench.models.shelf import model_facts
    from workbench.planning.overnight import warnings_for
    from workbench.planning.planner import make_plan
    from workbench.planning.probe import probe_hardware
    from workbench.runs.experience import with_experience
    from workbench.runs.training import measure_lengths

    catalogue = session.vault.catalogue
    base = catalogue.get("model", draft.model)
    data = catalogue.get("dataset", draft.dataset)
    plan = make_plan(
        model_facts(base),
        with_experience(probe_hardware(), session.vault, base.object_id),
        recipe=recipe_of(session.tour, draft),
        dataset=measure_lengths(session.vault, base, data),
    )  # fmt: skip
    chosen = plan.chosen
    if chosen is not None and chosen.fits:
        return chosen, True, warnings_for(chosen.seconds)
    return chosen or min(plan.candidates, key=lambda each: each.predicted.total), False, ()


def registered(session: Session, state: RunState) -> str:
    """Return the adapter's name in the library, entered now if nobody did; empty: none came."""
    from workbench.adapters.registration import register_finished

    register_finished(session.vault)
    wanted = state.objects.get("adapter", "")
    entries = session.vault.catalogue.entries("adapter")
    return next((entry.name for entry in entries if entry.object_id == wanted), "")
