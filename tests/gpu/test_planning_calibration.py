"""The prediction against what CUDA's allocator measures, on a mid-sized model of random weights.

Without a GPU the same step runs once on the processor, so that the test itself stays sound.
"""

from __future__ import annotations

import hashlib
import json
import random
from pathlib import Path
from typing import Any, Literal

import pytest

from workbench.models.facts import facts_from_config
from workbench.planning.memory import Prediction, predict
from workbench.recipe import parse

CONTEXT, ROWS = 1024, 2
CONFIG: dict[str, Any] = {
    "vocab_size": 32_000,
    "hidden_size": 1024,
    "intermediate_size": 2816,
    "num_hidden_layers": 8,
    "num_attention_heads": 16,
    "num_key_value_heads": 8,
    "max_position_embeddings": 2048,
    "tie_word_embeddings": False,
}
TINY: dict[str, Any] = {**CONFIG, "vocab_size": 512, "hidden_size": 256, "num_hidden_layers": 2}

Method = Literal["qlora", "lora", "full"]


def write_model(folder: Path, config: dict[str, Any]) -> dict[str, Any]:
    """Save random weights and return what a job's specification says of them."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    LlamaForCausalLM(LlamaConfig(**config)).to(torch.bfloat16).save_pretrained(folder)
    names = [path.name for path in folder.iterdir()]
    files = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names}
    return {"folder": str(folder), "files": files}


def train_two_steps(model: dict[str, Any], device: str, context: int, told: dict[str, Any]) -> int:
    """Run two whole steps as the engine does; return the allocator's peak (0 on a processor)."""
    import torch

    from workbench.engine.batches import Example, make_batch
    from workbench.engine.forward import Passes, recompute_layers
    from workbench.engine.loading import load_base
    from workbench.engine.lora import attach_adapter
    from workbench.engine.optimizers import WeightUpdater

    recipe = parse(told)
    method: Any = recipe.method
    base = load_base(model, method=method, device=device)
    if method == "full":
        trained: Any = base.model.requires_grad_(True)
    else:
        trained = attach_adapter(base.model, recipe).to(device)
    trained.train()
    recompute_layers(trained, int(recipe.recompute))
    updater = WeightUpdater(trained, kind=recipe.optimizer, weight_decay=0.0)
    passes = Passes(trained, base.device, base.compute)
    draw = random.Random(0)
    ids = tuple(draw.randrange(500) for _ in range(context))
    batch = make_batch([[Example(ids, (True,) * context)]] * ROWS, pad_id=0)
    if device != "cpu":
        torch.cuda.reset_peak_memory_stats()
    for _ in range(2):
        passes.summed_loss(batch).backward()
        updater.update(1e-4)
    return 0 if device == "cpu" else int(torch.cuda.max_memory_allocated())


def prediction(config: dict[str, Any], method: Method, recomputed: int) -> Prediction:
    return predict(
        facts_from_config({"model_type": "llama", **config}),
        method=method,
        rank=16,
        context=CONTEXT,
        micro_batch=ROWS,
        recomputed_layers=recomputed,
        optimizer="adamw_8bit",
    )


def recipe_of(method: Method, recomputed: int) -> dict[str, Any]:
    return {"method": method, "recompute": recomputed, "optimizer": "adamw_8bit"}


@pytest.mark.gpu
@pytest.mark.parametrize("method", ["qlora", "lora", "full"])
@pytest.mark.parametrize("recomputed", [0, 4, 8])
def test_the_allocators_peak_is_predicted(tmp_path: Path, method: Method, recomputed: int) -> None:
    import torch

    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device; there is none")
    model = write_model(tmp_path / "model", CONFIG)
    measured = train_two_steps(model, "cuda:0", CONTEXT, recipe_of(method, recomputed))
    predicted = prediction(CONFIG, method, recomputed).allocated
    components = json.dumps(prediction(CONFIG, method, recomputed).to_json())
    # Too little is an interrupted run; too much only wastes room.
    assert 0.95 * measured <= predicted <= 1.25 * measured, (measured, components)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["qlora", "lora", "full"])
def test_the_step_that_is_measured_runs(tmp_path: Path, method: Method) -> None:
    model = write_model(tmp_path / "model", TINY)
    assert train_two_steps(model, "cpu", 64, recipe_of(method, 1)) == 0
