"""What to try: one rule at a time, and no advice for a sound run."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import pytest

from workbench.evaluation.advice import Facts, advise

SOUND = Facts(
    base_loss=4.0, adapter_loss=0.8, records=200, answers=40, endless=0, base_matches=1,
    adapter_matches=30, train_records=900, loss_first=4.1, loss_last=0.6, eval_best=0.8,
    eval_before=0.81, eval_last=0.8, best_step=90, steps=90, epochs=3.0, learning_rate=2e-4,
    rank=16, context=512,
)  # fmt: skip


def codes(**changes: Any) -> dict[str, str]:
    """Return rule to step for the sound run with other figures."""
    return {each.code: each.step for each in advise(replace(SOUND, **changes))}


def test_a_sound_run_gets_no_advice() -> None:
    assert codes() == {}
    assert codes(eval_best=None, eval_before=None, eval_last=None, loss_first=None) == {}


@pytest.mark.parametrize(
    ("changes", "code", "step"),
    [
        ({"loss_last": 6.0}, "diverged", "fit"),
        ({"adapter_loss": math.nan}, "diverged", "fit"),
        ({"skipped_steps": 9}, "diverged", "fit"),
        ({"left_out": 90, "too_long": 80}, "left_out", "fit"),
        ({"left_out": 90, "too_long": 2}, "left_out", "data"),
        ({"eval_last": 1.2, "best_step": 30}, "overfit", "fit"),
        ({"eval_last": 0.82, "eval_best": 0.8, "loss_last": 0.05}, "overfit", "data"),
        ({"train_records": 40}, "few_trained", "data"),
        ({"adapter_loss": 3.9}, "no_better", "fit"),
        ({"adapter_loss": 4.5}, "no_better", "fit"),
        ({"adapter_loss": 3.9, "base_matches": 35}, "no_better", "model"),
        ({"accuracy": 0.5, "majority": 0.5}, "guessing", "data"),
        ({"endless": 20}, "endless", "fit"),
        ({"eval_before": 1.2, "eval_last": 0.8}, "still_learning", "fit"),
        ({"stopped": True}, "stopped", "train"),
        ({"records": 8}, "few_held_out", "data"),
    ],
)
def test_each_rule_has_its_own_cause_and_step(
    changes: dict[str, Any], code: str, step: str
) -> None:
    assert codes(**changes) == {code: step}


def test_advice_names_figures_and_what_to_choose() -> None:
    (overfit,) = advise(replace(SOUND, eval_last=1.2, best_step=30))
    assert "from 0.80 to 1.20" in overfit.found
    assert "step 30" in overfit.found
    assert "1 instead of 3" in overfit.change
    (diverged,) = advise(replace(SOUND, loss_last=6.0, learning_rate=4e-4))
    assert "0.0001" in diverged.change
    (left_out,) = advise(replace(SOUND, left_out=90, too_long=90))
    assert "512 tokens" in left_out.change


def test_what_follows_from_divergence_is_not_advised() -> None:
    found = codes(loss_last=6.0, adapter_loss=9.0, eval_last=9.0, endless=40, records=8)
    assert found == {"diverged": "fit", "few_held_out": "data"}


def test_facts_survive_being_kept() -> None:
    told = json.loads(json.dumps(SOUND.to_json(), allow_nan=False))
    assert Facts.from_json({**told, "of_the_future": 1}) == SOUND
    broken = Facts.from_json(replace(SOUND, adapter_loss=math.nan).to_json())
    assert math.isnan(broken.adapter_loss)
    assert [each.code for each in advise(Facts.from_json({}))] == ["diverged", "few_held_out"]
