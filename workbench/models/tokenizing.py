"""The tokenizer of a model's folder: `tokenizer.json` through the `tokenizers` library.

Only the fast format is read. A SentencePiece `tokenizer.model` alone would need its own library
and a conversion whose result could differ from what the model was trained with.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tokenizers import AddedToken, Encoding, Tokenizer

from workbench.errors import BadInput
from workbench.models.reading import (
    TOKENIZER_LIMIT,
    parse_object,
    read_object,
    read_object_if_there,
    read_text,
)

SETTINGS_FILE = "tokenizer_config.json"
_NAMED = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token")

# Settings by which transformers changes what tokenizer.json says.
_REBUILDING = frozenset(
    {
        "add_bos_token",
        "add_eos_token",
        "add_prefix_space",
        "fix_mistral_regex",
        "legacy",
        "sp_model_kwargs",
        "tokenizer_file",
        "vocab_file",
        "merges_file",
    }
)


@dataclass(frozen=True)
class LoadedTokenizer:
    """A tokenizer with what its folder says about special tokens.

    Attributes:
        names: `bos_token`, `eos_token` … and the text of each; absent ones are left out.
        added: Texts of all tokens that are never cut: special ones, and others put in by hand.
        end_ids: Ids that end an answer according to the folder's configuration files.
        pad_id: Id to fill batches with; the first end id where the folder names none.
        adds_bos: Whether plain text starts with the BOS token.
    """

    engine: Tokenizer
    names: dict[str, str]
    added: frozenset[str]
    end_ids: frozenset[int]
    pad_id: int
    adds_bos: bool

    def encode(self, text: str, *, add_special: bool) -> Encoding:
        """Encode text.

        Raises:
            BadInput: The text cannot be encoded (a lone surrogate) or the tokenizer fails.
        """
        try:
            return self.engine.encode(text, add_special_tokens=add_special)
        except BaseException as error:
            _pass_on_unless_tokenizer(error)
            raise BadInput("The tokenizer cannot encode this text.", code="bad_text") from None


def load_tokenizer(folder: Path) -> LoadedTokenizer:
    """Load the tokenizer of a model's folder.

    Raises:
        BadInput: `tokenizer_missing` or `tokenizer_broken`.
    """
    path = folder / "tokenizer.json"
    if not path.exists():
        slow = (folder / "tokenizer.model").exists()
        raise BadInput(
            "The model has no tokenizer.json.",
            hint="Only tokenizer.model is there: save the fast tokenizer beside it."
            if slow
            else "Copy the tokenizer's files into the model's folder.",
            code="tokenizer_missing",
        )
    settings = read_object_if_there(folder / SETTINGS_FILE)
    engine = _parse(read_text(path, TOKENIZER_LIMIT))
    _add_missing(engine, settings)
    names = _names(settings, read_object_if_there(folder / "special_tokens_map.json"))
    ends = _end_ids(folder, engine, names)
    pad = engine.token_to_id(names["pad_token"]) if "pad_token" in names else None
    added = {token.content for token in engine.get_added_tokens_decoder().values()}
    added |= {text for text in names.values() if engine.token_to_id(text) is not None}
    return LoadedTokenizer(
        engine=engine,
        names=names,
        added=frozenset(added),
        end_ids=ends,
        pad_id=pad if pad is not None else min(ends, default=0),
        adds_bos=_adds_bos(engine, names.get("bos_token")),
    )


def plain_settings(folder: Path, tokenizer: LoadedTokenizer) -> dict[str, object]:
    """Return a tokenizer_config.json with which transformers takes tokenizer.json as it is.

    transformers 5 builds the tokenizers of named classes (`LlamaTokenizer` …) anew from the
    vocabulary, by rules that can differ from those in tokenizer.json; other programs, and
    transformers before it, follow the file. The plain class follows it too, so that training,
    chat and every export cut text alike. (For the family qwen2 transformers 5.23 ignores what is
    asked for and always cuts as Qwen's own tokenizer files do.) The chat template has a file of
    its own.
    """
    kept = {
        key: value
        for key, value in read_object_if_there(folder / SETTINGS_FILE).items()
        if key not in _REBUILDING and key != "chat_template"
    }
    named = {key: tokenizer.names[key] for key in _NAMED if key in tokenizer.names}
    return {**kept, **named, "tokenizer_class": "PreTrainedTokenizerFast"}


def _parse(text: str) -> Tokenizer:
    parse_object(text, "tokenizer.json")
    try:
        engine = Tokenizer.from_str(text)
        # A folder may carry the settings of somebody's last batch; records are never cut.
        engine.no_truncation()
        engine.no_padding()
        engine.encode("Probe 1.", add_special_tokens=True)
    except BaseException as error:
        _pass_on_unless_tokenizer(error)
        raise BadInput(
            "tokenizer.json is broken: the tokenizers library does not accept it.",
            hint="Copy the model's files again from its publisher.",
            code="tokenizer_broken",
        ) from None
    if engine.get_vocab_size() == 0:
        raise BadInput("tokenizer.json has no tokens.", code="tokenizer_broken")
    return engine


def _pass_on_unless_tokenizer(error: BaseException) -> None:
    """Re-raise what is not the library's: it raises bare `Exception`, and its Rust code panics
    with a class that derives from BaseException."""
    if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
        raise error


def _add_missing(engine: Tokenizer, settings: Mapping[str, object]) -> None:
    """Add tokens that only tokenizer_config.json lists, under the ids that it gives them."""
    listed = settings.get("added_tokens_decoder")
    if not isinstance(listed, dict):
        return
    by_id = {int(key): item for key, item in listed.items() if str(key).isdecimal()}
    for number, item in sorted(by_id.items()):
        text = _content(item)
        if text is None or engine.token_to_id(text) is not None:
            continue
        special = isinstance(item, dict) and item.get("special") is True
        engine.add_tokens([AddedToken(text, special=special, normalized=False)])
        if engine.token_to_id(text) != number:
            raise BadInput(
                "tokenizer.json and tokenizer_config.json disagree about the added tokens.",
                code="tokenizer_broken",
            )


def _names(settings: Mapping[str, object], older: Mapping[str, object]) -> dict[str, str]:
    names: dict[str, str] = {}
    for source in (older, settings):
        for key in _NAMED:
            text = _content(source.get(key))
            if text is not None:
                names[key] = text
    extra = settings.get("extra_special_tokens")
    if isinstance(extra, dict):
        names |= {k: v for k, v in extra.items() if isinstance(v, str) and k.isidentifier()}
    return names


def _content(value: object) -> str | None:
    """A token stands either as its text or as an object with `content`."""
    if isinstance(value, dict):
        value = value.get("content")
    return value if isinstance(value, str) and value else None


def _end_ids(folder: Path, engine: Tokenizer, names: Mapping[str, str]) -> frozenset[int]:
    found: set[int] = set()
    size = engine.get_vocab_size(with_added_tokens=True)
    for name in ("generation_config.json", "config.json"):
        path = folder / name
        if not path.exists():
            continue
        value = read_object(path).get("eos_token_id")
        for item in value if isinstance(value, list) else [value]:
            if type(item) is int and 0 <= item < size:
                found.add(item)
    if "eos_token" in names:
        number = engine.token_to_id(names["eos_token"])
        if number is None:
            raise BadInput(
                "The tokenizer does not know its own end token.", code="tokenizer_broken"
            )
        found.add(number)
    return frozenset(found)


def _adds_bos(engine: Tokenizer, bos: str | None) -> bool:
    if bos is None:
        return False
    ids = engine.encode("a", add_special_tokens=True).ids
    return bool(ids) and ids[0] == engine.token_to_id(bos)
