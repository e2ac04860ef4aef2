"""Files become sealed datasets, or nothing at all, and everything adds up."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
from pathlib import Path
from typing import Any

import pytest

from workbench.datasets import collection, importing
from workbench.datasets.importing import ImportReport, import_files
from workbench.datasets.records import Message
from workbench.errors import BadInput, DoesNotFit, NotFound, UsageError, VaultDamaged
from workbench.vault.store import Vault


@pytest.fixture(scope="module")
def vault(tmp_path_factory: pytest.TempPathFactory) -> Vault:
    made, _ = Vault.create(tmp_path_factory.mktemp("home") / "vault", "a passphrase", kdf="light")
    return made


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    return hashlib.sha256(request.node.name.encode()).hexdigest()[:12]


def _rows(vault: Vault, name: str) -> dict[str, list[dict[str, Any]]]:
    with collection.opened_dataset(vault, name) as dataset:
        return {
            split: [row for batch in dataset.batches(split) for row in batch.to_pylist()]
            for split in dataset.splits
        }


def _leftovers(vault: Vault) -> tuple[list[str], list[str]]:
    """Return the dataset files and keys that no entry lists."""
    listed = {entry.object_id for entry in vault.catalogue.entries("dataset")}
    files = [p.name for p in vault.datasets_folder.iterdir() if p.stem not in listed]
    return files, [k for k in vault.key_ids() if k.startswith("ds-") and k not in listed]


def _mixed_csv(path: Path, rng: random.Random, count: int) -> None:
    pieces = []
    for number in range(count):
        kind = rng.random()
        row = f'"question {rng.randrange(count)}\nmore",answer {rng.randrange(3)}'
        if kind < 0.03:
            row = f'"torn {number}'
        elif kind < 0.06:
            row = f"too,many,fields {number}"
        elif kind < 0.09:
            row = f"question {number}, "
        pieces.append(row.encode() + (b"\xe9\n" if kind > 0.97 else b"\n"))
    path.write_bytes(b"prompt,completion\n" + b"".join(pieces))


def test_everything_adds_up(vault: Vault, tmp_path: Path, name: str) -> None:
    rng = random.Random(3)
    _mixed_csv(tmp_path / "one.csv", rng, 3000)
    lines = [json.dumps({"prompt": f"question {i}\nmore", "completion": "x"}) for i in range(500)]
    (tmp_path / "two.jsonl").write_text("\n".join([*lines, "{torn", "[]", ""]))
    report = import_files(vault, [tmp_path / "one.csv", tmp_path / "two.jsonl"], name)

    meta = collection.show_dataset(vault, name)
    assert report.kind == "completion"
    assert report.rows == sum(report.splits.values()) == meta["rows"]
    assert report.rejected == len(report.rejects) == sum(report.rejected_by_code.values())
    assert {"torn_row", "bad_encoding", "empty_answer", "bad_json", "not_an_object"} <= set(
        report.rejected_by_code
    )
    rows = [row for split in _rows(vault, name).values() for row in split]
    records = report.rows + report.rejected + report.duplicates
    assert len({row["number"] for row in rows}) == report.rows
    assert max(row["number"] for row in rows) < records
    assert len({(row["prompt"], row["completion"]) for row in rows}) == report.rows
    # A torn quoted record counts at its first line; the line of its second half is another.
    assert report.duplicates > 0
    assert collection.rejects(vault, name) == report.rejects
    source = (tmp_path / "one.csv").read_bytes()
    assert meta["sources"][0]["sha256"] == hashlib.sha256(source).hexdigest()
    assert meta["sources"][0]["bytes"] == len(source)
    physical = source.split(b"\n")
    for row in rows:
        if row["file"] == 0:
            assert physical[row["line"] - 1].strip(b'"').decode() == row["prompt"].split("\n")[0]


def test_line_by_line_oracle(vault: Vault, tmp_path: Path, name: str) -> None:
    lines = [json.dumps({"text": f"note {i % 700}"}) for i in range(1000)]
    for place, bad in ((10, "{"), (500, '{"text": " "}'), (999, '{"other": 1}')):
        lines[place] = bad
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    report = import_files(vault, [tmp_path / "a.jsonl"], name, splits={})
    assert [(r.file, r.line, r.code) for r in report.rejects] == [
        ("a.jsonl", 11, "bad_json"),
        ("a.jsonl", 501, "empty_field"),
        ("a.jsonl", 1000, "missing_field"),
    ]
    # 997 readable lines hold 700 different notes: notes 10 and 299 occur again, 500 does not.
    assert (report.rows, report.duplicates) == (699, 298)


def test_duplicates_stay_on_one_side_and_seeds_matter(
    vault: Vault, tmp_path: Path, name: str
) -> None:
    rows = [f"text {i % 400},label {i % 5}" for i in range(4000)]
    random.Random(1).shuffle(rows)
    (tmp_path / "a.csv").write_text("text,label\n" + "\n".join(rows))
    shares = {"validation": 0.2, "test": 0.1}
    seen = {}
    for seed in (0, 1):
        import_files(
            vault, [tmp_path / "a.csv"], f"{name}{seed}", dedupe="off", seed=seed, splits=shares
        )
        parts = _rows(vault, f"{name}{seed}")
        texts = {split: {row["text"] for row in part} for split, part in parts.items()}
        assert sum(len(part) for part in parts.values()) == 4000
        assert sum(len(part) for part in texts.values()) == 400
        assert 0.1 < len(texts["validation"]) / 400 < 0.3
        seen[seed] = texts
    assert seen[0]["test"] != seen[1]["test"]
    again = import_files(vault, [tmp_path / "a.csv"], name, dedupe="exact", splits=shares)
    assert again.duplicates == 3600
    assert {row["text"] for row in _rows(vault, name)["test"]} == seen[0]["test"]


@pytest.mark.parametrize(
    ("file", "text", "kind", "messages"),
    [
        (
            "a.csv",
            "instruction,input,output\ndo,this,done\n",
            "instruction",
            ("do\n\nthis", "done"),
        ),
        ("a.tsv", "question\tanswer\nwhy\tso\n", "completion", ("why", "so")),
        ("a.csv", "text,label\ngood,1\n", "classification", ("good", "1")),
        ("a.jsonl", '{"text": "good", "label": true}', "classification", ("good", "true")),
        (
            "a.csv",
            'messages\n"[{""role"":""user"",""content"":""q""},{""role"":""assistant"",""content"":""a""}]"\n',
            "chat",
            ("q", "a"),
        ),
    ],
)
def test_kinds(
    vault: Vault, tmp_path: Path, name: str, file: str, text: str, kind: str, messages: Any
) -> None:
    (tmp_path / file).write_text(text)
    report = import_files(vault, [tmp_path / file], name, splits={})
    assert (report.kind, report.rows) == (kind, 1)
    [record] = collection.preview(vault, name, 5)
    assert record.messages == (Message("user", messages[0]), Message("assistant", messages[1]))


def test_sensitive_is_counted_and_masked(vault: Vault, tmp_path: Path, name: str) -> None:
    chat = [
        {"role": "user", "content": "I am jane@example.org"},
        {"role": "assistant", "content": "Noted, +44 20 7946 0001 and 10.0.0.1"},
    ]
    plain = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]
    text = "\n".join(json.dumps({"messages": m}) for m in (plain, chat, chat, plain[:1] + chat[1:]))
    (tmp_path / "a.jsonl").write_text(text)
    report = import_files(vault, [tmp_path / "a.jsonl"], name, redact="mask", splits={})
    assert report.sensitive == {"email": 1, "phone": 2, "ip": 2}
    records = collection.preview(vault, name, 9)
    assert [record.messages[0].content for record in records] == ["hi", "I am [EMAIL]", "hi"]
    assert records[1].messages[1].content == "Noted, [PHONE] and [IP]"


def test_pages_of_a_split(vault: Vault, tmp_path: Path, name: str) -> None:
    (tmp_path / "a.csv").write_text("text\n" + "\n".join(f"row {i}" for i in range(40_000)))
    import_files(vault, [tmp_path / "a.csv"], name, splits={"test": 0.1})
    whole = [row["text"] for row in _rows(vault, name)["train"]]
    assert len(whole) > 2 * 16_384
    for offset, count in ((0, 3), (16_380, 10), (len(whole) - 2, 10), (len(whole), 5)):
        page = collection.page(vault, name, offset, count)
        assert [record.text for record in page] == whole[offset : offset + count]
    with pytest.raises(NotFound):
        collection.page(vault, name, 0, 1, split="nope")


def test_a_page_may_show_only_how_records_begin(vault: Vault, tmp_path: Path, name: str) -> None:
    chat = {
        "messages": [
            {"role": "user", "content": "q" * 5},
            {"role": "assistant", "content": "a" * 3000},
        ]
    }
    (tmp_path / "a.jsonl").write_text("\n".join(json.dumps(chat) for _ in range(200)))
    import_files(vault, [tmp_path / "a.jsonl"], name, splits={}, dedupe="off")
    begun = collection.page(vault, name, 50, 140, most=100)
    assert [record.number for record in begun] == list(range(50, 190))
    assert {len(turn.content) for record in begun for turn in record.messages} == {5, 100}
    assert len(collection.page(vault, name, 199, 1)[0].messages[1].content) == 3000


def test_remove_shreds(vault: Vault, tmp_path: Path, name: str) -> None:
    (tmp_path / "a.csv").write_text("text\nsome text\n")
    report = import_files(vault, [tmp_path / "a.csv"], name)
    assert any(item["dataset"] == name for item in collection.list_datasets(vault))
    collection.remove_dataset(vault, name)
    assert report.object_id not in vault.key_ids()
    assert not (vault.datasets_folder / f"{report.object_id}.duckdb").exists()
    with pytest.raises(NotFound):
        collection.show_dataset(vault, name)
    assert [entry.event for entry in vault.audit.entries()].count("dataset_removed") >= 1


def test_a_flipped_bit_is_found(vault: Vault, tmp_path: Path, name: str) -> None:
    text = "text\n" + "\n".join(str(random.Random(i).random()) for i in range(5000))
    (tmp_path / "a.csv").write_text(text)
    report = import_files(vault, [tmp_path / "a.csv"], name, splits={})
    assert collection.verify_dataset(vault, name)["bytes"] > 10_000
    path = vault.datasets_folder / f"{report.object_id}.duckdb"
    good = path.read_bytes()
    rng = random.Random(5)
    for _ in range(25):
        flipped = bytearray(good)
        flipped[rng.randrange(len(good))] ^= 1 << rng.randrange(8)
        path.write_bytes(flipped)
        with pytest.raises(VaultDamaged):
            collection.verify_dataset(vault, name)
    path.write_bytes(good)
    assert vault.verify().ok


def test_what_is_sealed_holds_no_plain_text(vault: Vault, tmp_path: Path, name: str) -> None:
    needle = b"patient-needle-4711"
    (tmp_path / "a.csv").write_bytes(b"prompt,completion\n" + needle + b',yes\n"' + needle)
    import_files(vault, [tmp_path / "a.csv"], name, splits={})
    for path in vault.home.rglob("*"):
        if path.is_file():
            assert path.stat().st_mode & 0o077 == 0
            assert needle not in path.read_bytes()
            assert b"prompt" not in path.read_bytes() or path.suffix != ".duckdb"


@pytest.mark.parametrize("moment", ["read", "publish", "catalogue"])
def test_a_failure_leaves_nothing(
    vault: Vault, tmp_path: Path, name: str, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.csv").write_text("text\nsome text\n")
    before = len(vault.catalogue.entries("dataset"))

    def fail(*_: Any, **__: Any) -> Any:
        raise OSError(28, "No space left on device")

    targets: dict[str, tuple[Any, str]] = {
        "read": (importing, "prepare_block"),
        "publish": (os, "replace"),
        "catalogue": (type(vault.catalogue), "put"),
    }
    owner, attribute = targets[moment]
    with monkeypatch.context() as patched:
        patched.setattr(owner, attribute, fail)
        with pytest.raises((DoesNotFit, OSError)):
            import_files(vault, [tmp_path / "a.csv"], name)
    assert _leftovers(vault) == ([], [])
    assert len(vault.catalogue.entries("dataset")) == before
    assert import_files(vault, [tmp_path / "a.csv"], name).rows == 1


def test_refusals(vault: Vault, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    good, bad = tmp_path / "a.csv", tmp_path / "bad.csv"
    good.write_text("text\nsome text\n")
    bad.write_text("prompt,completion\nonly one\n")
    other = tmp_path / "a.parquet"
    other.write_bytes(b"PAR1")

    def code(*files: Path, **settings: Any) -> str:
        with pytest.raises((BadInput, UsageError, DoesNotFit)) as caught:
            import_files(vault, files, settings.pop("name", name), **settings)
        return caught.value.code

    assert code() == "no_files"
    assert code(tmp_path / "missing.csv") == "no_such_file"
    assert code(tmp_path) == "not_a_file"
    assert code(other) == "unknown_form"
    assert code(bad) == "no_rows"
    assert code(good, bad) == "mixed_kinds"
    assert code(good, name="a:b") == "bad_name"
    assert code(good, splits={"test": 1.5}) == "bad_split"
    assert code(good, splits={"train": 0.1}) == "bad_split"
    assert code(good, dedupe="near") == "bad_dedupe"
    assert code(good, redact="all") == "bad_redact"
    assert code(good, mapping={"colour": "text"}) == "bad_map"
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1 << 20))
    assert code(good) == "disk_full"
    monkeypatch.undo()
    assert isinstance(import_files(vault, [good], name), ImportReport)
    assert code(good) == "name_taken"
    assert _leftovers(vault) == ([], [])
    assert not (tmp_path / ".stage").exists()
