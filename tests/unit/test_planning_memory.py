"""The memory model against traced peaks of real models, and as a function of what is turned."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.errors import UsageError
from workbench.models.facts import ModelFacts, facts_from_config
from workbench.planning.memory import (
    FRAGMENTATION,
    MIB,
    Prediction,
    predict,
)
from workbench.planning.resident import targeted, trained_parameters, weight_bytes

# The published configurations, as far as sizes go.
LLAMA_8B = {
    "model_type": "llama",
    "hidden_size": 4096,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "intermediate_size": 14336,
    "vocab_size": 128256,
    "max_position_embeddings": 131072,
    "tie_word_embeddings": False,
}
LLAMA_70B = {
    **LLAMA_8B,
    "hidden_size": 8192,
    "num_hidden_layers": 80,
    "num_attention_heads": 64,
    "intermediate_size": 28672,
}
QWEN_7B = {
    "model_type": "qwen2",
    "hidden_size": 3584,
    "num_hidden_layers": 28,
    "num_attention_heads": 28,
    "num_key_value_heads": 4,
    "intermediate_size": 18944,
    "vocab_size": 152064,
    "max_position_embeddings": 32768,
    "tie_word_embeddings": False,
}
GEMMA_2B = {
    "model_type": "gemma2",
    "hidden_size": 2304,
    "num_hidden_layers": 26,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "head_dim": 256,
    "intermediate_size": 9216,
    "vocab_size": 256000,
    "max_position_embeddings": 8192,
}
CONFIGS = {"llama-8b": LLAMA_8B, "llama-70b": LLAMA_70B, "qwen-7b": QWEN_7B, "gemma-2b": GEMMA_2B}
FACTS = {name: facts_from_config(config) for name, config in CONFIGS.items()}


def llama(**turned: Any) -> Prediction:
    told: dict[str, Any] = {"method": "qlora", "rank": 16, "context": 2048, "micro_batch": 1}
    return predict(FACTS["llama-8b"], **{**told, **turned})


@pytest.mark.parametrize(
    ("micro_batch", "recomputed", "masked", "traced_mib"),
    [
        (1, 32, True, 7_251),
        (4, 32, True, 9_611),
        (1, 0, False, 13_640),
        (4, 0, False, 34_548),
    ],
)
def test_traced_peaks_of_llama_8b(
    micro_batch: int, recomputed: int, masked: bool, traced_mib: int
) -> None:
    """Rank 16, 32-bit Adam, rows of 2,048 tokens, traced with fake tensors."""
    predicted = llama(
        micro_batch=micro_batch,
        recomputed_layers=recomputed,
        masked=masked,
        optimizer="adamw",
    )
    assert predicted.allocated / MIB == pytest.approx(traced_mib, rel=0.03)


def test_weights_of_published_models() -> None:
    assert weight_bytes(FACTS["llama-8b"], "qlora") == pytest.approx(5.70e9, rel=0.002)
    # 70.55 billion parameters, of which 2.1 billion stay in 16 bit.
    assert weight_bytes(FACTS["llama-70b"], "qlora") == pytest.approx(39.5e9, rel=0.01)
    assert weight_bytes(FACTS["qwen-7b"], "qlora") == pytest.approx(5.55e9, rel=0.01)
    assert weight_bytes(FACTS["qwen-7b"], "lora") == 2 * FACTS["qwen-7b"].parameters
    assert weight_bytes(FACTS["qwen-7b"], "full") == 4 * FACTS["qwen-7b"].parameters


def test_nf4_costs_four_and_an_eighth_bit_a_parameter() -> None:
    facts = FACTS["llama-70b"]
    linear = facts.layers * sum(each.inputs * each.outputs for each in facts.linears)
    packed = weight_bytes(facts, "qlora") - 2 * (facts.parameters - linear)
    assert 8 * packed / linear == pytest.approx(4.127, abs=0.001)


def test_trained_parameters_of_llama_8b() -> None:
    assert trained_parameters(FACTS["llama-8b"], method="qlora", rank=16) == 41_943_040
    attention = ("q_proj", "k_proj", "v_proj", "o_proj")
    some = trained_parameters(FACTS["llama-8b"], method="lora", rank=16, targets=attention)
    assert some == 32 * 16 * (2 * 8192 + 2 * 5120)
    assert trained_parameters(FACTS["llama-8b"], method="full", rank=16) == 8_030_261_248


def test_a_24_gib_card_trains_8b_and_not_70b() -> None:
    assert llama(context=4096).total < 12 << 30
    huge = predict(FACTS["llama-70b"], method="qlora", rank=8, context=512, micro_batch=1)
    assert 36 << 30 < huge.total < 48 << 30


def test_full_fine_tuning_pays_for_weights_gradients_moments_and_the_largest_update() -> None:
    facts = FACTS["llama-8b"]
    full = predict(facts, method="full", rank=16, context=512, micro_batch=1)
    assert full.adapters == 0
    assert full.weights == full.gradients == 4 * facts.parameters
    # The update of the largest table: its value, moments and gradient stand a second time.
    table = facts.vocab * facts.hidden
    assert full.workspace == pytest.approx(10 * table, rel=0.01)
    assert full.total > 10 * facts.parameters  # 8-bit moments take 2


def test_components_of_the_contract_and_their_sum() -> None:
    plain = llama().to_json()
    assert set(plain) == {
        *("weights", "adapters", "gradients", "optimizer", "activations", "logits"),
        *("workspace", "overhead", "total"),
    }
    assert all(type(value) is int for value in plain.values())
    assert plain.pop("total") == sum(plain.values())


def test_options_cost_what_they_cost() -> None:
    plain = llama(recomputed_layers=0)
    assert llama(recomputed_layers=0, dropout=0.1).activations > plain.activations * 1.3
    assert llama(recomputed_layers=0, dora=True).activations > plain.activations
    assert llama(optimizer="adamw").optimizer == 8 * 41_943_040
    assert llama().optimizer < 86_000_000
    assert llama(compute_bytes=4).total > llama().total
    assert llama(device="cpu").overhead != llama().overhead


def test_soft_capped_attention_keeps_all_pairs() -> None:
    facts = FACTS["gemma-2b"]
    told: dict[str, Any] = {"method": "qlora", "rank": 8, "micro_batch": 1, "recomputed_layers": 0}
    short = predict(facts, context=1024, **told).activations
    long = predict(facts, context=4096, **told).activations
    assert long > 6 * short


def test_an_unknown_target_is_named_with_the_known_ones() -> None:
    with pytest.raises(UsageError) as caught:
        targeted(FACTS["llama-8b"], ("q_proj", "c_attn"))
    assert "c_attn" in caught.value.message
    assert "gate_proj" in caught.value.hint


def test_a_prediction_is_fast_enough_for_a_slider() -> None:
    began = time.process_time()
    for rank in range(1, 101):
        llama(rank=rank)
    assert time.process_time() - began < 0.5  # 5 ms each, on a machine that does other things


RUNS = st.fixed_dictionaries(
    {
        "method": st.sampled_from(["qlora", "lora", "full"]),
        "rank": st.integers(1, 256),
        "context": st.integers(16, 65_536),
        "micro_batch": st.integers(1, 64),
        "recomputed_layers": st.integers(0, 80),
        "optimizer": st.sampled_from(["paged_adamw_8bit", "adamw"]),
        "dropout": st.sampled_from([0.0, 0.1]),
        "dora": st.booleans(),
        "masked": st.booleans(),
        "compute_bytes": st.sampled_from([2, 4]),
    }
)
MODELS = st.sampled_from(list(FACTS.values()))


@settings(deadline=None)  # a busy machine is no failure
@given(MODELS, RUNS)
def test_no_component_is_negative_and_they_add_up(facts: ModelFacts, run: dict[str, Any]) -> None:
    plain = predict(facts, **run).to_json()
    assert min(plain.values()) >= 0
    assert plain.pop("total") == sum(plain.values())


@settings(deadline=None)  # a busy machine is no failure
@given(MODELS, RUNS, st.sampled_from(["rank", "context", "micro_batch"]), st.integers(1, 1000))
def test_more_of_anything_never_needs_less(
    facts: ModelFacts, run: dict[str, Any], turned: str, by: int
) -> None:
    before = predict(facts, **run)
    after = predict(facts, **{**run, turned: run[turned] + by})
    assert after.total >= before.total


@settings(deadline=None)  # a busy machine is no failure
@given(MODELS, RUNS, st.integers(1, 80))
def test_recomputing_more_layers_never_needs_more(
    facts: ModelFacts, run: dict[str, Any], by: int
) -> None:
    """But for the layer at work: its input and the masks are then kept besides.

    And for DoRA, whose work on a layer is done again when the gradients of those above are there.
    """
    before = predict(facts, **run)
    more = run["recomputed_layers"] + by
    after = predict(facts, **{**run, "recomputed_layers": more})
    tokens = run["context"] * run["micro_batch"]
    width = 4 if run["dora"] or run["method"] == "full" else run["compute_bytes"]
    one_input = width * facts.hidden * tokens + 4 * run["context"] * tokens
    one_input += after.gradients if run["dora"] else 0
    assert after.total <= before.total + (1 + FRAGMENTATION) * one_input + 1


@settings(deadline=None)  # a busy machine is no failure
@given(MODELS, RUNS)
def test_recomputing_all_layers_needs_fewer_activations(
    facts: ModelFacts, run: dict[str, Any]
) -> None:
    """Where there are enough tokens that the loss or a layer is the fullest moment at all."""
    run = {**run, "context": run["context"] + 2048}
    kept = predict(facts, **{**run, "recomputed_layers": 0})
    recomputed = predict(facts, **{**run, "recomputed_layers": None})
    if run["method"] == "full":  # whose update can be the fullest moment whatever the layers keep
        assert recomputed.total <= kept.total
    else:
        assert recomputed.activations < kept.activations


@settings(deadline=None)  # a busy machine is no failure
@given(MODELS, RUNS)
def test_four_bit_weights_need_less_than_sixteen(facts: ModelFacts, run: dict[str, Any]) -> None:
    small = predict(facts, **{**run, "method": "qlora"})
    assert small.weights < predict(facts, **{**run, "method": "lora"}).weights
