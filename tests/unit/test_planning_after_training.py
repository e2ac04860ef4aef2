"""What evaluations and exports need, and what cannot be done with the result of a run."""

from __future__ import annotations

import dataclasses

import pytest

from tests.fixtures.fitting import CPU, GIB, LLAMA_8B, WITH_GPU
from workbench.errors import DoesNotFit
from workbench.planning.after_training import (
    Trained,
    after_training,
    evaluation_need,
    export_need,
    require,
    unmanageable,
)
from workbench.planning.budget import Budget, budget_of
from workbench.planning.planner import make_plan
from workbench.planning.probe import Hardware
from workbench.recipe import parse

PROCESSOR = Budget("cpu", 256 * GIB, 250 * GIB)
QLORA = Trained.planned(LLAMA_8B, "qlora", 16)
# Weights of Llama 8B in 16 bits.
WHOLE = 2 * LLAMA_8B.parameters


def test_a_merge_is_fullest_where_the_merged_model_is_loaded() -> None:
    """The written model answers in 16 bits, however small the base was that it was trained on."""
    on_card = export_need(LLAMA_8B, QLORA, budget_of(WITH_GPU), merged=True)
    assert on_card.disk == WHOLE
    assert WHOLE < on_card.least < 1.2 * WHOLE
    alone = export_need(LLAMA_8B, QLORA, budget_of(WITH_GPU), merged=False)
    assert alone.least < 0.5 * on_card.least
    assert alone.disk == 4 * QLORA.parameters


def test_pages_that_are_read_once_need_not_be_free() -> None:
    alone = export_need(LLAMA_8B, QLORA, PROCESSOR, merged=False)
    assert alone.total - alone.least > WHOLE / 2, "the 16-bit files are read once, to be quantised"
    plain = export_need(LLAMA_8B, Trained.planned(LLAMA_8B, "lora", 16), PROCESSOR, merged=False)
    assert plain.least > WHOLE, "every pass reads them"


def test_answers_and_full_fine_tuning_take_more() -> None:
    scored = evaluation_need(LLAMA_8B, QLORA, PROCESSOR)
    assert evaluation_need(LLAMA_8B, QLORA, PROCESSOR, answer_tokens=64).total > scored.total
    full = evaluation_need(LLAMA_8B, Trained.planned(LLAMA_8B, "full", 0), PROCESSOR)
    assert full.least > 3 * WHOLE, "32 bits, and the base's 16 beside them"


def test_a_result_that_cannot_be_merged_here_is_told_before_the_training() -> None:
    recipe = parse({"method": "qlora", "context": 1024})
    plan = make_plan(LLAMA_8B, 12 * GIB, recipe=recipe)
    assert plan.chosen is not None
    codes = [note.code for note in unmanageable(LLAMA_8B, plan.chosen, plan.budget)]
    assert codes == ["merge_does_not_fit"]
    fits = {
        name: need["fits"]
        for name, need in after_training(LLAMA_8B, plan.chosen, plan.budget).items()
    }
    assert fits == {"evaluate": True, "merge": False, "export": True}
    roomy = make_plan(LLAMA_8B, 24 * GIB, recipe=recipe)
    assert roomy.chosen is not None
    assert unmanageable(LLAMA_8B, roomy.chosen, roomy.budget) == ()


def test_a_job_is_refused_before_it_starts() -> None:
    small = Hardware(CPU, ram_bytes=16 * GIB, available_bytes=6 * GIB)
    need = export_need(LLAMA_8B, QLORA, budget_of(small), merged=True)
    with pytest.raises(DoesNotFit) as refused:
        require(need, small, "The export")
    assert refused.value.code == "memory"
    assert "main memory and 6 GiB are free" in refused.value.message
    require(need, dataclasses.replace(small, available_bytes=200 * GIB), "The export")
