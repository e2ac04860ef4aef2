"""What a run's plan is told of a dataset's lengths."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.libraries import PASSPHRASE
from tests.fixtures.tiny_jobs import write_llama
from workbench.datasets.importing import import_files
from workbench.datasets.store import SealedDataset
from workbench.errors import BadInput
from workbench.models.codec import Encoded, TextCodec
from workbench.models.shelf import add_model, model_folder
from workbench.models.templates import Message
from workbench.runs.training import measure_lengths
from workbench.vault.store import Vault


def test_a_record_that_the_template_refuses_does_not_stop_the_plan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vault, _ = Vault.create(tmp_path / "home", PASSPHRASE, kdf="light")
    base = add_model(vault, write_llama(tmp_path / "source"), "tiny")
    path = tmp_path / "notes.jsonl"
    rows = [{"prompt": f"Question {n}", "completion": "An answer"} for n in range(4)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    import_files(vault, [path], "notes", splits={})
    data = vault.catalogue.get("dataset", "notes")
    whole = measure_lengths(vault, base, data)
    real = TextCodec.encode_chat
    refused = {"Question 0"}

    def picky(self: TextCodec, turns: list[Message]) -> Encoded:
        if turns[0][1] in refused:
            raise BadInput("no", code="template_refused_record")
        return real(self, turns)

    monkeypatch.setattr(TextCodec, "encode_chat", picky)
    assert measure_lengths(vault, base, data) == whole
    refused |= {f"Question {n}" for n in range(4)}
    with pytest.raises(BadInput) as caught:
        measure_lengths(vault, base, data)
    assert caught.value.code == "no_records"


def test_a_large_split_is_sampled_from_few_batches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lengths grow along the file, so that a sample from one end of it would be wrong."""
    monkeypatch.setattr("workbench.datasets.assembling.BATCH_ROWS", 64)
    monkeypatch.setattr("workbench.runs.training._SAMPLED_RECORDS", 200)
    monkeypatch.setattr("workbench.runs.training._SAMPLED_BATCHES", 8)
    vault, _ = Vault.create(tmp_path / "home", PASSPHRASE, kdf="light")
    base = add_model(vault, write_llama(tmp_path / "source"), "tiny")
    path = tmp_path / "notes.jsonl"
    texts = [f"{n:05d}" + "x" * (n // 20) for n in range(4_000)]
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    import_files(vault, [path], "notes", splits={})
    data = vault.catalogue.get("dataset", "notes")
    encoded: list[int] = []
    opened: list[int] = []
    encode, load = TextCodec.encode_text, SealedDataset._load

    def counting(self: TextCodec, text: str) -> Encoded:
        found = encode(self, text)
        encoded.append(len(found.ids))
        return found

    def noting(self: SealedDataset, batch: Any) -> Any:
        opened.append(batch.first)
        return load(self, batch)

    monkeypatch.setattr(TextCodec, "encode_text", counting)
    monkeypatch.setattr(SealedDataset, "_load", noting)
    found = measure_lengths(vault, base, data)
    assert found.records == 4_000
    assert len(opened) == len(set(opened)) == 8
    assert len(encoded) == pytest.approx(200 + 8, abs=8)
    codec = TextCodec.open(model_folder(vault, base.object_id))
    exact = [len(encode(codec, text).ids) for text in texts]
    assert found.tokens == pytest.approx(sum(exact), rel=0.03)
    assert 0.9 * max(exact) <= found.longest <= max(exact)
    assert measure_lengths(vault, base, data) == found


def test_a_lone_long_record_of_an_opened_batch_is_not_overlooked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workbench.runs.training._SAMPLED_RECORDS", 10)
    vault, _ = Vault.create(tmp_path / "home", PASSPHRASE, kdf="light")
    base = add_model(vault, write_llama(tmp_path / "source"), "tiny")
    turns = [
        [
            {"role": "user", "content": f"Question {n}"},
            {"role": "assistant", "content": "An answer"},
        ]
        for n in range(500)
    ]
    turns[123] += [
        {"role": "user", "content": "And then?"},
        {"role": "assistant", "content": "A long story. " * 30},
    ]
    path = tmp_path / "notes.jsonl"
    path.write_text("".join(json.dumps({"messages": each}) + "\n" for each in turns))
    import_files(vault, [path], "notes", splits={})
    found = measure_lengths(vault, base, vault.catalogue.get("dataset", "notes"))
    assert found.longest > 100
    assert found.tokens < 500 * 60
