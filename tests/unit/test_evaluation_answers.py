"""The parser of structured answers, its scores and the majority baseline."""

from __future__ import annotations

import pytest

from workbench.errors import BadInput
from workbench.evaluation.answers import (
    AnswerFormat,
    majority_answer,
    majority_baseline,
    score_answers,
)

TRIAGE = AnswerFormat.from_json(
    {
        "fields": [
            {"name": "URGENCY", "values": ["urgent", "routine"]},
            {"name": "DEPT", "values": ["cards", "loans", "cardiology"]},
            {"name": "NOTE"},
        ]
    }
)
RIGHT = "URGENCY: urgent | DEPT: loans | NOTE: call back"


def test_a_clean_answer_is_read() -> None:
    assert TRIAGE.parse(RIGHT) == {"URGENCY": "urgent", "DEPT": "loans", "NOTE": "call back"}
    assert TRIAGE.parse(" URGENCY:urgent|DEPT :loans |NOTE:  a: b \n") is not None


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "urgent",
        "URGENCY: urgent | DEPT: loans",
        "DEPT: loans | URGENCY: urgent | NOTE: x",
        "URGENCY: urgent | DEPT: loans | NOTE: x | NOTE: y",
        "Sure! URGENCY: urgent | DEPT: loans | NOTE: x",
        "URGENCY: high | DEPT: loans | NOTE: x",
        "URGENCY: Urgent | DEPT: loans | NOTE: x",
        "URGENCY: urgent | DEPT: | NOTE: x",
        "URGENCY: urgent | DEPT loans | NOTE: x",
        "urgency: urgent | DEPT: loans | NOTE: x",
    ],
)
def test_anything_else_does_not_meet_the_format(answer: str) -> None:
    assert TRIAGE.parse(answer) is None


def test_scores_count_fields_of_bad_answers_as_wrong() -> None:
    scores = score_answers(
        TRIAGE,
        [RIGHT, "no idea", "URGENCY: urgent | DEPT: cards | NOTE: call back"],
        [RIGHT, RIGHT, RIGHT],
    )
    assert scores.format_rate == pytest.approx(2 / 3)
    assert scores.field_accuracy == pytest.approx(5 / 9)
    assert scores.per_field == pytest.approx({"URGENCY": 2 / 3, "DEPT": 1 / 3, "NOTE": 2 / 3})
    assert scores.all_right == pytest.approx(1 / 3)


def test_the_majority_knows_training_only() -> None:
    training = [
        "URGENCY: urgent | DEPT: loans | NOTE: a",
        "URGENCY: routine | DEPT: loans | NOTE: b",
    ]
    assert majority_answer(TRIAGE, training) == "URGENCY: routine | DEPT: loans | NOTE: a"
    scores = majority_baseline(TRIAGE, training, [RIGHT])
    assert scores.format_rate == 1.0
    assert scores.per_field == {"URGENCY": 0.0, "DEPT": 1.0, "NOTE": 0.0}


def test_a_bad_reference_is_named_by_its_place_only() -> None:
    with pytest.raises(BadInput) as caught:
        score_answers(TRIAGE, [RIGHT, RIGHT], [RIGHT, "a secret note"])
    assert caught.value.code == "bad_reference"
    assert "secret" not in caught.value.message
    assert "1" in caught.value.message


@pytest.mark.parametrize("task", [{}, {"fields": []}, {"fields": [{"name": "A"}, {"name": "A"}]}])
def test_a_malformed_task_is_refused(task: dict[str, object]) -> None:
    with pytest.raises(BadInput):
        AnswerFormat.from_json(task)
