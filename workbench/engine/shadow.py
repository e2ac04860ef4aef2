"""A base model as `load_base` leaves it, whose tensors have sizes and no contents.

It is made from `config.json` alone under torch's fake tensors, for any size within seconds. Some
things that need contents are answered for the library that asks, in `stand_ins`:

- bitsandbytes computes the tables of its 8-bit moments: zeros of the same size stand in;
- transformers asks the positions whether a row holds several records: the caller says so;
- peft knows 4-bit weights by their type, which no fake tensor can have, and unpacks them for DoRA;
- peft copies a 4-bit layer before it unpacks it the first time, byte by byte, and fakes have none;
- peft moves new adapters to where their layer is, which a fake parameter refuses: they are there;
- peft asks whether CUDA's autocast is on. A torch without CUDA cannot do arithmetic on fake `cuda`
  tensors (indexing and autograd call the missing device), so all fakes lie on the processor, and
  where a card is meant, autocast answers as it does there and attention takes the card's kernels.
  For the operations that our models use, the two devices' autocast lists agree.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import bitsandbytes
import torch
from bitsandbytes.functional import QuantState
from bitsandbytes.nn import Linear4bit
from torch import Tensor, nn
from torch._subclasses.fake_tensor import unset_fake_temporarily

from workbench.engine import attention, forward, nf4
from workbench.engine.loading import LoadedBase, Method, attention_of, decoder_layers, widen
from workbench.engine.quantising import SCALES
from workbench.models.facts import facts_from_config


def shadow_base(
    config: Mapping[str, Any], *, method: Method, device: str, compute: torch.dtype
) -> LoadedBase:
    """Return the base model of a `config.json`; call it under a FakeTensorMode.

    Args:
        device: `cuda` or `cpu`: what the model is meant for. The tensors lie on the processor.

    Raises:
        BadInput: The config is not one of a supported family, or its sizes are impossible.
    """
    from transformers import AutoConfig, AutoModelForCausalLM
    from transformers.initialization import no_init_weights

    facts = facts_from_config(config)
    told = {key: value for key, value in config.items() if key not in _UNSAID} | _NO_TOKENS
    with no_init_weights():
        model = AutoModelForCausalLM.from_config(
            AutoConfig.for_model(**told),
            dtype=torch.bfloat16,
            attn_implementation=attention_of(config),
        )
    model.tie_weights()
    if method == "qlora":
        # `quantise` makes the table of nested levels once, a card gets a copy for each layer.
        levels = torch.empty(SCALES) if device == "cpu" else None
        for layer in decoder_layers(model):
            _pack_linears(layer, compute, levels)
        nf4.guard(model)
        model.is_loaded_in_4bit = True  # what peft goes by
    if device == "cpu":
        attention.attend_by_record(model)
    model.requires_grad_(False)
    model.eval()
    if method == "full" or compute == torch.float32:
        widen(model, compute)
    return LoadedBase(model, facts, "", method, torch.device("cpu"), compute)


# Entries of config.json that do not describe the model's shape, or that would run code.
_UNSAID = ("architectures", "auto_map", "quantization_config", "transformers_version",
           "torch_dtype", "dtype", "_name_or_path", "use_cache")  # fmt: skip
# Token numbers beyond the vocabulary are refused by some families, whose defaults they are.
_NO_TOKENS = {"bos_token_id": None, "eos_token_id": None, "pad_token_id": None}


def constants(model: nn.Module) -> Iterator[Tensor]:
    """Yield what double quantisation keeps beside the codes."""
    for _, layer in nf4.four_bit_layers(model):
        state = layer.weight.quant_state
        yield from (state.absmax, state.code, state.offset, state.state2.absmax, state.state2.code)


def _pack_linears(layer: nn.Module, compute: torch.dtype, levels: Tensor | None) -> None:
    for module in list(layer.modules()):
        for name, child in module.named_children():
            if type(child) is nn.Linear:
                setattr(module, name, _packed(child, compute, levels))


def _packed(linear: nn.Linear, compute: torch.dtype, levels: Tensor | None) -> Linear4bit:
    """Return a 4-bit layer of that shape.

    Its weight is a plain parameter: a `Params4bit` cannot be made of a fake tensor.
    """
    with unset_fake_temporarily():
        packed: Any = Linear4bit(1, 1, bias=False, compute_dtype=compute, quant_type="nf4")
    packed.in_features, packed.out_features = linear.in_features, linear.out_features
    count = linear.weight.numel()
    scales = -(-count // nf4.BLOCK)
    codes = torch.empty((-(-count // 2), 1), dtype=torch.uint8)
    packed.weight = nn.Parameter(codes, requires_grad=False)
    packed.bias = linear.bias
    packed.weight.compress_statistics = True
    packed.weight.quant_type = "nf4"
    packed.weight.quant_state = QuantState(
        absmax=torch.empty(scales, dtype=torch.uint8),
        shape=linear.weight.shape,
        dtype=torch.bfloat16,
        blocksize=nf4.BLOCK,
        code=torch.empty(16),
        quant_type="nf4",
        offset=torch.empty(()),
        state2=QuantState(
            absmax=torch.empty(-(-scales // SCALES)),
            code=torch.empty(SCALES) if levels is None else levels,
            blocksize=SCALES,
            dtype=torch.float32,
        ),
    )
    return packed


@contextmanager
def stand_ins(device: str, *, packed: bool, to_fake: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """Answer what fake tensors cannot, within the block; see the module's first lines.

    Args:
        packed: Whether a row holds several records.
        to_fake: Makes the fake of a real tensor.
    """
    from peft.tuners.lora import dora
    from transformers import masking_utils

    def records_of(positions: Tensor) -> Tensor | None:
        return torch.zeros_like(positions).cumsum(-1) if packed else None

    def grouped(records: Iterable[tuple[int, int]], tokens: int) -> attention.Groups:
        with unset_fake_temporarily():
            real = attention.group_records(tuple(records), tokens)
        return attention.Groups(
            real.shapes, to_fake(real.take), to_fake(real.filled), to_fake(real.back)
        )

    asked = torch.is_autocast_enabled

    def autocast(*of: str) -> bool:
        return asked("cpu" if device == "cuda" and not of else of[0] if of else "cuda")

    with ExitStack() as stack:
        for place, name, stand_in in (
            (bitsandbytes.functional, "create_dynamic_map", lambda *_, **__: torch.zeros(256)),
            (masking_utils, "find_packed_sequence_indices", records_of),
            (forward, "group_records", grouped),
            (torch, "is_autocast_enabled", autocast),
            (dora, "dequantize_module_weight", _weight_of),
            (dora, "deepcopy", lambda layer: layer),
            (nn.Module, "to", lambda module, *_, **__: module),
        ):
            stack.enter_context(patch.object(place, name, stand_in))
        if device == "cuda":
            functional = torch.nn.functional
            for name, ours in (
                ("scaled_dot_product_attention", _card_attention),
                ("dropout", _card_dropout),
            ):
                stack.enter_context(patch.object(functional, name, ours))
        yield


def _weight_of(module: nn.Module) -> Tensor:
    """Return the weight of a linear as DoRA wants it; peft knows 4-bit ones by another type."""
    if isinstance(module, Linear4bit):
        return nf4.dequantise(module)
    return module.weight  # type: ignore[return-value]


def _card_dropout(
    inputs: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Tensor:
    """Drop as a card does, which keeps a byte for each element, where a processor keeps four."""
    if not training or not p:
        return inputs
    return torch.ops.aten.native_dropout(inputs, p, True)[0]  # type: ignore[no-any-return]


def _card_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """Attend by the operations that torch chooses on a card, whose results are laid out otherwise.

    Flash attention without a mask; with one, the memory-efficient kernel, which adds the mask in
    computing precision (`scaled_dot_product_attention` in aten/native/transformers/attention.cpp).
    Autocast narrows what goes in, as it does for the operation that this stands for
    (`AT_FORALL_LOWER_PRECISION_FP` in ATen/autocast_mode.h).
    """
    aten: Any = torch.ops.aten
    if torch.is_autocast_enabled("cpu"):
        narrow = torch.get_autocast_dtype("cpu")
        query, key, value = (each.to(narrow) for each in (query, key, value))
    if attn_mask is None:
        flash = aten._scaled_dot_product_flash_attention
        return flash(query, key, value, dropout_p, is_causal, scale=scale)[0]  # type: ignore[no-any-return]
    bias = torch.where(attn_mask, 0.0, torch.full((), -torch.inf, dtype=query.dtype))
    bias = bias.expand(query.shape[0], query.shape[1], -1, -1)
    efficient = aten._scaled_dot_product_efficient_attention
    return efficient(query, key, value, bias, True, dropout_p, False, scale=scale)[0]  # type: ignore[no-any-return]
