"""A review: prompts beside answers, figures without text, and what it cannot do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.finished import ADAPTER, SECRET, make_finished
from tests.fixtures.vaults import Original
from workbench.adapters import reviewing
from workbench.adapters.reviewing import SideBySide, held_out_split, review_run
from workbench.datasets.collection import page, remove_dataset
from workbench.errors import BadInput, NotFound
from workbench.vault.store import Vault


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Original:
    return make_finished(tmp_path_factory.mktemp("finished") / "home")


@pytest.fixture
def vault(original: Original, tmp_path: Path) -> Vault:
    return original.copy(tmp_path / "home")


def run_of(vault: Vault) -> str:
    return str(vault.catalogue.get("adapter", ADAPTER).record["run"])


def test_prompts_stand_beside_their_answers_and_figures_hold_no_text(
    vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, Any] = {}
    # Not the first records: the engine leaves out what is too long.
    records = page(vault, "notes", 2, 3, "test")

    def evaluate(vault: Vault, adapter: str, **told: Any) -> dict[str, Any]:
        asked.update(told)
        answers = {
            "references": [{"number": r.number, "text": r.messages[-1].content} for r in records],
            "base": [{"text": "No.", "ended": True}] * 3,
            "adapter": [
                {"text": f" {records[0].messages[-1].content.upper()} ", "ended": True},
                {"text": "and so on", "ended": False},
                {"text": "", "ended": True},
            ],
        }
        figures = {"loss": 1.0, "perplexity": 2.7, "confusion": {"labels": ["secret"]}}
        return {
            "base": {**figures, "loss": 4.0}, "adapter": dict(figures), "records": 3,
            "tokens": 30, "skipped": {}, "dataset": "notes", "split": "test", "answers": answers,
        }  # fmt: skip

    monkeypatch.setattr(reviewing, "evaluate", evaluate)
    review = review_run(vault, run_of(vault))
    assert [row.number for row in review.rows] == [record.number for record in records]
    for row, record in zip(review.rows, records, strict=True):
        assert row.prompt == record.messages[0].content
        assert SECRET in row.prompt
    assert [row.adapter_matches for row in review.rows] == [True, False, False]
    assert review.figures["adapter_matches"] == 1
    assert review.figures["facts"]["endless"] == 1
    assert review.confusion["adapter"] == {"labels": ["secret"]}
    told = json.dumps(review.figures)
    assert not any(word in told for word in (SECRET, "Book a visit", "secret"))
    assert asked["split"] == "test"
    assert asked["limit"] == reviewing.SCORED
    longest = max(len(record.messages[-1].content) for record in records)
    assert 24 <= asked["max_tokens"] <= longest + 16, "references decide how long an answer may be"


def test_several_turns_name_who_says_what() -> None:
    from workbench.datasets.records import Message, Record

    turns = (
        Message("system", "Be brief."), Message("user", "a"), Message("assistant", "b"),
        Message("user", "c"), Message("assistant", "d"),
    )  # fmt: skip
    prompt = reviewing._prompt(Record(0, turns, None))
    assert prompt == "system: Be brief.\nuser: a\nassistant: b\nuser: c"


def test_white_space_and_case_make_no_other_answer() -> None:
    row = SideBySide(0, "", "Act  now.", "act\nNOW.", "Act now")
    assert row.base_matches
    assert not row.adapter_matches


def test_the_split_that_was_held_out() -> None:
    assert held_out_split({"train": 9, "validation": 2, "test": 3}) == "test"
    assert held_out_split({"train": 9, "validation": 2, "test": 0}) == "validation"
    assert held_out_split({"train": 9, "validation": 0}) is None


def test_what_cannot_be_reviewed_is_told(vault: Vault, tmp_path: Path) -> None:
    with pytest.raises(NotFound) as unfinished:
        review_run(vault, "ru-0000000000000000")
    assert unfinished.value.code == "no_adapter_yet"
    remove_dataset(vault, "notes")
    with pytest.raises(NotFound) as gone:
        review_run(vault, run_of(vault))
    assert gone.value.code == "dataset_removed"
    other = make_finished(tmp_path / "all" / "home", splits={"test": 0.0})
    trained = other.copy(tmp_path / "copy")
    with pytest.raises(BadInput) as nothing:
        review_run(trained, run_of(trained))
    assert nothing.value.code == "nothing_held_out"
