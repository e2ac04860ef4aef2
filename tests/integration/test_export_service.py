"""The library from end to end on a real vault: register, evaluate, chat, export, remove."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.libraries import Library, make_library
from tests.fixtures.tiny_jobs import LESSONS
from workbench.adapters.chatting import chat
from workbench.adapters.evaluating import evaluate
from workbench.adapters.library import (
    list_adapters,
    remove_adapter,
    show_adapter,
    verify_adapter,
)
from workbench.adapters.registration import register_finished
from workbench.errors import BadInput, DoesNotFit, JobFailed, NotFound, Refused, UsageError
from workbench.exports import preflight
from workbench.exports.service import export_adapter
from workbench.exports.signing import verify_folder
from workbench.runs.launch import launch

CARRIED = {
    "MANIFEST.json", "MANIFEST.json.sig", "README.md", "fidelity.json", "ml-bom.cdx.json",
    "run_record.json",
}  # fmt: skip


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Library:
    made = make_library(tmp_path_factory.mktemp("library"))
    made.train()
    assert [entry.name for entry in register_finished(made.vault)] == ["tuned"]
    return made


def events_of(library: Library) -> list[str]:
    return [entry.event for entry in library.vault.audit.entries()]


def test_registration_happens_once(library: Library) -> None:
    assert register_finished(library.vault) == []
    assert events_of(library).count("adapter_registered") == 1
    shown = show_adapter(library.vault, "tuned")
    assert {
        "adapter",
        "base",
        "dataset",
        "method",
        "rank",
        "parameters",
        "bytes",
        "metrics",
    } <= set(shown)
    assert shown["lineage"] == []
    assert [item["adapter"] for item in list_adapters(library.vault)] == ["tuned"]
    assert verify_adapter(library.vault, "tuned") == []
    assert library.vault.catalogue.entries("run")[0].record["state"] == "finished"


def test_evaluation_compares_and_leaves_nothing_behind(library: Library) -> None:
    runs = set(library.vault.runs_folder.iterdir())
    keys = library.vault.key_ids()
    phases: list[str] = []
    document = evaluate(
        library.vault,
        "tuned",
        split="validation",
        show=1,
        max_tokens=24,
        progress=lambda done, total, phase: phases.append(phase),
    )
    assert document["adapter"]["loss"] < document["base"]["loss"] / 5
    assert document["records"] >= 1
    assert document["tokens"] > 0
    assert len(document["answers"]["adapter"]) == 1
    answer = document["answers"]["adapter"][0]["text"]
    assert answer == document["answers"]["references"][0]["text"]
    assert answer in {lesson for _, lesson in LESSONS}
    assert {"loading", "score_base", "score_adapter", "answer_adapter"} <= set(phases)
    assert set(library.vault.runs_folder.iterdir()) == runs
    assert library.vault.key_ids() == keys
    noted = show_adapter(library.vault, "tuned")["metrics"]["evaluations"]["notes/validation"]
    assert noted["adapter"]["loss"] == document["adapter"]["loss"]
    assert answer not in json.dumps(noted)


@pytest.mark.slow
def test_base_and_adapter_answer_side_by_side(library: Library) -> None:
    question, lesson = LESSONS[0]
    document = chat(
        library.vault,
        adapters=["tuned"],
        with_base=True,
        messages=[{"role": "user", "content": question}],
        max_tokens=24,
    )
    base, tuned = document["answers"]
    assert base["adapter"] is None
    assert tuned["adapter"] == "tuned"
    assert tuned["text"] == lesson != base["text"]
    assert tuned["tokens"] > 0
    assert tuned["seconds"] > 0


@pytest.mark.parametrize("target", [pytest.param("peft", marks=pytest.mark.slow), "safetensors"])
def test_an_export_carries_its_proof(library: Library, tmp_path: Path, target: str) -> None:
    out = tmp_path / "handed-out"
    document = export_adapter(library.vault, "tuned", target=target, out=out)
    names = {item["path"] for item in document["files"]}
    assert names >= CARRIED
    assert names == {path.name for path in out.iterdir()}
    assert out.stat().st_mode & 0o777 == 0o700
    assert document["fidelity"]["held_out"] is True
    assert document["fidelity"]["top1_agreement"] == 1.0
    assert document["peak_bytes"] > 0
    key = library.vault.audit.public_key
    assert verify_folder(out, key) == []
    texts = "".join(
        path.read_text() for path in out.iterdir() if path.suffix in (".json", ".md", ".jinja")
    )
    for secret in (str(library.root), str(tmp_path), *(answer for _, answer in LESSONS)):
        assert secret not in texts
    assert '"notes"' not in texts
    bom = json.loads((out / "ml-bom.cdx.json").read_text())
    assert bom["bomFormat"] == "CycloneDX"
    refs = {c["bom-ref"] for c in bom["components"]} | {"model"}
    assert set(bom["dependencies"][0]["dependsOn"]) <= refs
    body = bytearray((out / "README.md").read_bytes())
    body[10] ^= 1
    (out / "README.md").write_bytes(body)
    (out / "extra").write_text("x")
    assert verify_folder(out, key) == ["extra: not in the manifest", "README.md: differs"]
    assert verify_folder(out, "0" * 64)[0] == "MANIFEST.json: signed by another key"
    assert "adapter_exported" in events_of(library)


def test_refusals_before_anything_is_written(
    library: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def export(out: Path, **told: Any) -> None:
        given: dict[str, Any] = {"target": "peft", "out": out, **told}
        export_adapter(library.vault, "tuned", **given)

    with pytest.raises(UsageError):
        export(tmp_path / "x", target="zip")
    with pytest.raises(UsageError):
        export(tmp_path / "x", base="original")
    with pytest.raises(NotFound):
        export_adapter(library.vault, "nobody", target="peft", out=tmp_path / "x")
    with pytest.raises(Refused) as inside:
        export(library.vault.home / "adapters" / "x")
    assert inside.value.code == "inside_home"
    with pytest.raises(BadInput):
        export(tmp_path / "missing" / "x")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "kept").write_text("mine")
    with pytest.raises(BadInput) as exists:
        export(tmp_path / "full")
    assert exists.value.code == "out_exists"
    (tmp_path / "link").symlink_to(library.vault.home / "adapters")
    with pytest.raises(Refused):
        export(tmp_path / "link" / "x")
    monkeypatch.setattr(preflight, "_MARGIN_BYTES", 1 << 60)
    with pytest.raises(DoesNotFit):
        export(tmp_path / "x")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["full", "link"]


@pytest.mark.slow
def test_a_job_that_fails_leaves_no_stage(library: Library, tmp_path: Path) -> None:
    path = next(library.vault.adapters_folder.iterdir()) / "adapter.sealed"
    good = path.read_bytes()
    path.write_bytes(good[:-40] + bytes(40))
    try:
        assert verify_adapter(library.vault, "tuned") != []
        with pytest.raises((Exception,)) as caught:
            export_adapter(library.vault, "tuned", target="peft", out=tmp_path / "out")
        assert type(caught.value).__name__ == "VaultDamaged"
    finally:
        path.write_bytes(good)
    assert list(tmp_path.iterdir()) == []


def test_the_wrong_base_is_refused(library: Library) -> None:
    entry = library.vault.catalogue.get("adapter", "tuned")
    changed = {**entry.record, "base": {**entry.record["base"], "sha256": "0" * 64}}
    library.vault.catalogue.put("adapter", entry.object_id, entry.name, changed)
    try:
        with pytest.raises(Refused) as caught:
            evaluate(library.vault, "tuned")
        assert caught.value.code == "base_mismatch"
    finally:
        library.vault.catalogue.put("adapter", entry.object_id, entry.name, entry.record)


def test_a_crashed_job_is_told_as_such(
    library: Library, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.py"
    broken.write_text("import sys; sys.exit(3)\n")

    def launch_broken(folder: Path, keys: Any, **_: Any) -> int:
        return launch(folder, keys, module=broken)

    monkeypatch.setattr("workbench.adapters.short_jobs.launch", launch_broken)
    with pytest.raises(JobFailed) as caught:
        chat(library.vault, model="tiny", messages=[{"role": "user", "content": "Hello"}])
    assert caught.value.code == "crashed"
    assert [p for p in library.vault.runs_folder.iterdir() if p.is_dir()] == [
        library.vault.runs_folder / entry.object_id
        for entry in library.vault.catalogue.entries("run")
    ]


def test_a_taken_name_gets_a_number_and_removal_shreds(library: Library) -> None:
    second = library.train(state="stopped")
    (entry,) = register_finished(library.vault)
    assert entry.name == "tuned-2"
    assert show_adapter(library.vault, "tuned-2")["asked_name"] == "tuned"
    remove_adapter(library.vault, "tuned-2")
    assert second not in library.vault.key_ids()
    assert not (library.vault.adapters_folder / second).exists()
    assert register_finished(library.vault) == []
    with pytest.raises(NotFound):
        show_adapter(library.vault, "tuned-2")
