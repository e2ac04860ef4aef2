"""What a run's plan is told of a dataset's lengths."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.fixtures.libraries import PASSPHRASE
from tests.fixtures.tiny_jobs import write_llama
from workbench.datasets.importing import import_files
from workbench.errors import BadInput
from workbench.models.codec import Encoded, TextCodec
from workbench.models.shelf import add_model
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
