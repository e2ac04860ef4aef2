"""What the Fit step knows and works out: facts, the settings chosen so far, and the plan for them.

Nothing here draws or waits: `load_ground` and `measure` run in a thread, `look` is arithmetic and
takes a millisecond or two.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from workbench import recipe as recipes
from workbench.models.facts import ModelFacts
from workbench.planning.candidates import Candidate
from workbench.planning.lengths import LengthSample
from workbench.planning.planner import Plan, make_plan
from workbench.planning.probe import Hardware, probe_hardware
from workbench.recipe import FIELDS, Recipe
from workbench.runs.drafts import Draft
from workbench.runs.experience import with_experience

if TYPE_CHECKING:
    from workbench.tui.session import Tour
    from workbench.vault.store import Vault

# Powers of two, and one between each two.
_STEPS = sorted({each for power in range(1, 25) for each in (2**power, 3 * 2 ** (power - 1))})
_RANKS = tuple(each for each in _STEPS if each <= 256)
_ROWS = (1, *(each for each in _STEPS if each <= 32))
_LEAST_CONTEXT = 64


@dataclass(frozen=True)
class Ground:
    """What the choices stand on.

    Attributes:
        model: The base model's name, `dataset` the data's.
        settings: What is chosen to begin with, as recipe keys.
        lengths: How long the records are; None until they were measured.
        remark: What had to be changed in the settings, as a sentence.
    """

    model: str
    dataset: str
    facts: ModelFacts
    hardware: Hardware
    settings: dict[str, Any]
    lengths: LengthSample | None = None
    remark: str = ""


@dataclass(frozen=True)
class Outlook:
    """What comes of the settings.

    Attributes:
        plan: The planner's word on them.
        beside: The best of QLoRA, plain LoRA and full fine-tuning, in this order.
        candidate: What would be trained; where nothing fits, the smallest there is.
        card: Bytes of an imagined card; 0: this machine.
    """

    ground: Ground
    recipe: Recipe
    plan: Plan
    beside: tuple[Candidate, ...]
    candidate: Candidate
    card: int = 0

    @property
    def fits(self) -> bool:
        """Whether it can be trained."""
        return self.plan.choice is not None

    def on_this_machine(self, context: int) -> tuple[Candidate, ...]:
        """Return the best of each method here with a context that is not shortened."""
        fixed = dataclasses.replace(self.recipe, method="auto", context=context)
        lengths = self.ground.lengths
        return make_plan(
            self.ground.facts,
            self.ground.hardware,
            dataset=lengths.whole if lengths else None,
            recipe=fixed,
        ).candidates


def load_ground(vault: Vault, draft: Draft, tour: Tour | None) -> Ground:
    """Read the model's facts, look at the machine, and take the settings chosen before.

    Raises:
        NotFound: The model or the dataset is gone.
        BadInput: The model's facts are incomplete.
        RecipeError: The tour's recipe file is unusable.
    """
    from workbench.models.shelf import model_facts

    base = vault.catalogue.get("model", draft.model)
    data = vault.catalogue.get("dataset", draft.dataset)
    facts = model_facts(base)
    settings = dict(draft.settings)
    if not settings and tour is not None:
        settings = told(recipes.load(tour.recipe))
    hardware = with_experience(probe_hardware(), vault, base.object_id)
    settings, remark = _suited(settings, facts, hardware)
    return Ground(base.name, data.name, facts, hardware, settings, remark=remark)


def measure(vault: Vault, draft: Draft) -> LengthSample:
    """Return how long the dataset's records are for the model.

    Raises:
        NotFound: The model or the dataset is gone.
        BadInput: There is nothing to train on.
    """
    from workbench.runs.training import sample_lengths

    base = vault.catalogue.get("model", draft.model)
    return sample_lengths(vault, base, vault.catalogue.get("dataset", draft.dataset))


def worth_measuring(outlook: Outlook) -> bool:
    """Whether nobody has measured this machine, and the run is long enough for that to matter."""
    from workbench.runs.training import WORTH_MEASURING_SECONDS

    takes = outlook.candidate.seconds or 0.0
    return outlook.ground.hardware.rates is None and takes > WORTH_MEASURING_SECONDS


def known_speed(
    vault: Vault, draft: Draft, progress: Callable[[int, int, str], None]
) -> Hardware | None:
    """Measure how fast this machine trains; return it with the numbers, None where it failed."""
    from workbench.adapters.measuring import measure_once

    measure_once(vault, probe_hardware(), progress)
    known = with_experience(probe_hardware(), vault, draft.model)
    return known if known.rates is not None else None


def look(ground: Ground, settings: Mapping[str, Any], card: int = 0) -> Outlook:
    """Return what comes of `settings` here, or on a card of so many bytes.

    Raises:
        RecipeError: With every mistake in the settings.
        UsageError: They do not suit the model.
    """
    recipe = recipes.parse(settings)
    source = card or ground.hardware
    dataset = ground.lengths.whole if ground.lengths else None
    plan = make_plan(ground.facts, source, dataset=dataset, recipe=recipe)
    beside = plan
    if recipe.method != "auto":
        free = dataclasses.replace(recipe, method="auto")
        beside = make_plan(ground.facts, source, dataset=dataset, recipe=free)
    candidate = plan.chosen or min(plan.candidates, key=lambda each: each.predicted.total)
    return Outlook(ground, recipe, plan, beside.candidates, candidate, card)


def told(recipe: Recipe) -> dict[str, Any]:
    """Return the keys of a recipe that differ from their defaults, as plain values."""
    defaults = Recipe().to_json()
    return {key: value for key, value in recipe.to_json().items() if value != defaults[key]}


def with_value(settings: Mapping[str, Any], key: str, value: Any) -> dict[str, Any]:
    """Return `settings` with another value; a default is left out."""
    changed = {name: kept for name, kept in settings.items() if name != key}
    return changed if value == FIELDS[key].default else {**changed, key: value}


def ranks(settings: Mapping[str, Any]) -> list[int]:
    """Return the ranks to choose from, the present one among them."""
    return _with(_RANKS, settings.get("rank"))


def rows(settings: Mapping[str, Any]) -> list[int]:
    """Return the numbers of rows to choose from, the present one among them."""
    return _with(_ROWS, settings.get("micro_batch"))


def contexts(ground: Ground, settings: Mapping[str, Any]) -> list[int]:
    """Return the contexts to choose from: up to what the model reads and the data can fill."""
    most = ground.facts.context
    if ground.lengths is not None:
        data = ground.lengths.whole
        # A row may hold several short records, so more than the longest can be of use.
        useful = max(data.longest, 4 * data.mean)
        most = min(most, next(each for each in _STEPS if each >= useful))
    least = min(_LEAST_CONTEXT, most)
    return _with(
        [*(each for each in _STEPS if least <= each < most), most], settings.get("context")
    )


def _with(stops: Sequence[int], value: object) -> list[int]:
    return sorted({*stops, value} if type(value) is int else set(stops))


def _suited(
    settings: dict[str, Any], facts: ModelFacts, hardware: Hardware
) -> tuple[dict[str, Any], str]:
    """Take back what was chosen for another model or machine and cannot be for this one."""
    context, recomputed = settings.get("context"), settings.get("recompute")
    left, remarks = dict(settings), []
    if type(context) is int and context > facts.context:
        del left["context"]
        remarks.append(
            f"The context was {context:,} tokens, but this model reads at most "
            f"{facts.context:,}: it is automatic again."
        )
    if type(recomputed) is int and recomputed > facts.layers:
        del left["recompute"]
        remarks.append(
            f"{recomputed} layers were to be recomputed, but this model has {facts.layers}: the "
            "number is automatic again."
        )
    if settings.get("offload") is True and hardware.accelerator is None:
        del left["offload"]
        remarks.append("Offload was asked for, but there is no GPU here: it is automatic again.")
    return left, " ".join(remarks)
