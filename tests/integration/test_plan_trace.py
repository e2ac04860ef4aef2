"""`workbench plan --trace`: the engine's tracer as a locked-down child, beside the prediction."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from tests.fixtures.commands import Shell
from workbench.errors import BadInput
from workbench.models.facts import facts_from_config
from workbench.planning.planner import make_plan, settled
from workbench.planning.tracing import trace
from workbench.recipe import Recipe

CONFIG = {
    "model_type": "qwen3",
    "hidden_size": 1024,
    "num_hidden_layers": 2,
    "num_attention_heads": 16,
    "num_key_value_heads": 8,
    "intermediate_size": 3072,
    "vocab_size": 151_936,
    "max_position_embeddings": 32_768,
    "tie_word_embeddings": True,
}


def test_the_trace_stands_beside_the_prediction(tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    file.write_text(json.dumps(CONFIG))
    words = ("plan", "--config", file, "--memory", "4GiB", "--method", "qlora", "--trace")
    shell = Shell.at(tmp_path)
    code, printed, _ = shell.run(*words, "--json")
    traced = json.loads(printed)["trace"]
    assert code == 0
    assert sum(traced["parts"].values()) == traced["peak_bytes"] > traced["resident_bytes"] > 0
    assert max(traced["course"]) == traced["peak_bytes"]
    assert abs(traced["difference"]) < 0.02
    code, printed, _ = shell.run(*words)
    assert code == 0
    assert "PREDICTED" in printed
    assert "TRACED" in printed


def test_a_config_that_cannot_be_built_is_said_in_words() -> None:
    plan = make_plan(facts_from_config(CONFIG), 4 << 30, method="qlora")
    chosen = plan.chosen or plan.candidates[0]
    recipe = dataclasses.replace(settled(Recipe(), chosen), targets=("no_such_proj",))
    with pytest.raises(BadInput) as caught:
        trace(CONFIG, recipe, chosen, plan.budget)
    assert caught.value.hint
    broken = {**CONFIG, "rope_parameters": {"rope_type": "no such"}}
    with pytest.raises(BadInput) as caught:
        trace(broken, settled(Recipe(), chosen), chosen, plan.budget)
    assert caught.value.code == "trace_stopped"
