"""A look at files before they are imported says what the import will do."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path

import pytest

from tests.fixtures.vaults import make_original
from workbench.datasets import peeking
from workbench.datasets.collection import sample
from workbench.datasets.importing import import_files
from workbench.datasets.peeking import peek
from workbench.errors import BadInput, UsageError

STARTER = Path(str(resources.files("workbench.starter"))) / "data"


def lines(path: Path, records: list[object]) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def test_what_is_seen_is_what_is_imported(tmp_path: Path) -> None:
    files = [STARTER / "triage.jsonl", STARTER / "triage_more.csv"]
    seen = peek(files)
    report = import_files(make_original(tmp_path / "home").copy(tmp_path / "c"), files, "triage")
    assert seen.whole
    assert (seen.kind, seen.columns) == (report.kind, report.columns)
    assert (seen.taken, seen.duplicates) == (report.rows, report.duplicates)
    assert seen.rejected_by_code == report.rejected_by_code
    assert sorted(seen.rejects, key=str) == sorted(report.rejects, key=str)
    assert seen.sensitive == report.sensitive
    assert [file.name for file in seen.files] == ["triage.jsonl", "triage_more.csv"]
    assert [record.number for record in seen.records] == [0, 1, 2, 3, 4]
    assert seen.records[0].messages[1].content.startswith("URGENCY")
    assert seen.looked == seen.taken + seen.duplicates + len(seen.rejects)


def test_only_the_head_of_a_long_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "long.csv"
    path.write_text("prompt,completion\n" + f"question,{'x' * 990}\n" * 5_000)
    seen = peek([path], count=7)
    assert not seen.whole
    assert seen.looked < 1_200
    assert len(seen.records) == 7


def test_a_record_longer_than_the_head_is_met(tmp_path: Path) -> None:
    path = lines(tmp_path / "a.jsonl", [{"text": "y" * (3 << 20)}] * 4)
    seen = peek([path])
    assert (seen.kind, seen.looked, seen.whole) == ("text", 1, False)
    assert len(seen.records[0].text or "") == 3 << 20


def test_columns_that_fit_nothing_are_told_with_their_names(tmp_path: Path) -> None:
    path = lines(tmp_path / "a.jsonl", [{"q": "Why?", "a": "Because."}])
    seen = peek([path])
    assert (seen.kind, seen.records) == ("", ())
    assert seen.headings == ("q", "a")
    assert isinstance(seen.fault, BadInput)
    mapped = peek([path], kind="completion", mapping={"prompt": "q", "completion": "a"})
    assert (mapped.kind, mapped.fault, mapped.taken) == ("completion", None, 1)
    wrong = peek([path], kind="completion", mapping={"prompt": "nope", "completion": "a"})
    assert isinstance(wrong.fault, UsageError)


def test_files_that_differ_are_told(tmp_path: Path) -> None:
    first = lines(tmp_path / "a.jsonl", [{"text": "one", "label": "x"}])
    other = lines(tmp_path / "b.jsonl", [{"body": "two"}])
    seen = peek([first, other])
    assert seen.fault is not None
    assert seen.fault.code == "mixed_kinds"


def test_an_optional_column_can_be_left_out(tmp_path: Path) -> None:
    record = {"system": "Be brief.", "prompt": "Why?", "completion": "Because."}
    path = lines(tmp_path / "a.jsonl", [record])
    assert len(peek([path]).records[0].messages) == 3
    without = peek([path], mapping={"system": ""})
    assert "system" not in without.columns
    assert len(without.records[0].messages) == 2
    assert peek([path], kind="completion", mapping={"prompt": ""}).fault is not None


def test_identifiers_are_counted_and_masked_when_asked(tmp_path: Path) -> None:
    path = lines(tmp_path / "a.jsonl", [{"text": "Write to ann@example.org."}])
    assert peek([path]).sensitive == {"email": 1}
    masked = peek([path], redact="mask")
    assert masked.sensitive == {"email": 1}
    assert masked.records[0].text == "Write to [EMAIL]."


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("a.txt", b"text\n", "unknown_form"),
        ("a.csv", b"", "empty_file"),
        ("a.csv", b"\x00\x01\x02\xff\xfe\n\x89PNG", "bad_header"),
        ("a.jsonl", b"\x89PNG\r\n\x1a\n\x00\xff", "not_json_lines"),
        ("a.csv", b"\xff\xfea\x00", "bad_encoding"),
        ("missing.csv", None, "no_such_file"),
    ],
)
def test_files_that_cannot_be_read_at_all(
    name: str, content: bytes | None, code: str, tmp_path: Path
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(BadInput) as caught:
        peek([tmp_path / name])
    assert caught.value.code == code


def test_no_file_is_an_error_and_many_are_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError):
        peek([])
    monkeypatch.setattr(peeking, "MOST_FILES", 2)
    files = [lines(tmp_path / f"{n}.jsonl", [{"text": f"number {n}"}]) for n in range(4)]
    seen = peek(files)
    assert (len(seen.files), seen.looked, seen.whole) == (4, 2, False)


def test_a_sample_comes_from_all_over_a_split(tmp_path: Path) -> None:
    vault = make_original(tmp_path / "home").copy(tmp_path / "c")
    path = lines(tmp_path / "a.jsonl", [{"text": f"number {n}"} for n in range(1000)])
    import_files(vault, [path], "numbers", splits={})
    numbers = [record.number for record in sample(vault, "numbers", 10)]
    assert numbers == [50 + 100 * place for place in range(10)]
    assert [record.number for record in sample(vault, "numbers", 5000)] == list(range(1000))


def test_a_first_line_that_is_a_record_is_told_and_read_as_one_when_asked(tmp_path: Path) -> None:
    path = tmp_path / "notes.csv"
    path.write_text("".join(f"What is to be done on day {n}?,rest\n" for n in range(5)))
    seen = peek([path])
    assert seen.files[0].doubtful
    assert not seen.kind
    assert "--no-header" in (seen.fault.hint if seen.fault else "")
    mapping = {"prompt": "column_1"}
    part = peek([path], kind="completion", mapping=mapping, header=False)
    assert (part.missing, part.files[0].doubtful) == (("completion",), False)
    mapping["completion"] = "column_2"
    whole = peek([path], kind="completion", mapping=mapping, header=False)
    assert (whole.kind, whole.taken) == ("completion", 5)
    vault = make_original(tmp_path / "home").copy(tmp_path / "c")
    report = import_files(vault, [path], "n", kind="completion", mapping=mapping, header=False)
    assert (report.rows, report.doubtful_headers) == (5, [])
    mapping = {"prompt": "What is to be done on day 0?", "completion": "rest"}
    report = import_files(vault, [path], "m", kind="completion", mapping=mapping)
    assert (report.rows, report.doubtful_headers) == (4, ["notes.csv"])
