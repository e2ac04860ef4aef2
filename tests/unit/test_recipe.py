"""The recipe: every key, every mistake at once, and the same values from file, flag and JSON."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.errors import UsageError
from workbench.recipe import FIELDS, Recipe, RecipeError, load, parse, parse_memory, parse_size

CONTRACT = [
    "method",
    "rank",
    "alpha",
    "dropout",
    "targets",
    "rslora",
    "dora",
    "context",
    "packing",
    "micro_batch",
    "accumulate",
    "epochs",
    "max_steps",
    "learning_rate",
    "schedule",
    "warmup",
    "weight_decay",
    "clip",
    "optimizer",
    "seed",
    "evaluate_every",
    "checkpoint_every",
    "early_stop",
    "recompute",
    "offload",
    "memory_limit",
    "threads",
    "loss_on",
]


def mistakes_of(told: str | dict[str, Any], sets: list[str] | None = None) -> dict[str, str]:
    with pytest.raises(RecipeError) as caught:
        parse(told, sets or [])
    assert caught.value.code == "bad_recipe"
    assert caught.value.exit_code == 2
    for mistake in caught.value.mistakes:
        assert str(mistake) in caught.value.message
    return {mistake.key: mistake.problem for mistake in caught.value.mistakes}


def test_the_keys_are_those_of_the_contract() -> None:
    assert sorted(FIELDS) == sorted(CONTRACT)


def test_defaults_are_valid_and_survive_json() -> None:
    recipe = parse({})
    assert recipe == Recipe()
    assert Recipe.from_json(json.loads(json.dumps(recipe.to_json()))) == recipe


@pytest.mark.parametrize("key", CONTRACT)
def test_every_key_explains_itself(key: str) -> None:
    field = FIELDS[key]
    assert field.key == key
    assert field.help.endswith(".")
    assert field.accepts
    assert getattr(Recipe(), key) == field.default


def test_every_mistake_is_reported_at_once_with_its_key() -> None:
    found = mistakes_of(
        'rank = 0\nlr = 1e-4\nschedule = "step"\npacking = 1\nzebra = 2\n'
        "targets = []\nepochs = nan",
        ["dropout=2", "offload=perhaps", "seed"],
    )
    assert set(found) == {
        *("rank", "lr", "schedule", "packing", "zebra", "targets"),
        *("epochs", "dropout", "offload", "seed"),
    }
    assert "did you mean learning_rate" in found["lr"]
    assert "did you mean" not in found["zebra"]
    assert found["rank"] == "give a whole number from 1 to 1024, not 0."
    assert found["schedule"] == "give cosine or linear or constant, not step."
    assert found["offload"] == "give auto or true or false, not perhaps."
    assert found["seed"] == "give it as key=value."


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [("learning-rate", "learning_rate"), ("epoch", "epochs"), ("lora_r", "rank")],
)
def test_a_near_miss_names_the_key_that_was_meant(wrong: str, meant: str) -> None:
    assert f"did you mean {meant}?" in mistakes_of({wrong: 1})[wrong]


def test_a_setting_goes_over_the_file_and_heals_its_mistake() -> None:
    recipe = parse("rank = 0\nalpha = 8", ["rank=64", "rank=32"])
    assert (recipe.rank, recipe.alpha) == (32, 8)


def test_settings_are_read_by_the_type_of_their_key() -> None:
    recipe = parse(
        {},
        [
            "targets=q_proj, v_proj",
            "packing=off",
            "context=2048",
            "recompute=all",
            "offload=on",
            "memory_limit=24GiB",
            "learning_rate=1e-4",
            "epochs=1",
            "method=qlora",
        ],
    )
    assert recipe.targets == ("q_proj", "v_proj")
    assert recipe.packing is False
    assert recipe.context == 2048
    assert recipe.recompute == "all"
    assert recipe.offload is True
    assert recipe.memory_limit == 24 << 30
    assert recipe.learning_rate == 1e-4
    assert recipe.epochs == 1.0
    assert isinstance(recipe.epochs, float)
    assert Recipe.from_json(json.loads(json.dumps(recipe.to_json()))) == recipe


@pytest.mark.parametrize(
    "told",
    [
        {"rank": True},
        {"rank": 16.0},
        {"rank": "sixteen"},
        {"rank": None},
        {"offload": 0},
        {"context": "none"},
        {"learning_rate": math.inf},
        {"learning_rate": True},
        {"targets": ["q_proj", "q_proj"]},
        {"targets": ["../q"]},
        {"targets": "q_proj"},
        {"memory_limit": -1},
        {"memory_limit": "much"},
        {"memory_limit": True},
    ],
)
def test_wrong_types_and_values_are_refused(told: dict[str, Any]) -> None:
    assert set(mistakes_of(told)) == set(told)


def test_what_cannot_go_together_is_refused() -> None:
    found = mistakes_of({"method": "full", "dora": True, "targets": ["q_proj"]})
    assert set(found) == {"dora", "targets"}
    assert set(mistakes_of({"offload": True, "recompute": "none"})) == {"offload"}
    assert set(mistakes_of({"early_stop": 2, "evaluate_every": 0})) == {"early_stop"}


def test_text_that_is_no_toml_is_one_mistake_without_a_key() -> None:
    assert set(mistakes_of("rank 16")) == {""}


@pytest.mark.parametrize("text", ["rank = " + "9" * 5000, "rank = " + "[" * 5000])
def test_hostile_toml_is_a_mistake_too(text: str) -> None:
    assert set(mistakes_of(text)) == {""}


def test_a_file_is_read_and_its_absence_is_a_mistake(tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text("rank = 8\n")
    assert load(path, ["alpha=4"]) == Recipe(rank=8, alpha=4)
    assert load(None) == Recipe()
    with pytest.raises(RecipeError, match="No such file"):
        load(tmp_path / "absent.toml")
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(RecipeError, match="not UTF-8"):
        load(path)
    path.write_bytes(b"#" * ((1 << 20) + 1))
    with pytest.raises(RecipeError, match="larger"):
        load(path)


def test_intervals() -> None:
    assert Recipe().interval("evaluate_every", 95) == 10
    assert Recipe().interval("evaluate_every", 3) == 1
    assert Recipe(checkpoint_every=7).interval("checkpoint_every", 95) == 7
    assert Recipe(evaluate_every=0).interval("evaluate_every", 95) == 95


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("24GiB", 24 << 30),
        ("24g", 24 << 30),
        ("24 GB", 24 << 30),
        ("1.5TiB", 3 << 39),
        ("800MiB", 800 << 20),
        ("4096", 4096),
        ("4096B", 4096),
        ("0", 0),
    ],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("24", "Did you mean 24GiB?"),
        ("24576", "Did you mean 24576MiB?"),
        ("25165824", "Did you mean 25165824KiB?"),
        ("24KiB", "Give it as 24GiB or 800MiB."),
        ("0", "Give it as 24GiB or 800MiB."),
    ],
)
def test_a_memory_without_its_unit_is_refused(text: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_memory(text)
    assert (caught.value.code, caught.value.hint) == ("bad_size", hint)
    if text != "0":
        assert hint in mistakes_of({}, [f"memory_limit={text}"])["memory_limit"]


def test_the_least_memory_and_none_at_all_are_kept() -> None:
    assert parse_memory("64MiB") == parse_memory(str(64 << 20)) == 64 << 20
    assert parse({"memory_limit": 64 << 20}).memory_limit == 64 << 20
    assert parse({"memory_limit": 0}).memory_limit == 0
    assert "Did you mean 24GiB?" in mistakes_of({"memory_limit": 24})["memory_limit"]


@pytest.mark.parametrize("text", ["", "GiB", "-1GiB", "24 gigs", "1e9", "٢٤GiB", "4iB"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_size(text)
    assert caught.value.code == "bad_size"


@settings(deadline=None)  # a busy machine is no failure
@given(
    st.dictionaries(
        st.sampled_from(CONTRACT) | st.text(max_size=12),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=50),
            lambda inner: (
                st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=2)
            ),
        ),
        max_size=6,
    ),
    st.lists(st.text(max_size=30), max_size=4),
)
def test_any_input_gives_a_recipe_or_its_mistakes(told: dict[str, Any], sets: list[str]) -> None:
    try:
        recipe = parse(told, sets)
    except RecipeError as error:
        reported = error.mistakes
    else:
        assert parse(recipe.to_json()) == recipe
        return
    assert reported
    assert all(len(str(mistake)) < 400 for mistake in reported)
