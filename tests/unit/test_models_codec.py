"""The codec writes the ids that transformers writes, and counts the right tokens."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures import tiny_models as tiny
from workbench.errors import BadInput
from workbench.models.codec import TextCodec

CHATML_TOKENS = ["<unk>", "<|endoftext|>", "<|im_start|>", "<|im_end|>"]
LLAMA3_TOKENS = [
    "<|begin_of_text|>",
    "<|end_of_text|>",
    "<|eot_id|>",
    "<|start_header_id|>",
    "<|end_header_id|>",
]
PHI_TOKENS = ["<unk>", "<s>", "<|endoftext|>", "<|end|>", "<|user|>", "<|assistant|>", "<|system|>"]
GEMMA_TOKENS = ["<pad>", "<eos>", "<bos>", "<start_of_turn>", "<end_of_turn>"]

SINGLE = [("user", "Hello there"), ("assistant", "The patient reports a mild headache.")]
MULTI = [
    ("user", "Hello there"),
    ("assistant", "  How can I help you today?  "),
    ("user", "Please transfer 1234."),
    ("assistant", "Hello there"),
]
SYSTEM = [("system", "You are a clerk."), *MULTI]


def folder_for(case: str, root: Path) -> Path:
    folder = root / case
    if case in {"chatml", "qwen", "thinking", "marked"}:
        template = {
            "chatml": tiny.CHATML,
            "qwen": tiny.QWEN,
            "thinking": tiny.THINKING,
            "marked": tiny.MARKED,
        }[case]
        tokenizer = tiny.byte_tokenizer(CHATML_TOKENS)
        return tiny.write_tokenizer(
            folder, tokenizer, template=template, eos_token="<|im_end|>", pad_token="<|endoftext|>"
        )
    if case == "llama3":
        tokenizer = tiny.byte_tokenizer(LLAMA3_TOKENS, bos="<|begin_of_text|>")
        return tiny.write_tokenizer(
            folder,
            tokenizer,
            template=tiny.LLAMA3,
            bos_token="<|begin_of_text|>",
            eos_token="<|end_of_text|>",
        )
    if case == "mistral":
        tokenizer = tiny.piece_tokenizer(["<unk>", "<s>", "</s>"], bos="<s>")
        return tiny.write_tokenizer(
            folder, tokenizer, template=tiny.MISTRAL, bos_token="<s>", eos_token="</s>"
        )
    if case == "gemma":
        tokenizer = tiny.piece_tokenizer(GEMMA_TOKENS, bos="<bos>")
        return tiny.write_tokenizer(
            folder,
            tokenizer,
            template=[{"name": "default", "template": tiny.GEMMA}],
            bos_token={"content": "<bos>", "__type": "AddedToken"},
            eos_token="<eos>",
        )
    assert case == "phi3"
    return tiny.write_tokenizer(
        folder,
        tiny.piece_tokenizer(PHI_TOKENS, bos="<s>"),
        template=tiny.PHI3,
        as_file=True,
        bos_token="<s>",
        eos_token="<|endoftext|>",
    )


CASES = ["chatml", "qwen", "thinking", "marked", "llama3", "mistral", "gemma", "phi3"]
TURN_ENDS = {
    "llama3": "<|eot_id|>",
    "mistral": "</s>",
    "gemma": "<end_of_turn>",
    "phi3": "<|end|>",
}


def reference(folder: Path) -> Any:
    os.environ["HF_HUB_OFFLINE"] = "1"
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder)


def as_dicts(messages: list[tuple[str, str]]) -> list[dict[str, str]]:
    return [{"role": role, "content": content} for role, content in messages]


@pytest.mark.parametrize("case", CASES)
def test_ids_equal_those_of_transformers(case: str, tmp_path: Path) -> None:
    folder = folder_for(case, tmp_path)
    codec = TextCodec.open(folder)
    real = reference(folder)
    for messages in (SINGLE, MULTI, SYSTEM):
        if codec.folds_system and messages is SYSTEM:
            continue
        wanted = real.apply_chat_template(as_dicts(messages), tokenize=True)["input_ids"]
        assert codec.encode_chat(messages).ids == wanted
        prompt = real.apply_chat_template(
            as_dicts(messages[:-1]), tokenize=True, add_generation_prompt=True
        )["input_ids"]
        assert codec.encode_prompt(messages[:-1]) == prompt


@pytest.mark.parametrize("case", CASES)
def test_the_pieces_are_the_whole_text(case: str, tmp_path: Path) -> None:
    codec = TextCodec.open(folder_for(case, tmp_path))
    for messages in (SINGLE, MULTI, SYSTEM):
        encoded = codec.encode_chat(messages)
        pieces = codec.cut(encoded)
        assert "".join(text for text, _ in pieces) == encoded.text
        learnt = [text for text, counted in pieces if counted]
        answers = [content.strip() for role, content in messages if role == "assistant"]
        assert len(learnt) == len(answers)
        assert all(a in piece for a, piece in zip(answers, learnt, strict=True))
    encoded = codec.encode_text("Some text.")
    end = codec.tokenizer.engine.id_to_token(codec.end_id)
    start = codec.tokenizer.names["bos_token"] if codec.tokenizer.adds_bos else ""
    wanted = [(start, False)] * bool(start) + [(f"Some text.{end}", True)]
    assert codec.cut(encoded) == wanted


@pytest.mark.parametrize("case", CASES)
def test_only_answers_and_their_end_tokens_count(case: str, tmp_path: Path) -> None:
    codec = TextCodec.open(folder_for(case, tmp_path))
    end = TURN_ENDS.get(case, "<|im_end|>")
    for messages in (SINGLE, MULTI, SYSTEM):
        encoded = codec.encode_chat(messages)
        assert encoded.ended
        assert len(encoded.ids) == len(encoded.counted)
        pieces = [
            codec.decode([number], skip_special=False) if flag else "\0"
            for number, flag in zip(encoded.ids, encoded.counted, strict=True)
        ]
        stretches = [part for part in "".join(pieces).split("\0") if part]
        answers = [content for role, content in messages if role == "assistant"]
        assert len(stretches) == len(answers)
        for stretch, answer in zip(stretches, answers, strict=True):
            assert stretch.endswith(end)
            shown = stretch.removesuffix(end).replace("<think>\n\n</think>\n\n", "")
            if case in {"mistral", "gemma", "phi3"}:  # decoding drops the spaces between pieces
                assert "".join(shown.split()) == "".join(answer.split())
            else:
                assert shown.strip() == answer.strip()
        assert codec.eos_ids >= {
            encoded.ids[len(encoded.ids) - 1 - encoded.counted[::-1].index(True)]
        }


def test_marks_equal_those_of_transformers(tmp_path: Path) -> None:
    folder = folder_for("marked", tmp_path)
    codec, real = TextCodec.open(folder), reference(folder)
    for messages in (SINGLE, MULTI, SYSTEM):
        wanted = real.apply_chat_template(
            as_dicts(messages), tokenize=True, return_dict=True, return_assistant_tokens_mask=True
        )
        encoded = codec.encode_chat(messages)
        assert encoded.counted == [bool(flag) for flag in wanted["assistant_masks"]]


def test_marks_that_leave_the_end_token_out_are_widened(tmp_path: Path) -> None:
    template = tiny.MARKED.replace(
        "{{ message['content'] + '<|im_end|>' }}{% endgeneration %}{{ '\\n' }}",
        "{{ message['content'] }}{% endgeneration %}{{ '<|im_end|>\\n' }}",
    )
    assert template != tiny.MARKED
    tokenizer = tiny.byte_tokenizer(CHATML_TOKENS)
    folder = tiny.write_tokenizer(
        tmp_path / "m", tokenizer, template=template, eos_token="<|endoftext|>"
    )
    encoded = TextCodec.open(folder).encode_chat(SINGLE)
    assert encoded.ended
    assert encoded.ids[encoded.counted.index(True) :][-2] == tokenizer.token_to_id("<|im_end|>")


@pytest.mark.parametrize("case", ["llama3", "mistral", "gemma"])
def test_the_first_token_never_stands_twice(case: str, tmp_path: Path) -> None:
    codec = TextCodec.open(folder_for(case, tmp_path))
    for ids in (codec.encode_chat(SINGLE).ids, codec.encode_text("Hello there").ids):
        assert ids[0] != ids[1]


def test_text_is_counted_but_for_the_first_token(tmp_path: Path) -> None:
    folder = folder_for("llama3", tmp_path)
    codec, real = TextCodec.open(folder), reference(folder)
    encoded = codec.encode_text("The patient reports.")
    assert encoded.ids == [*real("The patient reports.")["input_ids"], real.eos_token_id]
    assert encoded.counted == [False] + [True] * (len(encoded.ids) - 1)
    plain = TextCodec.open(folder_for("chatml", tmp_path)).encode_text("Hello")
    assert all(plain.counted)


def test_a_model_without_system_role_gets_it_folded_in(tmp_path: Path) -> None:
    codec = TextCodec.open(folder_for("gemma", tmp_path))
    assert codec.folds_system
    folded = [("user", "You are a clerk.\n\nHello there"), *MULTI[1:]]
    assert codec.encode_chat(SYSTEM).ids == codec.encode_chat(folded).ids


def test_a_template_that_moves_text_is_refused_with_a_remedy(tmp_path: Path) -> None:
    moving = (
        "{% for m in messages %}{% if loop.last %}{{ messages|length }}{% endif %}"
        "{{ m.content }}<|im_end|>{% endfor %}"
    )
    folder = tiny.write_tokenizer(
        tmp_path / "m",
        tiny.byte_tokenizer(CHATML_TOKENS),
        template=moving,
        eos_token="<|im_end|>",
    )
    with pytest.raises(BadInput) as refusal:
        TextCodec.open(folder).encode_chat(MULTI)
    assert refusal.value.code == "template_not_prefix_stable"
    assert "generation" in refusal.value.hint


def test_a_refused_conversation_is_not_quoted(tmp_path: Path) -> None:
    template = tiny.MISTRAL.replace("must alternate", "' + messages[0]['content'] + '")
    folder = tiny.write_tokenizer(
        tmp_path / "m",
        tiny.byte_tokenizer(["<s>", "</s>"]),
        template=template,
        bos_token="<s>",
        eos_token="</s>",
    )
    with pytest.raises(BadInput) as refusal:
        TextCodec.open(folder).encode_chat([("assistant", "secret"), ("user", "secret")])
    assert refusal.value.code == "template_refused_record"
    assert "secret" not in refusal.value.message + refusal.value.hint


@pytest.mark.parametrize("bos", [None, "<s>"])
def test_a_template_is_chosen_where_none_is(bos: str | None, tmp_path: Path) -> None:
    tokenizer = tiny.byte_tokenizer(["<unk>", "<s>", "</s>"], bos=bos)
    folder = tiny.write_tokenizer(tmp_path / "m", tokenizer, eos_token="</s>", bos_token=bos)
    codec = TextCodec.open(folder)
    assert codec.template.origin == "chosen"
    assert codec.template.name == ("plain" if bos is None else "plain-bos")
    encoded = codec.encode_chat(SYSTEM)
    assert encoded.ended
    assert encoded.text.startswith("<s>You" if bos else "You are a clerk.\n\n### User:\nHello")
    assert sum(number == tokenizer.token_to_id("</s>") for number in encoded.ids) == 2
    prompt = codec.encode_prompt(SYSTEM[:-1])
    assert encoded.ids[: len(prompt)] == prompt
    (folder / "chat_template.jinja").write_text(codec.template.source)
    wanted = reference(folder).apply_chat_template(as_dicts(SYSTEM), tokenize=True)["input_ids"]
    assert encoded.ids == wanted


def test_an_end_token_need_not_be_special(tmp_path: Path) -> None:
    tokenizer = tiny.byte_tokenizer(["<unk>", "<|endoftext|>"])
    tokenizer.add_tokens(["<|im_start|>", "<|im_end|>"])
    folder = tiny.write_tokenizer(tmp_path / "m", tokenizer, eos_token="<|endoftext|>")
    codec = TextCodec.open(folder)
    assert codec.encode_chat(MULTI).ended
    assert tokenizer.token_to_id("<|im_end|>") in codec.eos_ids


def test_an_answer_without_end_is_told(tmp_path: Path) -> None:
    endless = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
    endless += "{% if add_generation_prompt %}assistant: {% endif %}"
    folder = tiny.write_tokenizer(
        tmp_path / "m", tiny.byte_tokenizer(["</s>"]), template=endless, eos_token="</s>"
    )
    encoded = TextCodec.open(folder).encode_chat(MULTI)
    assert not encoded.ended
    assert any(encoded.counted)


def test_chatml_is_chosen_where_its_tokens_are(tmp_path: Path) -> None:
    folder = tiny.write_tokenizer(
        tmp_path / "m", tiny.byte_tokenizer(CHATML_TOKENS), eos_token="<|endoftext|>"
    )
    codec = TextCodec.open(folder)
    assert codec.template.name == "chatml"
    assert codec.encode_chat(SINGLE).ended
    assert len(codec.eos_ids) == 2


def test_template_file_wins_and_default_is_taken_of_several(tmp_path: Path) -> None:
    named = [
        {"name": "tool_use", "template": "{{ raise_exception('no') }}"},
        {"name": "default", "template": tiny.CHATML},
    ]
    tokenizer = tiny.byte_tokenizer(CHATML_TOKENS)
    folder = tiny.write_tokenizer(tmp_path / "m", tokenizer, template=named, eos_token="<|im_end|>")
    assert TextCodec.open(folder).template.name == "default"
    (folder / "chat_template.jinja").write_text(tiny.MARKED)
    assert TextCodec.open(folder).template.source == tiny.MARKED


def test_end_ids_come_from_every_place(tmp_path: Path) -> None:
    folder = folder_for("llama3", tmp_path)
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [7, 10**9, "x"]}))
    (folder / "config.json").write_text(json.dumps({"eos_token_id": 8}))
    assert TextCodec.open(folder).eos_ids == {1, 2, 7, 8}


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"tokenizer.json": None}, "tokenizer_missing"),
        ({"tokenizer.json": "{}"}, "tokenizer_broken"),
        ({"tokenizer.json": "[1]"}, "bad_json"),
        ({"tokenizer.json": '{"a": 1, "a": 2}'}, "bad_json"),
        ({"tokenizer.json": "[" * 100_000}, "bad_json"),
        ({"tokenizer_config.json": '{"eos_token": "<none>"}'}, "tokenizer_broken"),
        ({"tokenizer_config.json": "{}"}, "bad_chat_template"),
        ({"chat_template.jinja": "{% if %}"}, "bad_chat_template"),
        ({"chat_template.jinja": "silence"}, "bad_chat_template"),
        ({"chat_template.jinja": "{{ no_such_thing.upper() }}"}, "bad_chat_template"),
    ],
)
def test_broken_folders_are_refused(
    change: dict[str, str | None], code: str, tmp_path: Path
) -> None:
    folder = folder_for("chatml", tmp_path)
    (folder / "generation_config.json").unlink(missing_ok=True)
    for name, text in change.items():
        if text is None:
            (folder / name).unlink()
        else:
            (folder / name).write_text(text)
    if change == {"tokenizer_config.json": "{}"}:
        (folder / "chat_template.jinja").write_text("{{ bos_token.upper() }}")
    with pytest.raises(BadInput) as refusal:
        TextCodec.open(folder)
    assert refusal.value.code == code
