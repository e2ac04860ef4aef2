"""What a model is made of, read from its `config.json` alone: no weights, no torch.

The shapes follow the modelling code of transformers 5.23 for each family; the tests count the
parameters of the real classes on the meta device and compare.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from workbench.errors import BadInput

JSON = None | bool | int | float | str | list["JSON"] | dict[str, "JSON"]


@dataclass(frozen=True)
class LinearShape:
    """One linear module of a layer: `outputs` x `inputs` weights, and a bias where `bias`."""

    name: str
    inputs: int
    outputs: int
    bias: bool = False

    @property
    def parameters(self) -> int:
        return self.inputs * self.outputs + (self.outputs if self.bias else 0)


@dataclass(frozen=True)
class ModelFacts:
    """The numbers that planning, the shelf and the engine need; every count is exact.

    Attributes:
        family: The `model_type` of config.json, one of `FAMILIES`.
        hidden: Width of the residual stream.
        mlp: Width between the up and the down projection.
        context: Longest sequence the model was made for, in tokens.
        tied: Whether the output layer is the embedding table itself.
        linears: The linear modules of ONE layer, in the order of the forward pass.
        norms: Parameters of one layer's norms, the query and key norms included.
        qk_norm: Whether queries and keys are normed for each head.
        parameters: All distinct parameters, tied tables counted once.
        weight_bytes: Bytes of the tensors on disk; None when only the config was read.
    """

    family: str
    hidden: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    mlp: int
    vocab: int
    context: int
    tied: bool
    linears: tuple[LinearShape, ...]
    norms: int
    qk_norm: bool
    parameters: int
    weight_bytes: int | None = None

    def to_json(self) -> dict[str, JSON]:
        """Return plain JSON values; `from_json` undoes it."""
        plain: dict[str, JSON] = dataclasses.asdict(self)
        plain["linears"] = [dataclasses.asdict(linear) for linear in self.linears]
        return plain

    @classmethod
    def from_json(cls, plain: Mapping[str, JSON]) -> ModelFacts:
        """Rebuild facts from what `to_json` gave.

        Raises:
            BadInput: A field is missing, unknown or not of its kind.
        """
        try:
            # Of whatever kind: what does not fit is a TypeError below.
            fields: dict[str, Any] = dict(plain)
            listed = fields.pop("linears")
            linears = tuple(LinearShape(**linear) for linear in listed)
            return cls(linears=linears, **fields)
        except (KeyError, TypeError) as error:
            raise BadInput("The stored facts of a model are incomplete.") from error


@dataclass(frozen=True)
class _Family:
    """How one architecture differs from the plain Llama layout."""

    context: int
    kv_heads: int | None = None  # what a missing key means; None: as many as heads
    head_dim: int | None = None  # None: hidden / heads
    tied: bool = False
    qk_norm: bool = False
    sandwich_norms: bool = False  # two more norms, around the MLP
    fused: bool = False  # qkv_proj and gate_up_proj
    qkv_bias: bool = False
    may_bias_attention: bool = False  # honours `attention_bias`
    may_bias_mlp: bool = False


# Defaults are those of the configuration classes of transformers 5.23.
_FAMILIES = {
    "llama": _Family(context=2048, may_bias_attention=True, may_bias_mlp=True),
    "mistral": _Family(context=131_072, kv_heads=8),
    "qwen2": _Family(context=32_768, kv_heads=32, qkv_bias=True),
    "qwen3": _Family(
        context=32_768, kv_heads=32, head_dim=128, qk_norm=True, may_bias_attention=True
    ),
    "gemma2": _Family(
        context=8192,
        kv_heads=4,
        head_dim=256,
        tied=True,
        sandwich_norms=True,
        may_bias_attention=True,
    ),
    "gemma3_text": _Family(
        context=131_072,
        kv_heads=4,
        head_dim=256,
        tied=True,
        qk_norm=True,
        sandwich_norms=True,
        may_bias_attention=True,
    ),
    "phi3": _Family(context=4096, fused=True),
}
FAMILIES = tuple(_FAMILIES)
# Well-known encoders, which an analyst may try: they are told apart from misspelt families.
_ENCODERS = frozenset(
    ("albert", "bert", "deberta", "deberta-v2", "distilbert", "electra", "modernbert", "roberta",
     "xlm-roberta")
)  # fmt: skip

# No published model comes near; a hostile config must not make arithmetic or lists explode.
_MOST = {
    "hidden_size": 1 << 17,
    "num_hidden_layers": 1024,
    "num_attention_heads": 4096,
    "num_key_value_heads": 4096,
    "head_dim": 1 << 14,
    "intermediate_size": 1 << 20,
    "vocab_size": 1 << 24,
    "max_position_embeddings": 1 << 27,
}


def facts_from_config(config: Mapping[str, object]) -> ModelFacts:
    """Derive the facts of a model from its parsed `config.json`.

    Raises:
        BadInput: Unknown family, or a size that is missing, no number, or impossible.
    """
    family, traits = _family_of(config)
    hidden = _size(config, "hidden_size")
    heads = _size(config, "num_attention_heads")
    kv_default = heads if traits.kv_heads is None or _is_null(config) else traits.kv_heads
    kv_heads = _size(config, "num_key_value_heads", kv_default)
    head_dim = _size(config, "head_dim", traits.head_dim or max(1, hidden // heads))
    if heads % kv_heads or (config.get("head_dim") is None and not _splits(traits, hidden, heads)):
        raise BadInput(
            f"config.json does not add up: hidden size {hidden}, {heads} heads, "
            f"{kv_heads} key-value heads.",
            hint="Use config.json as the model's publisher gives it out.",
            code="bad_config",
        )
    mlp = _size(config, "intermediate_size")
    layers = _size(config, "num_hidden_layers")
    vocab = _size(config, "vocab_size")
    tied = _flag(config, "tie_word_embeddings", traits.tied)
    linears = _linears(config, traits, hidden, heads * head_dim, kv_heads * head_dim, mlp)
    norms = (4 if traits.sandwich_norms else 2) * hidden + (2 * head_dim if traits.qk_norm else 0)
    each = sum(linear.parameters for linear in linears) + norms
    tables = vocab * hidden * (1 if tied else 2)
    return ModelFacts(
        family=family,
        hidden=hidden,
        layers=layers,
        heads=heads,
        kv_heads=kv_heads,
        head_dim=head_dim,
        mlp=mlp,
        vocab=vocab,
        context=_size(config, "max_position_embeddings", traits.context),
        tied=tied,
        linears=linears,
        norms=norms,
        qk_norm=traits.qk_norm,
        parameters=tables + layers * each + hidden,
    )


def tensor_shapes(facts: ModelFacts) -> dict[str, tuple[int, ...]]:
    """Return the name and shape of every tensor that a checkpoint of this model must hold."""
    shapes: dict[str, tuple[int, ...]] = {
        "model.embed_tokens.weight": (facts.vocab, facts.hidden),
        "model.norm.weight": (facts.hidden,),
    }
    if not facts.tied:
        shapes["lm_head.weight"] = (facts.vocab, facts.hidden)
    norms = ["input_layernorm", "post_attention_layernorm"]
    if _FAMILIES[facts.family].sandwich_norms:
        norms += ["pre_feedforward_layernorm", "post_feedforward_layernorm"]
    for number in range(facts.layers):
        layer = f"model.layers.{number}"
        for linear in facts.linears:
            place = f"{layer}.{module_path(linear.name)}"
            shapes[f"{place}.weight"] = (linear.outputs, linear.inputs)
            if linear.bias:
                shapes[f"{place}.bias"] = (linear.outputs,)
        for norm in norms:
            shapes[f"{layer}.{norm}.weight"] = (facts.hidden,)
        if facts.qk_norm:
            for norm in ("q_norm", "k_norm"):
                shapes[f"{layer}.self_attn.{norm}.weight"] = (facts.head_dim,)
    return shapes


def module_path(linear: str) -> str:
    """Return where a linear stands within its layer, for instance `mlp.up_proj`."""
    return f"{'self_attn' if linear in _ATTENTION else 'mlp'}.{linear}"


_ATTENTION = {"q_proj", "k_proj", "v_proj", "o_proj", "qkv_proj"}


def _linears(
    config: Mapping[str, object], traits: _Family, hidden: int, queries: int, keys: int, mlp: int
) -> tuple[LinearShape, ...]:
    biased = traits.may_bias_attention and _flag(config, "attention_bias", False)
    mlp_biased = traits.may_bias_mlp and _flag(config, "mlp_bias", False)
    output = LinearShape("o_proj", queries, hidden, biased)
    down = LinearShape("down_proj", mlp, hidden, mlp_biased)
    if traits.fused:
        return (
            LinearShape("qkv_proj", hidden, queries + 2 * keys),
            output,
            LinearShape("gate_up_proj", hidden, 2 * mlp),
            down,
        )
    into = biased or traits.qkv_bias
    return (
        LinearShape("q_proj", hidden, queries, into),
        LinearShape("k_proj", hidden, keys, into),
        LinearShape("v_proj", hidden, keys, into),
        output,
        LinearShape("gate_proj", hidden, mlp, mlp_biased),
        LinearShape("up_proj", hidden, mlp, mlp_biased),
        down,
    )


def _family_of(config: Mapping[str, object]) -> tuple[str, _Family]:
    family = config.get("model_type")
    if isinstance(family, str) and family in _FAMILIES:
        return family, _FAMILIES[family]
    if family == "gemma3":
        raise BadInput(
            "This Gemma 3 model also reads images; its text part cannot be taken alone.",
            hint="Use a text-only Gemma 3 (model_type gemma3_text), such as the 1B one.",
            code="multimodal_model",
        )
    if isinstance(family, str) and family in _ENCODERS:
        raise BadInput(
            f"This model reads text and writes none (model_type: {family!r}); such models can "
            "neither be planned for nor trained here yet.",
            hint=f"Take a model that writes; supported are: {', '.join(FAMILIES)}.",
            code="encoder_family",
        )
    shown = repr(family[:40]) if isinstance(family, str) else "none"
    raise BadInput(
        f"The model's family is not supported (model_type: {shown}).",
        hint=f"Supported are: {', '.join(FAMILIES)}.",
        code="unknown_family",
    )


def _splits(traits: _Family, hidden: int, heads: int) -> bool:
    return traits.head_dim is not None or hidden % heads == 0


def _is_null(config: Mapping[str, object]) -> bool:
    """An explicit null means "as many as heads", where a missing key means the class default."""
    return "num_key_value_heads" in config and config["num_key_value_heads"] is None


def _size(config: Mapping[str, object], key: str, default: int | None = None) -> int:
    value = config.get(key)
    if value is None:
        if default is not None:
            return default
        raise BadInput(
            f"config.json lacks {key}.",
            hint="Use config.json as the model's publisher gives it out.",
            code="bad_config",
        )
    if type(value) is not int or not 1 <= value <= _MOST[key]:
        raise BadInput(
            f"config.json: {key} is no possible size.",
            hint="Use config.json as the model's publisher gives it out.",
            code="bad_config",
        )
    return value


def _flag(config: Mapping[str, object], key: str, default: bool) -> bool:
    value = config.get(key)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise BadInput(
            f"config.json: {key} must be true or false.",
            hint="Use config.json as the model's publisher gives it out.",
            code="bad_config",
        )
    return value
