"""The planner's reasons, number by number."""

from __future__ import annotations

import pytest

from tests.fixtures.fitting import LLAMA_8B
from workbench.planning.candidates import DatasetLength
from workbench.planning.explaining import explain
from workbench.planning.planner import make_plan
from workbench.recipe import parse
from workbench.wording import size

GIB = 1 << 30
NOTES = DatasetLength(records=5_000, tokens=1_500_000, longest=1_900)


def test_every_number_of_the_choice_and_every_alternative_is_explained() -> None:
    plan = make_plan(LLAMA_8B, 24 * GIB, dataset=NOTES)
    assert plan.chosen is not None
    told = explain(LLAMA_8B, plan, NOTES)
    assert len(told) == 7 + len(plan.candidates) - 1
    memory, rank, context, rows, again, beside, disk = told[:7]
    assert size(plan.chosen.predicted.total) in memory
    assert size(plan.chosen.predicted.weights) in memory
    assert "Rank 16 trains 41,943,040 numbers, 0.52%" in rank
    assert f"A row holds {plan.chosen.context} tokens" in context
    assert f"{plan.chosen.micro_batch} row at a time" in rows
    assert "again" in again
    assert plan.chosen.host is not None
    assert size(plan.chosen.host.total) in beside
    assert size(plan.chosen.disk_bytes) in disk
    full = next(each for each in told if each.startswith("Full fine-tuning"))
    needs = next(each for each in plan.candidates if each.method == "full").predicted.total
    assert f"does not fit: it needs {size(needs)}, {size(needs - plan.budget.usable_bytes)}" in full
    wider = next(each for each in told if each.startswith("QLoRA at rank 64"))
    assert "GiB more" in wider
    assert "can learn more" in wider
    plain = next(each for each in told if each.startswith("Plain LoRA at rank 16"))
    assert "spares the rounding to 4 bit" in plain


@pytest.mark.parametrize(
    ("dataset", "context", "expected"),
    [
        (None, None, "a guess, for no dataset was given"),
        (NOTES, 1024, "as it was asked for"),
        (DatasetLength(1_000, 100_000, 120), None, "packed side by side"),
    ],
)
def test_the_context_has_its_reason(
    dataset: DatasetLength | None, context: int | None, expected: str
) -> None:
    plan = make_plan(LLAMA_8B, 80 * GIB, dataset=dataset, context=context)
    assert any(expected in each for each in explain(LLAMA_8B, plan, dataset)), expected


def test_rows_of_one_record_hold_the_longest() -> None:
    plan = make_plan(LLAMA_8B, 80 * GIB, dataset=NOTES, recipe=parse({"packing": False}))
    assert "A row holds 1920 tokens: the longest record fits." in explain(LLAMA_8B, plan, NOTES)


def test_recomputed_layers_are_counted() -> None:
    plan = make_plan(LLAMA_8B, 12 * GIB)
    assert plan.chosen is not None
    assert plan.chosen.recomputed_layers > 0
    told = explain(LLAMA_8B, plan, None)
    assert any(f"{plan.chosen.recomputed_layers} layers of 32 keep only" in each for each in told)


def test_where_nothing_fits_there_is_nothing_to_explain() -> None:
    assert explain(LLAMA_8B, make_plan(LLAMA_8B, 2 * GIB), None) == ()
