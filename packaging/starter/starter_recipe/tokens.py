"""The byte-level BPE tokenizer: trained on the corpus, kept as the files that others load."""

import json
from itertools import islice
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from starter_recipe.corpus import TRAINING_SEED, Document, documents

USER, ASSISTANT, END, PAD = "<|user|>", "<|assistant|>", "<|end|>", "<|pad|>"
SPECIAL_TOKENS = (PAD, USER, ASSISTANT, END)
VOCABULARY = 4096
CONTEXT = 1024

# Qwen2's split pattern: digits stand alone, and llama.cpp knows it under the name "qwen2".
_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)

# A system message opens the first user turn; three special tokens are enough for that.
CHAT_TEMPLATE = (
    "{%- set state = namespace(system='') -%}\n"
    "{%- for message in messages -%}\n"
    "{%- if message['role'] == 'system' -%}\n"
    "{%- set state.system = message['content'] + '\\n\\n' -%}\n"
    "{%- elif message['role'] == 'user' -%}\n"
    "{{- '<|user|>' + state.system + message['content'] + '<|end|>' -}}\n"
    "{%- set state.system = '' -%}\n"
    "{%- elif message['role'] == 'assistant' -%}\n"
    "{{- '<|assistant|>' -}}\n"
    "{%- generation -%}\n"
    "{{- message['content'] + '<|end|>' -}}\n"
    "{%- endgeneration -%}\n"
    "{%- else -%}\n"
    "{{- raise_exception('roles are system, user and assistant') -}}\n"
    "{%- endif -%}\n"
    "{%- endfor -%}\n"
    "{%- if add_generation_prompt -%}\n"
    "{{- '<|assistant|>' -}}\n"
    "{%- endif -%}\n"
)


def render(messages: tuple[dict[str, str], ...]) -> str:
    """What the chat template makes of ``messages``, without its cost."""
    text, system = "", ""
    for message in messages:
        if message["role"] == "system":
            system = message["content"] + "\n\n"
        elif message["role"] == "user":
            text += USER + system + message["content"] + END
            system = ""
        else:
            text += ASSISTANT + message["content"] + END
    return text


def document_text(document: Document) -> str:
    """The training text of ``document``, end token included."""
    return render(document.messages) if document.text is None else document.text + END


def train_tokenizer(count: int = 30_000) -> Tokenizer:
    """BPE over the first ``count`` documents of the corpus."""
    tokenizer = Tokenizer(models.BPE(ignore_merges=False))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_SPLIT), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    texts = (
        document.text or "\n".join(message["content"] for message in document.messages)
        for document in islice(documents(TRAINING_SEED, settled=True), count)
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def save_tokenizer(tokenizer: Tokenizer, folder: Path) -> None:
    """Write tokenizer.json, tokenizer_config.json, special_tokens_map.json, chat_template.jinja."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    named = {"eos_token": END, "pad_token": PAD, "additional_special_tokens": [USER, ASSISTANT]}
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": CONTEXT,
        "bos_token": None,
        "unk_token": None,
        **named,
        "clean_up_tokenization_spaces": False,
        "chat_template": CHAT_TEMPLATE,
    }
    write_json(folder / "tokenizer_config.json", settings)
    write_json(folder / "special_tokens_map.json", named)
    (folder / "chat_template.jinja").write_text(CHAT_TEMPLATE, encoding="utf-8")


def token_id(tokenizer: Tokenizer, token: str) -> int:
    """The id of a special token that the tokenizer is known to have."""
    found = tokenizer.token_to_id(token)
    assert found is not None, token
    return found


def write_json(path: Path, value: object) -> None:
    """Write ``value`` as indented JSON with a final line break."""
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
