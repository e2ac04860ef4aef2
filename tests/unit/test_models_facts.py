"""Facts derived from a config are those of the real model classes."""

from __future__ import annotations

import os
from typing import Any

import pytest

from workbench.errors import BadInput
from workbench.models.facts import ModelFacts, facts_from_config, module_path, tensor_shapes

SMALL: dict[str, Any] = {
    "hidden_size": 48,
    "intermediate_size": 80,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 96,
    "max_position_embeddings": 128,
}
CASES: dict[str, dict[str, Any]] = {
    "llama": {"model_type": "llama"},
    "llama-tied": {"model_type": "llama", "tie_word_embeddings": True},
    "llama-biased": {"model_type": "llama", "attention_bias": True, "mlp_bias": True},
    "llama-wide-heads": {"model_type": "llama", "head_dim": 32},
    "llama-no-groups": {"model_type": "llama", "num_key_value_heads": None},
    "mistral": {"model_type": "mistral", "head_dim": 16},
    "qwen2": {"model_type": "qwen2"},
    "qwen2-tied": {"model_type": "qwen2", "tie_word_embeddings": True},
    "qwen3": {"model_type": "qwen3", "head_dim": 16},
    "qwen3-default-head": {"model_type": "qwen3"},
    "qwen3-biased": {"model_type": "qwen3", "head_dim": 16, "attention_bias": True},
    "gemma2": {"model_type": "gemma2", "head_dim": 16},
    "gemma2-default-head": {"model_type": "gemma2"},
    "gemma3": {"model_type": "gemma3_text", "head_dim": 16},
    "gemma3-untied": {"model_type": "gemma3_text", "tie_word_embeddings": False},
    "phi3": {"model_type": "phi3", "pad_token_id": 0, "eos_token_id": 1},
    "phi3-groups": {"model_type": "phi3", "pad_token_id": 0, "num_key_value_heads": 1},
}


def real_shapes(config: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    """The parameters of the real class, built without memory on the meta device."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    plain = {key: value for key, value in config.items() if key != "model_type"}
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(
            AutoConfig.for_model(config["model_type"], **plain)
        )
    return {name: tuple(weight.shape) for name, weight in model.named_parameters()}


@pytest.mark.parametrize("case", CASES)
def test_facts_equal_the_real_model(case: str) -> None:
    config = SMALL | CASES[case]
    facts = facts_from_config(config)
    real = real_shapes(config)
    assert tensor_shapes(facts) == real
    sizes = [_product(shape) for shape in real.values()]
    assert facts.parameters == sum(sizes)
    linears = {
        f"{module_path(linear.name)}.weight": (linear.outputs, linear.inputs)
        for linear in facts.linears
    }
    first = "model.layers.0."
    layer = {name.removeprefix(first): s for name, s in real.items() if name.startswith(first)}
    assert linears == {name: s for name, s in layer.items() if len(s) == 2}
    assert facts.norms == sum(_product(s) for name, s in layer.items() if "norm" in name)


def _product(shape: tuple[int, ...]) -> int:
    total = 1
    for side in shape:
        total *= side
    return total


def test_published_sizes_are_met() -> None:
    llama_8b = {
        "model_type": "llama",
        "hidden_size": 4096,
        "intermediate_size": 14336,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "vocab_size": 128256,
        "max_position_embeddings": 8192,
    }
    assert facts_from_config(llama_8b).parameters == 8_030_261_248


def test_facts_survive_json() -> None:
    facts = facts_from_config(SMALL | CASES["qwen3"])
    assert ModelFacts.from_json(facts.to_json()) == facts
    with pytest.raises(BadInput):
        ModelFacts.from_json({"family": "llama"})


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"model_type": "gpt2"}, "unknown_family"),
        ({"model_type": "roberta"}, "encoder_family"),
        ({"model_type": ["llama"]}, "unknown_family"),
        ({"model_type": None}, "unknown_family"),
        ({"model_type": "gemma3"}, "multimodal_model"),
        ({"hidden_size": None}, "bad_config"),
        ({"hidden_size": "48"}, "bad_config"),
        ({"hidden_size": True}, "bad_config"),
        ({"hidden_size": 48.0}, "bad_config"),
        ({"hidden_size": 50}, "bad_config"),
        ({"num_hidden_layers": 10**12}, "bad_config"),
        ({"num_key_value_heads": 3}, "bad_config"),
        ({"vocab_size": 0}, "bad_config"),
        ({"vocab_size": -1}, "bad_config"),
        ({"tie_word_embeddings": 1}, "bad_config"),
    ],
)
def test_impossible_configs_are_refused(change: dict[str, Any], code: str) -> None:
    with pytest.raises(BadInput) as refusal:
        facts_from_config(SMALL | {"model_type": "llama"} | change)
    assert refusal.value.code == code
