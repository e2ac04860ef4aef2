"""Our engine's part in the contest: its own loop, with the parts that a run's job puts together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.benchmarks.contest_settings import ALPHA, CLIP, OPTIMIZER, RANK, SEED, TARGETS
from tests.benchmarks.contest_watch import Told, device


class _Laps:
    """Takes the engine's events, of which the contest needs the ends of steps."""

    def __init__(self, told: Told) -> None:
        self._told = told
        self._tokens = 0

    def write(self, type: str, **values: Any) -> None:
        if type == "step":
            self._told.lap()
            self._told.tokens.append(values["tokens"] - self._tokens)
            self._tokens = values["tokens"]


class _NoRequests:
    def poll(self) -> list[Any]:
        return []


def train(told: Told) -> Mapping[str, Any]:
    """Train by the engine's own loop, with the parts that a run's job puts together."""
    from tests.fixtures.tiny import model_part
    from workbench.engine.batches import Example
    from workbench.engine.course import plan_course
    from workbench.engine.determinism import be_deterministic
    from workbench.engine.forward import Passes
    from workbench.engine.loading import load_base
    from workbench.engine.lora import adapter_tensors, attach_adapter
    from workbench.engine.optimizers import WeightUpdater
    from workbench.engine.steering import Steering
    from workbench.engine.training import Progress, Training

    be_deterministic()
    base = load_base(model_part(told.folder), method="qlora", device=device())
    told.is_loaded()
    examples = [Example.compact(*record) for record in told.records]
    recipe = recipe_of(told)
    course = plan_course(examples, [], recipe, pad_id=0)
    model = attach_adapter(base.model, recipe)
    updater = WeightUpdater(model, kind=OPTIMIZER, weight_decay=0.0)
    steering: Any = Steering(_NoRequests())
    training = Training(
        passes=Passes(model, base.device, base.compute),
        updater=updater,
        course=course,
        recipe=recipe,
        progress=Progress(1, 0),
        steering=steering,
        reports=_Laps(told),
        save=lambda _best: None,
        sample=lambda: None,
    )
    training.rehearse(lambda _work: told.threads)
    told.lap()
    training.run()
    told.is_trained()
    return adapter_tensors(model)


def recipe_of(told: Told) -> Any:
    """Return the recipe whose steps hold as many records, on average, as those of who pads."""
    from workbench.engine.batches import pack
    from workbench.recipe import Recipe

    mix = told.shape
    lengths = [len(ids) for ids, _ in told.records]
    rows = len(pack(lengths, mix.context, packing=True, seed=SEED))
    each = max(1, -(-rows // told.steps))
    return Recipe(
        method="qlora", rank=RANK, alpha=ALPHA, targets=TARGETS, context=mix.context,
        micro_batch=1, accumulate=each, epochs=1.0, learning_rate=told.rate,
        schedule="constant", warmup=0.0, clip=CLIP, optimizer=OPTIMIZER, seed=SEED,
        recompute="none", threads=told.threads,
    )  # fmt: skip
