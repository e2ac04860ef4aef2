"""The starter's model folder: shapes, size, special tokens, chat template."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from safetensors import safe_open
from tokenizers import Tokenizer
from transformers import AutoTokenizer

STARTER = Path(__file__).resolve().parents[2] / "workbench" / "starter"
MODEL = STARTER / "model"
CHAT = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Who takes this?"},
    {"role": "assistant", "content": "The cards team."},
    {"role": "user", "content": "Is it urgent?"},
    {"role": "assistant", "content": "No."},
]


@pytest.fixture(scope="module")
def config() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((MODEL / "config.json").read_text(encoding="utf-8"))
    return found


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return AutoTokenizer.from_pretrained(MODEL)


def test_the_weights_are_small_bfloat16_and_complete(config: dict[str, Any]) -> None:
    path = MODEL / "model.safetensors"
    assert path.stat().st_size <= 16_000_000
    with safe_open(path, framework="pt") as weights:
        shapes = {name: tuple(weights.get_slice(name).get_shape()) for name in weights.keys()}  # noqa: SIM118  no dict
        kinds = {weights.get_slice(name).get_dtype() for name in shapes}
    assert kinds == {"BF16"}
    assert shapes["model.embed_tokens.weight"] == (config["vocab_size"], config["hidden_size"])
    assert shapes["model.layers.7.mlp.down_proj.weight"] == (256, 768)
    assert shapes["model.layers.0.self_attn.k_proj.weight"] == (128, 256)
    assert "lm_head.weight" not in shapes
    assert sum(rows * (rest[0] if rest else 1) for rows, *rest in shapes.values()) > 7_000_000
    assert len(shapes) == 8 * 9 + 2


def test_config_names_the_family_and_the_tokens(config: dict[str, Any], tokenizer: Any) -> None:
    assert config["architectures"] == ["LlamaForCausalLM"]
    assert config["tie_word_embeddings"] is True
    assert "auto_map" not in config
    generation = json.loads((MODEL / "generation_config.json").read_text(encoding="utf-8"))
    assert config["eos_token_id"] == generation["eos_token_id"] == tokenizer.eos_token_id
    assert config["pad_token_id"] == generation["pad_token_id"] == tokenizer.pad_token_id
    assert tokenizer.pad_token_id != tokenizer.eos_token_id


def test_special_tokens_are_single_and_text_survives(tokenizer: Any) -> None:
    plain = Tokenizer.from_file(str(MODEL / "tokenizer.json"))
    for token in ("<|user|>", "<|assistant|>", "<|end|>", "<|pad|>"):
        assert plain.encode(token).ids == [tokenizer.convert_tokens_to_ids(token)]
    assert plain.get_vocab_size() <= 4096
    text = "Ärger  at 09:30,\n\tcase 4821: it's \u20ac5 \U0001f600"
    assert plain.decode(plain.encode(text).ids) == text
    assert tokenizer(text).input_ids == plain.encode(text).ids


def test_generation_markers_cover_each_answer_and_its_end(tokenizer: Any) -> None:
    made = tokenizer.apply_chat_template(CHAT, return_dict=True, return_assistant_tokens_mask=True)
    marked = [
        token
        for token, inside in zip(made["input_ids"], made["assistant_masks"], strict=True)
        if inside
    ]
    assert tokenizer.decode(marked) == "The cards team.<|end|>No.<|end|>"


def test_the_template_opens_the_first_turn_with_the_system_line(tokenizer: Any) -> None:
    text = tokenizer.apply_chat_template(CHAT[:2], tokenize=False, add_generation_prompt=True)
    assert text == "<|user|>Be brief.\n\nWho takes this?<|end|><|assistant|>"
    assert tokenizer.chat_template == (MODEL / "chat_template.jinja").read_text(encoding="utf-8")


def test_the_description_holds_the_hash_of_every_file() -> None:
    described = json.loads((STARTER / "starter.json").read_text(encoding="utf-8"))
    for part in ("model", "data"):
        files = {entry["path"]: entry for entry in described[part]["files"]}
        present = {f"{part}/{path.name}" for path in (STARTER / part).iterdir()}
        assert set(files) == present
        for path, entry in files.items():
            content = (STARTER / path).read_bytes()
            assert entry["sha256"] == hashlib.sha256(content).hexdigest(), path
            assert entry["bytes"] == len(content)
