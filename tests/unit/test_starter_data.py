"""The sample data: its blemishes, its answers, and what it keeps from fine-tuning."""

import csv
import importlib
import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "workbench" / "starter" / "data"


@pytest.fixture(scope="module")
def triage() -> Any:
    """The recipe's module; `packaging/starter` is no package of the product's."""
    sys.path.insert(0, str(ROOT / "packaging" / "starter"))
    try:
        return importlib.import_module("starter_recipe.triage")
    finally:
        sys.path.pop(0)


@pytest.fixture(scope="module")
def described() -> dict[str, Any]:
    path = ROOT / "workbench" / "starter" / "starter.json"
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def _good_rows(name: str) -> list[dict[str, str]]:
    rows: list[dict[str, str]] = []
    for line in (DATA / name).read_bytes().splitlines():
        try:
            row = json.loads(line.decode("utf-8"))
        except ValueError:
            continue
        if row.get("input") and row.get("output"):
            rows.append(row)
    return rows


def test_the_recipe_writes_the_committed_files(triage: Any, tmp_path: Path) -> None:
    triage.write_sample_data(tmp_path)
    for path in tmp_path.iterdir():
        assert path.read_bytes() == (DATA / path.name).read_bytes(), path.name


def test_blemishes_stand_where_the_description_says(described: dict[str, Any]) -> None:
    contents = described["data"]["contents"]
    blemishes = contents["triage.jsonl"]["blemishes"]
    lines = (DATA / "triage.jsonl").read_bytes().splitlines()
    good = contents["triage.jsonl"]["good_rows"]
    assert good + sum(map(len, blemishes.values())) == len(lines)
    with pytest.raises(UnicodeDecodeError):
        lines[blemishes["wrong_encoding"][0] - 1].decode("utf-8")
    with pytest.raises(json.JSONDecodeError):
        json.loads(lines[blemishes["torn"][0] - 1])
    for number in blemishes["duplicate"]:
        assert lines[number - 1] in lines[: number - 1]
    assert json.loads(lines[blemishes["empty_input"][0] - 1])["input"] == ""
    torn = (DATA / "triage_more.csv").read_bytes().splitlines()[-1]
    assert torn.count(b'"') % 2 == 1
    assert not torn.endswith(b"\n")


def test_there_are_enough_records_and_every_answer_is_of_the_format(
    described: dict[str, Any],
) -> None:
    rows = _good_rows("triage.jsonl")
    assert len({row["input"] for row in rows}) >= 600
    allowed = {field["name"]: field["values"] for field in described["task"]["fields"]}
    for row in rows + _good_rows("heldout_unseen.jsonl"):
        fields = dict(part.split(": ") for part in row["output"].split(" | "))
        assert list(fields) == list(allowed)
        assert all(fields[name] in allowed[name] for name in fields)


def test_no_unseen_key_word_is_in_the_fine_tuning_data(described: dict[str, Any]) -> None:
    text = "\n".join(
        (DATA / name).read_bytes().decode("latin-1") for name in ("triage.jsonl", "triage_more.csv")
    )
    keywords = described["data"]["unseen_keywords"]
    assert len(keywords) == 60
    leaked = [word for word in keywords if re.search(rf"\b{word}\b", text, re.IGNORECASE)]
    assert leaked == []


def test_no_held_out_note_is_in_the_fine_tuning_data() -> None:
    with (DATA / "triage_more.csv").open(encoding="latin-1", newline="") as stream:
        trained = {row["input"] for row in csv.DictReader(stream)}
    trained |= {row["input"] for row in _good_rows("triage.jsonl")}
    held_out = [row["input"] for row in _good_rows("heldout_unseen.jsonl")]
    assert len(set(held_out)) == len(held_out) == 120
    assert trained.isdisjoint(held_out)


def test_identifiers_cannot_be_real(described: dict[str, Any]) -> None:
    text = "".join(
        (DATA / name["path"][5:]).read_bytes().decode("latin-1")
        for name in described["data"]["files"]
    )
    assert set(re.findall(r"@[\w.]+\w", text)) == {"@example.org"}
    assert re.search(r"SSN 000-\d\d-\d{4}", text)
    assert not re.search(r"SSN (?!000)\d{3}", text)
    assert not re.search(r"IBAN (?!GB00 TEST)[A-Z]{2}\d", text)
    assert not re.search(r"mobile (?!555-01)", text)


def test_the_pretraining_text_never_shows_the_answer_format(triage: Any) -> None:
    corpus = importlib.import_module("starter_recipe.corpus")
    stream = corpus.documents(corpus.TRAINING_SEED)
    for _ in range(3000):
        document = next(stream)
        text = document.text or " ".join(message["content"] for message in document.messages)
        assert not re.search(r"\b(URGENCY|DEPT|ACTION):", text)
        assert triage.INSTRUCTION not in text
