"""What card each method needs, and what a sample says of all records."""

from __future__ import annotations

import pytest

from tests.fixtures.fitting import CPU, LLAMA_8B
from workbench.models.facts import facts_from_config
from workbench.planning.budget import budget_of
from workbench.planning.cards import CARDS, needs, smallest
from workbench.planning.choosing import weigh
from workbench.planning.lengths import LengthSample
from workbench.planning.memory import predict
from workbench.planning.planner import DatasetLength, make_plan
from workbench.planning.probe import Hardware
from workbench.recipe import Recipe, parse

GIB = 1 << 30


def test_needs_are_the_least_that_the_memory_model_says() -> None:
    for need in needs(LLAMA_8B, Recipe(), DatasetLength(100, 50_000, 1500)):
        least = predict(
            LLAMA_8B,
            method=need.method,
            rank=16,
            context=need.context,
            micro_batch=1,
            offload=True,
        ).total
        assert need.context == 2048
        assert need.bytes == least
        assert need.card == smallest(least)


@pytest.mark.parametrize(
    "settings",
    [{}, {"rank": 64}, {"micro_batch": 4}, {"method": "qlora"}, {"offload": False}],
)
def test_the_planner_agrees_about_the_smallest_card(settings: dict[str, object]) -> None:
    recipe = parse({"context": 1024, **settings})
    for need in needs(LLAMA_8B, recipe):
        told = parse({**recipe.to_json(), "method": need.method})
        for card in CARDS:
            fits = make_plan(LLAMA_8B, card, recipe=told).choice is not None
            assert fits == (need.card is not None and card >= need.card), (need, card)


def test_no_card_is_large_enough() -> None:
    assert smallest(200 * GIB) is None
    assert smallest(budget_of(24 * GIB).usable_bytes) == 24 * GIB
    assert smallest(budget_of(24 * GIB).usable_bytes + 1) == 48 * GIB


def test_a_memory_limit_of_this_machine_does_not_count_for_cards() -> None:
    assert needs(LLAMA_8B, parse({"memory_limit": "1GiB"})) == needs(LLAMA_8B, Recipe())


def test_a_sample_speaks_for_all() -> None:
    sample = LengthSample(records=100, lengths=(10, 20, 30, 40), longest=90)
    assert sample.whole == DatasetLength(100, 2500, 90)
    assert not sample.is_exact
    assert sample.longer_than(20) == 50
    assert sample.longer_than(40) == 1, "the longest was met beside the sample"
    assert sample.longer_than(90) == 0
    assert LengthSample(4, (10, 20, 30, 40), 40).is_exact


def test_a_row_holds_several_short_records() -> None:
    lengths = DatasetLength(10, 1000, 300)
    assert lengths.in_row(1000) == pytest.approx(9)
    assert lengths.in_row(50) == 1


# The models that the QLoRA paper (arXiv 2305.14314) and Llama's later releases made the yardstick:
# hidden size, layers, heads, key-value heads, MLP width, vocabulary; and the card each trains on.
LADDER = {
    "7B": (4096, 32, 32, 32, 11008, 32000, 8),
    "8B": (4096, 32, 32, 8, 14336, 128256, 8),
    "13B": (5120, 40, 40, 40, 13824, 32000, 12),
    "33B": (6656, 60, 52, 52, 17920, 32000, 24),
    "65B": (8192, 80, 64, 64, 22016, 32000, 48),
    "70B": (8192, 80, 64, 8, 28672, 128256, 48),
}


@pytest.mark.parametrize("name", LADDER)
def test_the_ladder_of_the_literature_comes_out(name: str) -> None:
    hidden, layers, heads, kv_heads, mlp, vocab, card = LADDER[name]
    facts = facts_from_config(
        {
            "model_type": "llama",
            "hidden_size": hidden,
            "num_hidden_layers": layers,
            "num_attention_heads": heads,
            "num_key_value_heads": kv_heads,
            "intermediate_size": mlp,
            "vocab_size": vocab,
            "max_position_embeddings": 4096,
            "tie_word_embeddings": False,
        }
    )
    qlora = needs(facts, Recipe())[0]
    assert qlora.context == 2048
    assert qlora.card == card * GIB
    # What a shelf says of a model that this machine is too small for is the same.
    tiny = Hardware(CPU, ram_bytes=2 * GIB, available_bytes=2 * GIB)
    weighed = weigh(name, facts, tiny)
    assert not weighed.fits
    assert weighed.card == card * GIB
    assert weighed.lacking() == f"With rows of 2,048 tokens, it needs a card of {card} GB."
