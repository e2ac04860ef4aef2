"""Which chat template a model is used with: its own, or one of ours where it has none."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Literal

from workbench.errors import BadInput
from workbench.models.reading import TEMPLATE_LIMIT, read_object_if_there, read_text
from workbench.models.tokenizing import LoadedTokenizer

TEMPLATE_FILE = "chat_template.jinja"


@dataclass(frozen=True)
class SelectedTemplate:
    """A chat template and where it comes from.

    Attributes:
        origin: `own` (the model brought it) or `chosen` (one of ours).
        name: The file or the name under which it was found.
        source: The template's text.
    """

    origin: Literal["own", "chosen"]
    name: str
    source: str

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.source.encode()).hexdigest()


def select_template(folder: Path, tokenizer: LoadedTokenizer) -> SelectedTemplate:
    """Return the folder's own template, or choose one that needs only tokens it knows.

    Raises:
        BadInput: The folder's templates are unreadable or none of several is the default.
    """
    return own_template(folder) or _chosen(tokenizer)


def own_template(folder: Path) -> SelectedTemplate | None:
    """Return the template that a folder brings, in the order in which transformers looks."""
    path = folder / TEMPLATE_FILE
    if path.exists():
        return SelectedTemplate("own", TEMPLATE_FILE, read_text(path, TEMPLATE_LIMIT))
    value = read_object_if_there(folder / "tokenizer_config.json").get("chat_template")
    if value is None:
        return None
    if isinstance(value, str):
        return SelectedTemplate("own", "tokenizer_config.json", value)
    named = _named(value)
    if "default" in named:
        return SelectedTemplate("own", "default", named["default"])
    if len(named) == 1:
        name, source = next(iter(named.items()))
        return SelectedTemplate("own", name[:80], source)
    raise BadInput(
        "The model brings several chat templates and none is named default.",
        hint="Save the one to use as chat_template.jinja in a copy of the folder.",
        code="bad_chat_template",
    )


def _named(value: object) -> dict[str, str]:
    items = value if isinstance(value, list) else []
    named = {
        item["name"]: item["template"]
        for item in items
        if isinstance(item, dict)
        and isinstance(item.get("name"), str)
        and isinstance(item.get("template"), str)
    }
    if not named or len(named) != len(items):
        raise BadInput(
            "tokenizer_config.json: chat_template is neither a text nor a list of named texts.",
            code="bad_chat_template",
        )
    return named


def _chosen(tokenizer: LoadedTokenizer) -> SelectedTemplate:
    known = tokenizer.engine.token_to_id
    if known("<|im_start|>") is not None and known("<|im_end|>") is not None:
        name = "chatml"
    elif "eos_token" not in tokenizer.names:
        raise BadInput(
            "The model names no end token, so no chat template can be chosen for it.",
            hint="Set eos_token in tokenizer_config.json.",
            code="tokenizer_broken",
        )
    else:
        name = "plain-bos" if tokenizer.adds_bos else "plain"
    shipped = resources.files("workbench.models") / "chat_templates" / f"{name}.jinja"
    return SelectedTemplate("chosen", name, shipped.read_text(encoding="utf-8"))
