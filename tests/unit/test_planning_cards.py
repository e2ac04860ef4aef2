"""What card each method needs, and what a sample says of all records."""

from __future__ import annotations

import pytest

from tests.fixtures.fitting import LLAMA_8B
from workbench.planning.budget import budget_of
from workbench.planning.cards import CARDS, needs, smallest
from workbench.planning.lengths import LengthSample
from workbench.planning.memory import predict
from workbench.planning.planner import DatasetLength, make_plan
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
