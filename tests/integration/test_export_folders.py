"""What the export job writes, loaded by plain peft and plain transformers in fresh processes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.fixtures.tiny_jobs import (
    LESSONS,
    RUN_ID,
    data_key,
    model_spec,
    stub_session,
    write_adapter,
    write_llama,
)
from tests.fixtures.tiny_models import CHATML
from workbench.adapters.results import read_result
from workbench.engine.generation import Decoding, Ends, continue_prompts
from workbench.engine.jobs import export
from workbench.engine.loading import load_base
from workbench.engine.sides import OpenedAdapter, Sides
from workbench.errors import InternalError, Refused, VaultDamaged
from workbench.exports.loading_code import how_to_load
from workbench.models.codec import TextCodec

QUESTIONS = [question for question, _ in LESSONS]
CAP = 24

# Runs the very lines that an export's card shows.
_PLAIN = """
import contextlib, json, sys
import torch
code, tokens_of, same_bits, questions, cap = sys.argv[1:6]
place = contextlib.nullcontext()
if same_bits == "True":
    from workbench.engine.quantising import reproducible
    place = reproducible()
found = {}
with place:
    exec(code, found)
model = found["model"]
assert not model.training
assert model.dtype == torch.bfloat16, model.dtype
from bitsandbytes.nn import Linear4bit
for layer in model.modules():
    if isinstance(layer, Linear4bit):
        layer.support_avx512bf16_for_cpu = False
from transformers import AutoTokenizer
tokenizer = AutoTokenizer.from_pretrained(tokens_of)
answers, logits = [], []
for question in json.loads(questions):
    ids = tokenizer.apply_chat_template([{"role": "user", "content": question}],
        add_generation_prompt=True, return_tensors="pt", return_dict=True)["input_ids"]
    with torch.no_grad():
        logits.append(model(ids).logits[0, -1].float().tolist())
        out = model.generate(ids, max_new_tokens=int(cap), do_sample=False,
            attention_mask=torch.ones_like(ids))[0, ids.shape[1]:].tolist()
    answers.append(out)
print(json.dumps({"answers": answers, "logits": logits,
    "eos": model.generation_config.eos_token_id}))
"""


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    root = tmp_path_factory.mktemp("shelf")
    model = model_spec(write_llama(root / "model", shards=2))
    return {"root": root, "model": model, "adapter": write_adapter(root, model)}


def run_export(
    root: Path, model: dict[str, Any], adapter: dict[str, Any], target: str, base: str = "exact"
) -> tuple[Path, dict[str, Any]]:
    out = root / "out"
    out.mkdir(parents=True)
    sealed = {
        "model": model,
        "adapter": adapter,
        "target": target,
        "base": base,
        "out": str(out),
        "dataset": None,
    }
    with stub_session(root / "run", "export", sealed) as session:
        export.run(session)
        assert session.told("finished")
    return out, read_result(root / "run", data_key(RUN_ID))


def adapter_view(
    model: dict[str, Any], adapter: dict[str, Any], method: Any = "qlora"
) -> tuple[list[list[int]], list[list[float]]]:
    """Greedy answers and next-token logits of base and sealed adapter in the engine."""
    opened = OpenedAdapter.open(adapter, data_key(adapter["object_id"]))
    sides = Sides(load_base(model, method=method))
    sides.add(opened)
    codec = TextCodec.open(Path(model["folder"]))
    prompts = [codec.encode_prompt([("user", question)]) for question in QUESTIONS]
    with sides.adapter(opened.object_id) as tuned:
        found = continue_prompts(
            tuned, prompts, Ends(codec.eos_ids, codec.pad_id, 256), Decoding(CAP), batch=1
        )
        with torch.no_grad():
            logits = [tuned(torch.tensor([p])).logits[0, -1].float().tolist() for p in prompts]
    return [list(answer.ids) for answer in found], logits


def in_plain(code: str, base: str, tokens_of: Path | str, *, same_bits: bool = False) -> Any:
    """Answers and logits in a process that loads with `code` alone."""
    code = code.replace("PATH_OF_THE_BASE", base)
    told = [code, str(tokens_of), str(same_bits), json.dumps(QUESTIONS), str(CAP)]
    done = subprocess.run(
        [sys.executable, "-c", _PLAIN, *told], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


def without_end(answers: list[list[int]], eos: list[int]) -> list[list[int]]:
    return [[token for token in answer if token not in eos] for answer in answers]


def test_the_peft_folder_gives_the_same_logits_in_plain_peft(
    shelf: dict[str, Any], tmp_path: Path
) -> None:
    out, result = run_export(tmp_path, shelf["model"], shelf["adapter"], "peft")
    assert sorted(path.name for path in out.iterdir()) == [
        "adapter_config.json",
        "adapter_model.safetensors",
    ]
    assert result["fidelity"]["top1_agreement"] == 1.0
    assert result["fidelity"]["mean_kl"] < 1e-6
    config = json.loads((out / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "tiny"
    assert config["inference_mode"] is True
    assert config["target_modules"] == sorted(config["target_modules"])
    assert str(shelf["root"]) not in (out / "adapter_config.json").read_text()
    header = (out / "adapter_model.safetensors").read_bytes()[:20_000]
    assert b'"base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"' in header
    answers, logits = adapter_view(shelf["model"], shelf["adapter"])
    code, base = how_to_load("peft", "qlora", out), shelf["model"]["folder"]
    plain = in_plain(code, base, base, same_bits=True)
    assert plain["logits"] == logits
    assert [a[: len(w)] for a, w in zip(plain["answers"], answers, strict=True)] == answers


@pytest.mark.slow
def test_plain_bitsandbytes_comes_close_on_the_same_base(
    shelf: dict[str, Any], tmp_path: Path
) -> None:
    """Its own quantiser takes another level for a few scales in a thousand."""
    out, _ = run_export(tmp_path, shelf["model"], shelf["adapter"], "peft")
    answers, logits = adapter_view(shelf["model"], shelf["adapter"])
    base = shelf["model"]["folder"]
    own = in_plain(how_to_load("peft", "qlora", out), base, base)
    torch.testing.assert_close(torch.tensor(own["logits"]), torch.tensor(logits), rtol=0, atol=0.1)
    assert [a[: len(w)] for a, w in zip(own["answers"], answers, strict=True)] == answers


@pytest.mark.slow
def test_on_a_16_bit_base_plain_peft_gives_the_same_logits(
    shelf: dict[str, Any], tmp_path: Path
) -> None:
    adapter = write_adapter(tmp_path, shelf["model"], method="lora")
    out, _ = run_export(tmp_path, shelf["model"], adapter, "peft")
    answers, logits = adapter_view(shelf["model"], adapter, "lora")
    base = shelf["model"]["folder"]
    plain = in_plain(how_to_load("peft", "lora", out), base, base)
    assert plain["logits"] == logits
    assert [a[: len(w)] for a, w in zip(plain["answers"], answers, strict=True)] == answers


@pytest.mark.parametrize(
    "recipe",
    [
        {},
        pytest.param(
            {"dora": True, "targets": ("q_proj", "down_proj")}, marks=pytest.mark.slow, id="dora"
        ),
    ],
)
def test_the_merged_folder_answers_as_the_adapter_in_plain_transformers(
    shelf: dict[str, Any], tmp_path: Path, recipe: dict[str, Any]
) -> None:
    adapter = write_adapter(tmp_path, shelf["model"], rslora=True, **recipe)
    out, result = run_export(tmp_path, shelf["model"], adapter, "safetensors")
    assert result["fidelity"]["mean_kl"] < 5e-3
    for name in ("tokenizer.json", "tokenizer_config.json"):
        assert (out / name).read_bytes() == Path(shelf["model"]["folder"], name).read_bytes()
    config = json.loads((out / "config.json").read_text())
    assert "quantization_config" not in config
    answers, _ = adapter_view(shelf["model"], adapter)
    plain = in_plain(how_to_load("safetensors", "qlora", out), "", out)
    assert plain["eos"] == [1, 3]
    assert without_end(plain["answers"], plain["eos"]) == answers


def test_the_base_alone_answers_otherwise(shelf: dict[str, Any]) -> None:
    """The control: what the exports are compared by does tell models apart."""
    codec = TextCodec.open(Path(shelf["model"]["folder"]))
    prompts = [codec.encode_prompt([("user", question)]) for question in QUESTIONS]
    base = load_base(shelf["model"], method="qlora")
    found = continue_prompts(
        base.model, prompts, Ends(codec.eos_ids, codec.pad_id, 256), Decoding(CAP)
    )
    tuned, _ = adapter_view(shelf["model"], shelf["adapter"])
    assert [codec.decode(ids) for ids in tuned] == [answer for _, answer in LESSONS]
    assert all(list(a.ids) != b for a, b in zip(found, tuned, strict=True))


def test_merging_into_the_original_weights_is_offered_and_measured(
    shelf: dict[str, Any], tmp_path: Path
) -> None:
    _, exact = run_export(tmp_path / "exact", shelf["model"], shelf["adapter"], "safetensors")
    _, original = run_export(
        tmp_path / "original", shelf["model"], shelf["adapter"], "safetensors", "original"
    )
    assert exact["fidelity"]["mean_kl"] < original["fidelity"]["mean_kl"]


@pytest.mark.slow
def test_a_sixteen_bit_adapter_and_a_chosen_template(tmp_path: Path) -> None:
    model = model_spec(write_llama(tmp_path / "model", template=None))
    adapter = write_adapter(tmp_path, model, method="lora")
    out, result = run_export(tmp_path, model, adapter, "safetensors")
    assert result["fidelity"]["mean_kl"] < 5e-3
    assert (out / "chat_template.jinja").read_text()
    assert sorted(p.name for p in out.glob("*.safetensors")) == ["model.safetensors"]
    answers, _ = adapter_view(model, adapter, "lora")
    plain = in_plain(how_to_load("safetensors", "lora", out), "", out)
    assert without_end(plain["answers"], plain["eos"]) == answers


def test_another_base_is_refused(shelf: dict[str, Any], tmp_path: Path) -> None:
    other = model_spec(write_llama(tmp_path / "other", seed=2, template=CHATML))
    with pytest.raises(Refused) as caught:
        run_export(tmp_path, other, shelf["adapter"], "peft")
    assert caught.value.code == "base_mismatch"


def test_a_flipped_byte_in_the_sealed_adapter_is_noticed(
    shelf: dict[str, Any], tmp_path: Path
) -> None:
    adapter = write_adapter(tmp_path, shelf["model"])
    path = Path(adapter["folder"], "adapter.sealed")
    body = bytearray(path.read_bytes())
    body[len(body) // 2] ^= 1
    path.write_bytes(body)
    with pytest.raises(VaultDamaged):
        run_export(tmp_path, shelf["model"], adapter, "peft")


def test_files_that_answer_otherwise_do_not_pass_the_gate(
    shelf: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from workbench.engine import merging

    right = merging.LoraDelta.merged_into
    monkeypatch.setattr(merging.LoraDelta, "merged_into", lambda self, w: right(self, w) * 1.5)
    with pytest.raises(InternalError) as caught:
        run_export(tmp_path, shelf["model"], shelf["adapter"], "safetensors")
    assert caught.value.code == "fidelity"
