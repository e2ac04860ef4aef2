"""Models on the shelf: registered, shown, verified, removed, and what a crash leaves."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path

import pytest

from tests.fixtures import tiny_models as tiny
from workbench import durable
from workbench.errors import BadInput, DoesNotFit, NotFound, Refused
from workbench.models import inspection, shelf
from workbench.models.codec import TextCodec
from workbench.vault.ids import new_id
from workbench.vault.store import Vault


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write_model(tmp_path_factory.mktemp("made") / "tiny")


@pytest.fixture(scope="module")
def empty_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("home") / "vault"
    Vault.create(home, "correct horse battery staple", kdf="light")
    return home


@pytest.fixture
def vault(empty_home: Path, tmp_path: Path) -> Vault:
    home = tmp_path / "home"
    shutil.copytree(empty_home, home)
    return Vault.unlock(home, "correct horse battery staple")


def events(vault: Vault) -> list[str]:
    return [entry.event for entry in vault.audit.entries()]


def test_a_model_is_copied_pinned_and_shown(vault: Vault, made: Path) -> None:
    seen: list[tuple[int, int, str]] = []
    entry = shelf.add_model(vault, made, "tiny", progress=lambda *step: seen.append(step))
    shown = shelf.show_model(vault, "tiny")
    assert shown["family"] == "llama"
    assert shown["parameters"] == 10_320
    assert (shown["layers"], shown["hidden"], shown["context"]) == (2, 16, 64)
    assert shown["chat_template"]["source"] == "own"
    folder = shelf.model_folder(vault, entry.object_id)
    assert folder.stat().st_mode & 0o777 == 0o700
    for file, pin in shown["files"].items():
        data = (folder / file).read_bytes()
        assert pin == {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
        assert (folder / file).stat().st_mode & 0o777 == 0o600
    assert sorted(shown["files"]) == sorted(item.name for item in folder.iterdir())
    lines = "".join(f"{pin['sha256']}  {file}\n" for file, pin in sorted(shown["files"].items()))
    assert shown["sha256"] == hashlib.sha256(lines.encode()).hexdigest()
    assert seen[-1][0] == seen[-1][1] > 0
    assert shelf.model_facts(entry).weight_bytes == 20_640
    assert [item["model"] for item in shelf.list_models(vault)] == ["tiny"]
    assert events(vault)[-1] == "model_added"
    assert shelf.verify_model(vault, "tiny").bad == ()


def test_the_clean_folder_loads_in_transformers(vault: Vault, made: Path) -> None:
    os.environ["HF_HUB_OFFLINE"] = "1"
    from transformers import AutoModelForCausalLM, AutoTokenizer

    entry = shelf.add_model(vault, made, "tiny")
    folder = shelf.model_folder(vault, entry.object_id)
    model = AutoModelForCausalLM.from_pretrained(folder)
    assert model.num_parameters() == 10_320
    chat = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello there"}]
    ids = AutoTokenizer.from_pretrained(folder).apply_chat_template(chat)["input_ids"]
    codec = TextCodec.open(folder)
    assert codec.encode_chat([("user", "Hi"), ("assistant", "Hello there")]).ids == ids


CLASSES = {
    "llama": "LlamaTokenizerFast",
    "qwen2": "Qwen2Tokenizer",
    "gemma2": "GemmaTokenizerFast",
    "phi3": "LlamaTokenizer",
}


@pytest.mark.parametrize("family", CLASSES)
def test_transformers_cuts_text_as_the_tokenizer_file_says(
    vault: Vault, tmp_path: Path, family: str
) -> None:
    """Named tokenizer classes would be built anew from the vocabulary, with other cuts."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    from transformers import AutoTokenizer

    special = ["<unk>", "<s>", "</s>"]
    if family == "qwen2":
        tokenizer = tiny.byte_tokenizer(special, cuts=tiny.QWEN_CUTS)
    else:
        tokenizer = tiny.piece_tokenizer(special, bos="<s>")
    config = {"model_type": family, "architectures": None, "head_dim": 8, "pad_token_id": 0}
    source = tiny.write_model(tmp_path / "m", **config)
    tiny.write_tokenizer(
        source,
        tokenizer,
        template=tiny.MISTRAL,
        tokenizer_class=CLASSES[family],
        add_bos_token=True,
        add_prefix_space=True,
        legacy=False,
        bos_token="<s>",
    )
    (source / "special_tokens_map.json").write_text(json.dumps({"eos_token": "</s>"}))
    folder = shelf.model_folder(vault, shelf.add_model(vault, source, family).object_id)
    codec, real = TextCodec.open(folder), AutoTokenizer.from_pretrained(folder)
    turns = [("user", "Hello there, 1234 you're é"), ("assistant", "The patient  reports.")]
    chat = [{"role": role, "content": content} for role, content in turns]
    assert codec.encode_chat(turns).ids == real.apply_chat_template(chat)["input_ids"]
    text = codec.encode_text("Please transfer 12")
    assert text.ids == [*real("Please transfer 12")["input_ids"], real.eos_token_id]
    assert real.decode(text.ids) == codec.decode(text.ids, skip_special=False)
    assert codec.encode_chat(turns).ids == TextCodec.open(source).encode_chat(turns).ids


def test_weights_can_be_referenced(vault: Vault, made: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    shutil.copytree(made, source)
    entry = shelf.add_model(vault, source, "tiny", weights="reference")
    weights = shelf.model_folder(vault, entry.object_id) / "model.safetensors"
    assert weights.is_symlink()
    assert entry.record["references"] == {
        "model.safetensors": str((source / "model.safetensors").resolve())
    }
    assert not (weights.parent / "config.json").is_symlink()
    assert shelf.verify_model(vault, "tiny").bad == ()
    data = bytearray((source / "model.safetensors").read_bytes())
    data[-1] ^= 1
    (source / "model.safetensors").write_bytes(data)
    assert shelf.verify_model(vault, "tiny").bad == (
        "model.safetensors: not the bytes that were registered",
    )
    (source / "model.safetensors").unlink()
    assert shelf.verify_model(vault, "tiny").bad == ("model.safetensors: missing",)
    shelf.remove_model(vault, "tiny")
    assert source.joinpath("config.json").exists()


def test_every_changed_file_is_noticed(vault: Vault, made: Path) -> None:
    entry = shelf.add_model(vault, made, "tiny")
    folder = shelf.model_folder(vault, entry.object_id)
    for item in sorted(folder.iterdir()):
        before = item.read_bytes()
        item.write_bytes(before[:-1] + bytes([before[-1] ^ 1]))
        assert [line.split(":")[0] for line in shelf.verify_model(vault, "tiny").bad] == [item.name]
        item.write_bytes(before)
    (folder / "planted.py").write_text("")
    assert shelf.verify_model(vault, "tiny").bad == ("planted.py: not one of the model's files",)


def test_a_chosen_template_is_written_down(vault: Vault, tmp_path: Path) -> None:
    folder = tiny.write_model(tmp_path / "base", template=None)
    entry = shelf.add_model(vault, folder, "base")
    record = entry.record["template"]
    assert (record["source"], record["name"]) == ("chosen", "chatml")
    written = shelf.model_folder(vault, entry.object_id) / "chat_template.jinja"
    assert hashlib.sha256(written.read_bytes()).hexdigest() == record["sha256"]
    assert "chat_template.jinja" in entry.record["files"]


def test_names_are_checked_first(vault: Vault, made: Path) -> None:
    shelf.add_model(vault, made, "tiny")
    for name, code in (("tiny", "name_taken"), ("", "bad_name"), ("a/b", "bad_name")):
        with pytest.raises(BadInput) as refusal:
            shelf.add_model(vault, made, name)
        assert refusal.value.code == code
    with pytest.raises(NotFound):
        shelf.show_model(vault, "other")


def test_removal_shreds_and_asks_first_when_adapters_need_it(vault: Vault, made: Path) -> None:
    entry = shelf.add_model(vault, made, "tiny")
    adapter = new_id("ad")
    vault.new_key(adapter)
    base = {"object_id": entry.object_id, "name": "tiny"}
    vault.catalogue.put("adapter", adapter, "triage", {"base": base})
    with pytest.raises(BadInput) as refusal:
        shelf.remove_model(vault, "tiny")
    assert refusal.value.code == "in_use"
    shelf.remove_model(vault, "tiny", force=True)
    assert list(vault.models_folder.iterdir()) == []
    assert entry.object_id not in vault.key_ids()
    assert events(vault)[-1] == "model_removed"


def test_a_full_disk_is_noticed_before_copying(
    vault: Vault, made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(made)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(DoesNotFit) as refusal:
        shelf.add_model(vault, made, "tiny")
    assert refusal.value.code == "disk_full"
    assert nothing_is_left(vault)


def test_a_folder_that_changes_meanwhile_is_refused(
    vault: Vault, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "source"
    shutil.copytree(made, source)

    def inspect_then_change(folder: Path) -> inspection.Inspection:
        found = inspection.inspect_folder(folder)
        config = json.loads((source / "config.json").read_text())
        (source / "config.json").write_text(json.dumps(config | {"auto_map": {}}))
        return found

    monkeypatch.setattr(shelf, "inspect_folder", inspect_then_change)
    with pytest.raises(Refused):
        shelf.add_model(vault, source, "tiny")
    assert nothing_is_left(vault)


def test_what_a_crash_left_is_swept(vault: Vault, made: Path) -> None:
    orphan = new_id("mo")
    vault.new_key(orphan)
    durable.make_private_folder(vault.models_folder / orphan)
    durable.make_private_folder(vault.models_folder / ".stage-x")
    entry = shelf.add_model(vault, made, "tiny")
    assert [item.name for item in vault.models_folder.iterdir()] == [entry.object_id]
    assert orphan not in vault.key_ids()


def test_the_starter_is_registered(vault: Vault) -> None:
    entry = shelf.add_starter(vault)
    assert entry.name == "starter"
    assert entry.record["weights"] == "copy"
    assert entry.record["template"]["marks_answers"]
    codec = TextCodec.open(shelf.model_folder(vault, entry.object_id))
    os.environ["HF_HUB_OFFLINE"] = "1"
    from transformers import AutoTokenizer

    turns = [("system", "Be brief."), ("user", "Note: fever."), ("assistant", "URGENCY: high")]
    encoded = codec.encode_chat(turns)
    assert encoded.ended
    real = AutoTokenizer.from_pretrained(shelf.model_folder(vault, entry.object_id))
    chat = [{"role": role, "content": content} for role, content in turns]
    wanted = real.apply_chat_template(chat, return_dict=True, return_assistant_tokens_mask=True)
    assert encoded.ids == wanted["input_ids"]
    assert encoded.counted == [bool(flag) for flag in wanted["assistant_masks"]]
    assert codec.decode([n for n, c in zip(encoded.ids, encoded.counted, strict=True) if c]) == (
        "URGENCY: high"
    )


def nothing_is_left(vault: Vault) -> bool:
    keys = [key for key in vault.key_ids() if key.startswith("mo-")]
    folders = list(vault.models_folder.iterdir())
    return not keys and not folders and vault.catalogue.entries("model") == []
