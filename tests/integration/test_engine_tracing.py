"""The tracer against the real engine: the same ledger laid over a step with real tensors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

CONTEXT, ROWS, LAYERS = 320, 2, 3
SIZES: dict[str, Any] = {
    "hidden_size": 192,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 64,
    "intermediate_size": 448,
    "vocab_size": 1024,
    "max_position_embeddings": 512,
    "tie_word_embeddings": True,
    "pad_token_id": None,
    "bos_token_id": None,
    "eos_token_id": None,
}


def recipe_of(**told: Any) -> Any:
    from workbench.recipe import parse

    usual = {"method": "qlora", "rank": 8, "context": CONTEXT, "micro_batch": ROWS, "recompute": 0}
    return parse({**usual, **told})


def counted(folder: Path, recipe: Any) -> tuple[int, int]:
    """Return peak and rest of a real step on the processor, as the ledger counts them."""
    from tests.fixtures import tiny
    from workbench.engine import tracing
    from workbench.engine.forward import Passes, recompute_layers
    from workbench.engine.ledger import Ledger
    from workbench.engine.loading import load_base
    from workbench.engine.lora import attach_adapter
    from workbench.engine.optimizers import WeightUpdater

    base = load_base(tiny.model_part(folder), method=recipe.method)
    model: Any = base.model
    model = model.requires_grad_(True) if recipe.method == "full" else attach_adapter(model, recipe)
    model.train()
    recompute_layers(model, recipe.recompute)
    updater = WeightUpdater(model, kind=recipe.optimizer, weight_decay=0.0)
    batch = tracing.full_rows(CONTEXT, ROWS)
    ledger = Ledger(tracing.hidden, granularity=64)
    ledger.own("weights", [*model.parameters(), *model.buffers()])
    if recipe.method == "qlora":
        from workbench.engine.shadow import constants

        ledger.own("constants", constants(model))
    ledger.own("optimizer", updater.tensors().values())
    ledger.own("batch", (batch.ids, batch.positions, batch.predictors, batch.targets))
    with ledger:
        updater.forget()
        loss = Passes(model, base.device, base.compute).summed_loss(batch) / 10
        loss.backward()
        del loss
        updater.update(1e-4, updater.gradient_norm())
    return ledger.peak, ledger.live


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    import torch
    import transformers

    made = {}
    for family in ("llama", "qwen3", "gemma2"):
        torch.manual_seed(0)
        config = transformers.AutoConfig.for_model(family, **SIZES)
        made[family] = tmp_path_factory.mktemp(family)
        model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
        model.save_pretrained(made[family])
    return made


@pytest.mark.parametrize(
    ("family", "told"),
    [
        ("llama", {}),
        ("llama", {"recompute": LAYERS, "rank": 64}),
        ("llama", {"method": "lora", "recompute": 1}),
        ("llama", {"dropout": 0.1}),
        ("qwen3", {"recompute": 2, "optimizer": "adamw"}),
        ("gemma2", {}),
    ],
)
def test_the_trace_is_what_a_real_step_holds(
    folders: dict[str, Path], family: str, told: dict[str, Any]
) -> None:
    import json

    import torch

    from workbench.engine.loading import compute_dtype
    from workbench.engine.tracing import trace

    recipe = recipe_of(**told)
    config = json.loads((folders[family] / "config.json").read_text(encoding="utf-8"))
    peak, rest = counted(folders[family], recipe)
    compute = compute_dtype(torch.device("cpu"))
    traced = trace(config, recipe, device="cpu", compute=compute, packed=False, steps=1)
    assert traced.peak == pytest.approx(peak, rel=0.003)
    assert traced.resident == pytest.approx(rest, rel=0.003)
    assert sum(traced.parts.values()) == traced.peak
