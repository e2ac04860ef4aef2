"""Kinds and columns are detected, or chosen by hand; what does not exist is a usage error."""

from __future__ import annotations

import pytest

from workbench.datasets.columns import choose_layout, missing_fields
from workbench.datasets.headers import looks_like_record
from workbench.errors import BadInput, UsageError


@pytest.mark.parametrize(
    ("headings", "kind", "columns"),
    [
        (["id", "messages"], "chat", {"messages": "messages"}),
        (["conversations", "system"], "chat", {"messages": "conversations", "system": "system"}),
        (
            ["instruction", "input", "output"],
            "instruction",
            {"instruction": "instruction", "input": "input", "output": "output"},
        ),
        (["Question", "Answer"], "completion", {"prompt": "Question", "completion": "Answer"}),
        (["prompt", "completion"], "completion", {"prompt": "prompt", "completion": "completion"}),
        (["Text", "Label"], "classification", {"text": "Text", "label": "Label"}),
        (["text", "date"], "text", {"text": "text"}),
        (["whatever"], "text", {"text": "whatever"}),
    ],
)
def test_detection(headings: list[str], kind: str, columns: dict[str, str]) -> None:
    layout = choose_layout(headings, "auto", {})
    assert (layout.kind, layout.columns) == (kind, columns)


def test_a_map_by_hand_decides_the_kind() -> None:
    layout = choose_layout(["a", "b", "text"], "auto", {"prompt": "a", "completion": "b"})
    assert (layout.kind, layout.columns) == ("completion", {"prompt": "a", "completion": "b"})
    layout = choose_layout(["a", "b"], "classification", {"text": "b", "label": "a"})
    assert layout.columns == {"text": "b", "label": "a"}


@pytest.mark.parametrize(
    ("kind", "mapping", "code"),
    [
        ("poems", {}, "bad_kind"),
        ("auto", {"colour": "a"}, "bad_map"),
        ("text", {"label": "a"}, "bad_map"),
        ("text", {"text": "missing"}, "bad_map"),
    ],
)
def test_usage_errors_say_what_is_possible(kind: str, mapping: dict[str, str], code: str) -> None:
    with pytest.raises(UsageError) as caught:
        choose_layout(["a", "b"], kind, mapping)
    assert caught.value.code == code
    assert caught.value.hint


def test_nothing_fits_without_telling_the_headings() -> None:
    # A file without a header has a record where the headings should be.
    with pytest.raises(BadInput) as caught:
        choose_layout(["Jane Doe", "1970-01-01"], "auto", {})
    assert caught.value.code == "kind_unknown"
    assert "Jane" not in caught.value.message + caught.value.hint


def test_what_is_still_missing_is_named() -> None:
    headings = ["Task", "Said"]
    assert missing_fields(headings, "instruction", {}) == ["output"]
    assert missing_fields(headings, "instruction", {"output": "Said"}) == []
    assert missing_fields(headings, "completion", {"prompt": "Task"}) == ["completion"]
    with pytest.raises(BadInput, match="No column is known for: completion"):
        choose_layout(headings, "auto", {"prompt": "Task"})


NOTES = ["The patient reports chest pain.", "A fall from a ladder, no fracture.", "Fever, cough."]


@pytest.mark.parametrize(
    ("first", "others", "alike"),
    [
        (["A rash on both arms since May.", "soon"], [[n, "later"] for n in NOTES], True),
        (["x", "soon"], [[NOTES[0], "soon"], [NOTES[1], "a"], [NOTES[2], "b"]], True),
        (["7", "x"], [["1", "y"], ["2.5", "z"], ["", "w"]], True),
        (["note", "urgency"], [[n, "soon"] for n in NOTES], False),
        (["text", "1"], [[n, "1"] for n in NOTES], False),
        (["2024", "2025"], [["up", "down"], ["down", "up"], ["up", "up"]], False),
        (["What brings you to the clinic today?", "id"], [["pain", "a"], ["", "b"], ["cut", "c"]],
         False),
        (["", "x"], [["", n] for n in NOTES], False),
        (["A rash on both arms since May."], [NOTES[:1]], False),
    ],
)  # fmt: skip
def test_a_first_line_that_looks_like_a_record(
    first: list[str], others: list[list[str]], alike: bool
) -> None:
    assert looks_like_record(first, others) is alike
