"""The 4-bit base: guard it, name it by its content, and turn it back into numbers.

bitsandbytes repacks a layer's codes in place at the first forward in evaluation mode on CPUs with
AVX512-BF16. Afterwards dequantisation, merging and the backward pass read the repacked codes as
if they were not, silently: gradients are wrong by their whole size. `guard` switches that
repacking off on every layer; call it right after loading, before any forward
(reported to bitsandbytes as 2078).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from copy import copy

import torch
from bitsandbytes.functional import QuantState, dequantize_4bit
from bitsandbytes.nn import Linear4bit
from torch import Tensor, nn

from workbench.errors import InternalError

BLOCK = 64


def four_bit_layers(model: nn.Module) -> Iterator[tuple[str, Linear4bit]]:
    """Yield every 4-bit layer with its name in order of the names, LoRA wrappers left out of them.

    peft wraps a layer `x` as `base_model.model.x.base_layer`; the name stays `x`, so that a base
    has the same names before and after an adapter is attached.
    """
    found = []
    for name, module in model.named_modules():
        if isinstance(module, Linear4bit):
            plain = name.removeprefix("base_model.model.").removesuffix(".base_layer")
            found.append((plain, module))
    yield from sorted(found, key=lambda item: item[0])


def guard(model: nn.Module) -> int:
    """Switch the in-place repacking off on every 4-bit layer; return how many there are."""
    count = 0
    for _, layer in four_bit_layers(model):
        layer.support_avx512bf16_for_cpu = False
        count += 1
    return count


def dequantise(layer: Linear4bit, dtype: torch.dtype | None = None) -> Tensor:
    """Return the weight that `layer` computes with, of shape [outputs, inputs].

    Args:
        dtype: Of the result; None: that of the weights before quantisation (bfloat16 for models
            loaded here). Forward passes of bitsandbytes unpack in their inputs' dtype.

    Raises:
        InternalError: The layer was repacked by a forward pass without the guard.
    """
    state = _state(layer)
    dtype = dtype or state.dtype
    if dtype != state.dtype:
        state = copy(state)
        # The kernels know no 64-bit numbers.
        state.dtype = torch.float32 if dtype == torch.float64 else dtype
    weight: Tensor = dequantize_4bit(layer.weight.data, state)
    return weight.reshape(tuple(state.shape)).to(dtype)


def fingerprint(model: nn.Module) -> str:
    """Return the SHA-256 over all that the 4-bit weights consist of, layer by layer.

    Hashed are the name, shape and block sizes of each layer, its codes, its quantised scales and
    the nested constants that double quantisation keeps (their scales, code book and offset).
    """
    digest = hashlib.sha256(b"nf4/2\n")
    for name, layer in four_bit_layers(model):
        state = _state(layer)
        nested = state.state2
        sizes = (*state.shape, state.blocksize, 0 if nested is None else nested.blocksize)
        digest.update(f"{name} {state.quant_type} {sizes}\n".encode())
        _hash(digest, layer.weight.data)
        _hash(digest, state.absmax)
        _hash(digest, state.code)
        if nested is not None:
            _hash(digest, nested.absmax)
            _hash(digest, nested.code)
            _hash(digest, state.offset)
    return digest.hexdigest()


def _hash(digest: hashlib._Hash, tensor: Tensor) -> None:
    digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)


def _state(layer: Linear4bit) -> QuantState:
    state = layer.weight.quant_state
    if state is None or getattr(state, "packing_format_for_cpu", False):
        raise InternalError(
            "The 4-bit weights are not in their plain layout.",
            hint="Nothing was changed on the disk. Please report this.",
            code="nf4_repacked",
        )
    return state
