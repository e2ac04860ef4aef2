"""The evaluate and generate jobs on a stub session: labels, limits, several adapters, full runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import torch

from tests.fixtures.tiny_jobs import (
    DATASET_ID,
    LESSONS,
    RUN_ID,
    data_key,
    model_spec,
    stub_session,
    write_adapter,
    write_llama,
)
from workbench.adapters.manifest import AdapterManifest, BaseRecord
from workbench.adapters.results import read_result
from workbench.adapters.storage import read_manifest, seal_adapter
from workbench.datasets.records import schema_of
from workbench.datasets.store import DatasetWriter, pack_batch
from workbench.engine.jobs import evaluate, generate
from workbench.engine.loading import load_base
from workbench.engine.lora import full_tensors
from workbench.engine.sides import OpenedAdapter, Sides, common_method
from workbench.engine.tensorfile import stream_tensors
from workbench.errors import BadInput, Refused

OTHER_ID = "ad-00000000000000ee"


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    root = tmp_path_factory.mktemp("shelf")
    model = model_spec(write_llama(root / "model"))
    return {"root": root, "model": model, "adapter": write_adapter(root, model)}


def write_dataset(path: Path, kind: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    writer = DatasetWriter(path, data_key(DATASET_ID))
    numbered = [{"number": n, "file": 0, "line": n + 1, **row} for n, row in enumerate(rows)]
    batch = pa.RecordBatch.from_pylist(numbered, schema=schema_of(kind))
    writer.add("test", len(rows), pack_batch(batch))
    splits = {"train": 0, "test": len(rows)}
    root = writer.finish({"kind": kind, "splits": splits, "columns": {}, "created": ""})
    return {"object_id": DATASET_ID, "path": str(path), "name": "notes", "root": root}


def chats(pairs: list[tuple[str, str]]) -> list[dict[str, Any]]:
    return [
        {"messages": [{"role": "user", "content": q}, {"role": "assistant", "content": a}]}
        for q, a in pairs
    ]


def run_evaluate(root: Path, shelf: dict[str, Any], **told: Any) -> dict[str, Any]:
    sealed = {
        "model": shelf["model"],
        "adapter": shelf["adapter"],
        "split": "test",
        "answers": True,
        "max_tokens": 24,
        **told,
    }
    with stub_session(root / "run", "evaluate", sealed) as session:
        evaluate.run(session)
        (measured,) = session.told("measured")
        assert session.told("finished")
    result = read_result(root / "run", data_key(RUN_ID))
    assert measured["records"] == result["records"]
    text = (root / "run" / "events.jsonl").read_text()
    assert not any(answer in text for _, answer in LESSONS)
    return result


def test_both_sides_see_the_same_tokens_and_unusable_records_are_counted(
    shelf: dict[str, Any], tmp_path: Path
) -> None:
    rows = chats([*LESSONS, ("word " * 400, "too long")])
    result = run_evaluate(tmp_path, shelf, dataset=write_dataset(tmp_path / "d", "chat", rows))
    assert result["records"] == 4
    assert result["skipped"] == {"too_long": 1}
    assert [a["text"] for a in result["adapter"]["answers"]] == [a for _, a in LESSONS]
    assert all(answer["ended"] for answer in result["adapter"]["answers"])
    assert [r["text"] for r in result["references"]] == [a for _, a in LESSONS]
    assert result["base"]["loss"] > 3
    assert result["adapter"]["loss"] < 0.05


def test_labels_are_always_answered_and_capped_by_the_longest_label(
    shelf: dict[str, Any], tmp_path: Path
) -> None:
    rows = [{"text": q, "label": a} for q, a in LESSONS]
    data = write_dataset(tmp_path / "d", "classification", rows)
    result = run_evaluate(tmp_path, shelf, dataset=data, answers=False)
    assert result["kind"] == "classification"
    assert [a["text"] for a in result["adapter"]["answers"]] == [a for _, a in LESSONS]


def test_a_limit_and_plain_text(shelf: dict[str, Any], tmp_path: Path) -> None:
    rows = [{"text": "Please transfer the amount before Friday."}] * 5
    data = write_dataset(tmp_path / "d", "text", rows)
    result = run_evaluate(tmp_path, shelf, dataset=data, limit=2)
    assert result["records"] == 2
    assert result["references"] == []


def test_nothing_to_score_is_said(shelf: dict[str, Any], tmp_path: Path) -> None:
    data = write_dataset(tmp_path / "d", "chat", chats([("word " * 400, "too long")]))
    with pytest.raises(BadInput) as caught:
        run_evaluate(tmp_path, shelf, dataset=data)
    assert caught.value.code == "nothing_to_score"


def chat(root: Path, shelf: dict[str, Any], adapters: list[dict[str, Any]]) -> list[dict[str, Any]]:
    sealed = {
        "model": shelf["model"],
        "adapters": adapters,
        "with_base": True,
        "messages": [{"role": "user", "content": LESSONS[0][0]}],
        "max_tokens": 24,
        "seed": 0,
    }
    with stub_session(root / "run", "generate", sealed) as session:
        generate.run(session)
    answers: list[dict[str, Any]] = read_result(root / "run", data_key(RUN_ID))["answers"]
    return answers


def test_adapters_are_swapped_on_one_base(shelf: dict[str, Any], tmp_path: Path) -> None:
    other = write_adapter(
        tmp_path, shelf["model"], object_id=OTHER_ID, name="narrow", targets=("q_proj", "o_proj")
    )
    base, first, second = chat(tmp_path / "both", shelf, [shelf["adapter"], other])
    assert [a["adapter"] for a in (base, first, second)] == [None, "tuned", "narrow"]
    assert first["text"] == second["text"] == LESSONS[0][1] != base["text"]
    (alone,) = [a for a in chat(tmp_path / "none", shelf, [other]) if a["adapter"] is None]
    assert alone["text"] == base["text"]


def test_all_weights_of_a_full_run_are_swapped_in_and_out(
    shelf: dict[str, Any], tmp_path: Path
) -> None:
    loaded = load_base(shelf["model"], method="full")
    tensors = {name: tensor * 1.01 for name, tensor in full_tensors(loaded.model).items()}
    template = read_manifest(
        Path(shelf["adapter"]["folder"]), data_key(shelf["adapter"]["object_id"])
    )
    plain = template.to_json() | {"method": "full", "adapter": OTHER_ID}
    plain["base"] = vars(BaseRecord("mo-" + "0" * 16, "tiny", "0" * 64, loaded.fingerprint))
    folder = tmp_path / OTHER_ID
    seal_adapter(
        folder,
        data_key(OTHER_ID),
        config={"method": "full"},
        tensors=stream_tensors(tensors, torch.bfloat16),
        manifest=AdapterManifest.from_json(plain),
    )
    part = {"object_id": OTHER_ID, "folder": str(folder), "name": "all"}
    opened = OpenedAdapter.open(part, data_key(OTHER_ID))
    before = {name: tensor.clone() for name, tensor in full_tensors(loaded.model).items()}
    sides = Sides(loaded)
    sides.add(opened)
    with sides.adapter(OTHER_ID) as model:
        inside = full_tensors(model)["model.norm.weight"].clone()
    assert torch.equal(inside, tensors["model.norm.weight"].bfloat16().float())
    after = full_tensors(loaded.model)
    assert all(torch.equal(before[name], after[name]) for name in before)
    tuned = OpenedAdapter.open(shelf["adapter"], data_key(shelf["adapter"]["object_id"]))
    with pytest.raises(Refused) as mixed:
        common_method([opened, tuned])
    assert mixed.value.code == "base_mismatch"
