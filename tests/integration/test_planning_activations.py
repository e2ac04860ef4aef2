"""Formula (4) of the memory model against what real layers keep for the backward pass.

A small Llama runs forward on the processor with the libraries that training uses; the storages
that autograd saved and still holds are added up. Two depths give the bytes of one layer.
"""

from __future__ import annotations

import functools
import weakref
from typing import Any, Literal

import pytest

from workbench.models.facts import ModelFacts, facts_from_config
from workbench.planning.memory import predict

CONTEXT = 320
CONFIG: dict[str, Any] = {
    "model_type": "llama",
    "hidden_size": 256,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 64,
    "intermediate_size": 768,
    "vocab_size": 512,
    "max_position_embeddings": 512,
    "tie_word_embeddings": True,
}


class _Saved:
    """A saved tensor; autograd drops it together with the part of the graph that needed it."""

    def __init__(self, tensor: Any) -> None:
        self.tensor = tensor


def _model(method: str, layers: int, dropout: float, dora: bool) -> Any:
    import torch
    from bitsandbytes.nn import Linear4bit
    from peft import LoraConfig, get_peft_model
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    told = {key: value for key, value in CONFIG.items() if key != "model_type"}
    config = LlamaConfig(num_hidden_layers=layers, **told)
    config._attn_implementation = "sdpa"
    model = LlamaForCausalLM(config).to(torch.bfloat16)
    if method == "qlora":
        for layer in model.model.layers:
            for part in (layer.self_attn, layer.mlp):
                for name, linear in list(part.named_children()):
                    if isinstance(linear, torch.nn.Linear):
                        packed = Linear4bit(
                            linear.in_features,
                            linear.out_features,
                            bias=False,
                            compute_dtype=torch.bfloat16,
                            quant_type="nf4",
                        )
                        packed.load_state_dict({"weight": linear.weight.data})
                        setattr(part, name, packed.to("cpu"))
    adapters = LoraConfig(
        r=16,
        target_modules="all-linear",
        lora_dropout=dropout,
        use_dora=dora,
        task_type="CAUSAL_LM",
    )
    return get_peft_model(model, adapters)


@functools.cache
def kept_bytes(method: str, layers: int, masked: bool, dropout: float, dora: bool) -> int:
    import torch

    model = _model(method, layers, dropout, dora)
    weights = {each.untyped_storage().data_ptr() for each in model.parameters()}
    saved: weakref.WeakSet[_Saved] = weakref.WeakSet()

    def pack(tensor: Any) -> _Saved:
        held = _Saved(tensor)
        saved.add(held)
        return held

    mask = torch.ones(1, 1, CONTEXT, CONTEXT, dtype=torch.bool).tril() if masked else None
    hooks = torch.autograd.graph.saved_tensors_hooks(pack, lambda held: held.tensor)
    with hooks, torch.autocast("cpu", dtype=torch.bfloat16):
        hidden = model.base_model.model.model(
            input_ids=torch.zeros(1, CONTEXT, dtype=torch.long),
            attention_mask=mask,
            use_cache=False,
        ).last_hidden_state
    storages = {
        held.tensor.untyped_storage().data_ptr(): held.tensor.untyped_storage().nbytes()
        for held in saved
    }
    del hidden
    return sum(size for pointer, size in storages.items() if pointer not in weights)


def facts(layers: int) -> ModelFacts:
    return facts_from_config({**CONFIG, "num_hidden_layers": layers})


@pytest.mark.parametrize("method", ["qlora", "lora"])
@pytest.mark.parametrize(
    ("masked", "dropout", "dora"),
    [(False, 0.0, False), (True, 0.0, False), (True, 0.1, False), (True, 0.0, True)],
)
def test_what_a_layer_keeps(
    method: Literal["qlora", "lora"], masked: bool, dropout: float, dora: bool
) -> None:
    shallow = kept_bytes(method, 2, masked, dropout, dora)
    deep = kept_bytes(method, 4, masked, dropout, dora)
    measured = (deep - shallow) / 2

    def predicted(layers: int) -> int:
        found = predict(
            facts(layers),
            method=method,
            rank=16,
            context=CONTEXT,
            micro_batch=1,
            device="cpu",
            recomputed_layers=0,
            masked=masked,
            dropout=dropout,
            dora=dora,
        )
        return found.activations + found.workspace

    assert (predicted(4) - predicted(2)) / 2 == pytest.approx(measured, rel=0.02)
