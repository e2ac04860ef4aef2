"""The formulas of the memory model against the tracer of the engine.

Real widths, three layers: seconds. The whole grid is tests/benchmarks/memory_grid.py.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.benchmarks import memory_grid
from workbench.models.facts import facts_from_config
from workbench.planning.memory import Prediction, predict

LAYERS = 3
# Of the total, and of the total less resident weights, which hide errors.
MOST_OF_TOTAL, MOST_OF_MOVING = 0.05, 0.10


def shallow(name: str) -> dict[str, Any]:
    return {**memory_grid.MODELS[name], "num_hidden_layers": LAYERS}


def both(config: dict[str, Any], device: Any = "cuda", **told: Any) -> tuple[Prediction, Any]:
    """Return what is predicted and what is traced of the same run."""
    import torch

    from workbench.engine.tracing import trace
    from workbench.recipe import parse

    usual: dict[str, Any] = {
        **{"method": "qlora", "rank": 16, "context": 1024, "micro_batch": 2, "recompute": 0},
        **told,
    }
    recipe = parse(usual)
    traced = trace(config, recipe, device=device, compute=torch.bfloat16, steps=1)
    predicted = predict(
        facts_from_config(config),
        method=usual["method"],
        rank=recipe.rank,
        context=int(recipe.context),
        micro_batch=int(recipe.micro_batch),
        recomputed_layers=int(recipe.recompute),
        optimizer=recipe.optimizer,
        dropout=recipe.dropout,
        dora=recipe.dora,
        targets=recipe.targets,
        device=device,
        offload=recipe.offload is True,
    )
    return predicted, traced


def agree(predicted: Prediction, traced: Any, moving: float = MOST_OF_MOVING) -> None:
    resident = traced.parts["weights"] + traced.parts.get("constants", 0)
    assert predicted.weights == pytest.approx(resident, rel=0.005)
    assert predicted.allocated == pytest.approx(traced.peak, rel=MOST_OF_TOTAL)
    assert predicted.allocated - predicted.weights == pytest.approx(
        traced.peak - resident, rel=moving
    )


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("llama-8b", {}),
        ("llama-70b", {"recompute": 3, "rank": 64}),
        ("mistral-7b", {"recompute": 1, "context": 4096}),
        ("qwen2-7b", {"recompute": 3, "optimizer": "adamw"}),
        ("qwen3-4b", {"rank": 256, "recompute": 3, "context": 512}),
        ("gemma2-2b", {"recompute": 2}),
        ("gemma3-1b", {"recompute": 3, "micro_batch": 8}),
        ("phi3-14b", {"recompute": 3}),
    ],
)
def test_a_card_needs_what_is_predicted(name: str, told: dict[str, Any]) -> None:
    agree(*both(shallow(name), **told))


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("llama-8b", {"recompute": 5, "context": 4096}),
        ("llama-70b", {"recompute": 5, "micro_batch": 4, "context": 2048}),
        ("gemma3-1b", {"recompute": 5, "rank": 256, "micro_batch": 1}),
        ("phi3-14b", {"recompute": 4, "rank": 64, "context": 4096}),
    ],
)
def test_offload_leaves_on_the_card_what_is_predicted(name: str, told: dict[str, Any]) -> None:
    config = {**memory_grid.MODELS[name], "num_hidden_layers": 5}
    predicted, traced = both(config, offload=True, **told)
    agree(predicted, traced)
    tokens = told.get("context", 1024) * told.get("micro_batch", 2)
    assert traced.elsewhere == told["recompute"] * tokens * 2 * config["hidden_size"]


@pytest.mark.parametrize(
    "told",
    [
        {"method": "lora"},
        {"dropout": 0.1},
        {"method": "lora", "dropout": 0.1},
        {"dora": True},
        {"targets": ("q_proj", "v_proj")},
    ],
)
def test_options_of_the_adapters_are_predicted(told: dict[str, Any]) -> None:
    agree(*both(shallow("llama-1b"), **told))


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("qwen2-0.5b", {}),
        ("qwen2-0.5b", {"context": 256, "micro_batch": 8}),
        ("llama-1b", {"recompute": 3}),
    ],
)
def test_a_processor_needs_what_is_predicted(name: str, told: dict[str, Any]) -> None:
    agree(*both(shallow(name), "cpu", **told))


@pytest.mark.slow
@pytest.mark.parametrize("point", memory_grid.sample(20), ids=lambda point: point.key)
def test_twenty_points_of_the_grid(point: memory_grid.Point) -> None:
    total, moving = memory_grid.errors(point, point.traced())
    assert abs(total) <= MOST_OF_TOTAL
    assert abs(moving) <= MOST_OF_MOVING
