"""LoRA blocks as one autograd node each, which keep for the backward pass what they must.

Autograd keeps the inputs of every operation. Most of those follow from others in little time, so
here one node stands for all linears that share an input (queries, keys and values; a lone output
projection), and one for the whole MLP:

- `linears`: for each linear y = x Wᵀ + b + s (x Aᵀ) Bᵀ keeps x, once. With u = s (x Aᵀ), which is
  computed again, and v = s (dy B): dA = vᵀ x, dB = dyᵀ u, dx = Σ (dy W + v A). The products of rank
  r come first, so none is wider than x and y, and all is added up in place.
- `gated_mlp`: d(f(e) ⊙ g), e and g the gate and the up projection of x, keeps x, e and g. The
  product f(e) ⊙ g, which the adapter of d needs, is computed again: with dh = dy W + v A of the
  down projection, dg = dh ⊙ f(e) and de = f'(e) ⊙ (dh ⊙ g).

That is LoRA (arXiv 2106.09685, section 4.1) and the chain rule. A frozen weight is turned into
numbers once each way and let go of at once; adapters stay in 32 bit and are cast where they are
used, so no copy of them waits either.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from bitsandbytes.nn import Linear4bit
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from workbench.engine import nf4

# The activations of the families, by their names in config.json.
_APPROXIMATE = {"gelu": "none", "gelu_pytorch_tanh": "tanh"}
ACTIVATIONS = ("silu", "swish", *_APPROXIMATE)


@dataclass(frozen=True, eq=False)
class Part:
    """A frozen linear, with its adapter if it has one.

    Attributes:
        base: Its weight [outputs, inputs], 4-bit or not, and bias want no gradient.
        down: A, [rank, inputs].
        up: B, [outputs, rank].
        scale: alpha / rank, or alpha / √rank where the adapter is rank-stabilised.
    """

    base: nn.Linear
    down: Tensor | None = None
    up: Tensor | None = None
    scale: float = 1.0


def linears(inputs: Tensor, parts: Sequence[Part]) -> tuple[Tensor, ...]:
    """Return what each part makes of the inputs [..., width], in autocast's type if that is on."""
    found: tuple[Tensor, ...] = _Linears.apply(inputs, parts, *_weights(parts))  # type: ignore[no-untyped-call]
    return found


def gated_mlp(inputs: Tensor, entry: Sequence[Part], down: Part, activation: str) -> Tensor:
    """Return the MLP of the inputs [..., width].

    Args:
        entry: The gate and the up projection; or one that is both, the gate first.
        activation: One of `ACTIVATIONS`.
    """
    parts = (*entry, down)
    found: Tensor = _GatedMlp.apply(inputs, parts, activation, *_weights(parts))  # type: ignore[no-untyped-call]
    return found


def _weights(parts: Sequence[Part]) -> list[Tensor | None]:
    return [weight for part in parts for weight in (part.down, part.up)]


class _Linears(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, inputs: Tensor, parts: Sequence[Part], *weights: Tensor | None
    ) -> tuple[Tensor, ...]:
        ctx.set_materialize_grads(False)
        ctx.parts = parts
        with _plain_arithmetic(inputs) as dtype:
            flat = _flat(inputs).to(dtype)
            outputs = [_onward(flat, part) for part in parts]
        adapted = any(weight is not None for weight in weights)
        ctx.save_for_backward(flat if adapted else None, *weights)
        return tuple(output.view(*inputs.shape[:-1], -1) for output in outputs)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *slopes: Tensor | None) -> tuple[Any, ...]:
        inputs, *weights = ctx.saved_tensors
        blocks = [() if slope is None else (_flat(slope),) for slope in slopes]
        total, found = _back(inputs, ctx.parts, weights, blocks, wanted=ctx.needs_input_grad[0])
        shape = next(slope.shape[:-1] for slope in slopes if slope is not None)
        return (None if total is None else total.view(*shape, -1), None, *found)


class _GatedMlp(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, inputs: Tensor, parts: Sequence[Part], activation: str, *weights: Tensor | None
    ) -> Tensor:
        ctx.parts, ctx.activation = parts, activation
        *entry, last = parts
        with _plain_arithmetic(inputs) as dtype:
            flat = _flat(inputs).to(dtype)
            made = [_onward(flat, part) for part in entry]
            gate, up = _halves(made)
            output = _onward(_activated(gate, activation).mul_(up), last)
        adapted = any(weight is not None for weight in weights[:-2])
        ctx.save_for_backward(flat if adapted else None, *weights, *made)
        return output.view(*inputs.shape[:-1], -1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Any, ...]:
        *entry, last = ctx.parts
        inputs, *kept = ctx.saved_tensors
        weights, made = kept[: 2 * len(ctx.parts)], kept[2 * len(ctx.parts) :]
        gate, up = _halves(made)
        block = (_flat(slope),)
        active = _activated(gate, ctx.activation)
        # The product lives in this call alone: the slope of its size comes after it.
        low, last_found = _adapter_slopes(
            active * up if weights[-1] is not None else None, last, weights[-2], weights[-1], block
        )
        inner = _through(None, last, weights[-2], low, block)
        up_slope, gate_slope = active.mul_(inner), inner.mul_(up)
        _times_derivative(gate_slope, gate, ctx.activation)
        blocks = [(gate_slope,), (up_slope,)] if len(entry) > 1 else [(gate_slope, up_slope)]
        total, found = _back(inputs, entry, weights[:-2], blocks, wanted=ctx.needs_input_grad[0])
        shaped = None if total is None else total.view(*slope.shape[:-1], -1)
        return (shaped, None, None, *found, *last_found)


def _onward(inputs: Tensor, part: Part) -> Tensor:
    """Return x Wᵀ + b + s (x Aᵀ) Bᵀ."""
    bias = None if part.base.bias is None else part.base.bias.to(inputs.dtype)
    output = nn.functional.linear(inputs, _weight(part.base, inputs.dtype), bias)
    if part.down is not None and part.up is not None:
        output.addmm_(_low(inputs, part.down, part.scale), part.up.to(inputs.dtype).T)
    return output


# The slopes of one linear's outputs: none where nobody used them, several where its outputs went
# different ways, side by side.
_Blocks = tuple[Tensor, ...]


def _back(
    inputs: Tensor | None,
    parts: Sequence[Part],
    weights: Sequence[Tensor | None],
    slopes: Sequence[_Blocks],
    *,
    wanted: bool,
) -> tuple[Tensor | None, list[Tensor | None]]:
    """Return the slope of the inputs that linears share, and those of each A and B in turn."""
    total: Tensor | None = None
    found: list[Tensor | None] = []
    for number, (part, blocks) in enumerate(zip(parts, slopes, strict=True)):
        if not blocks:
            found += [None, None]
            continue
        down, up = weights[2 * number : 2 * number + 2]
        low, pair = _adapter_slopes(inputs, part, down, up, blocks)
        found += pair
        if wanted:
            total = _through(total, part, down, low, blocks)
    return total, found


def _adapter_slopes(
    inputs: Tensor | None, part: Part, down: Tensor | None, up: Tensor | None, slopes: _Blocks
) -> tuple[Tensor | None, list[Tensor | None]]:
    """Return v = s (dy B), and the slopes of A and B; nothing where there is no adapter."""
    if inputs is None or down is None or up is None:
        return None, [None, None]
    with _plain_arithmetic(inputs):
        low = _low(inputs, down, part.scale)
        up_slope = torch.cat([slope.T @ low for slope in slopes])
        low_slope = _side_by_side(None, slopes, up.to(inputs.dtype)).mul_(part.scale)
        down_slope = low_slope.T @ inputs
    return low_slope, [down_slope.to(down.dtype), up_slope.to(up.dtype)]


def _through(
    total: Tensor | None, part: Part, down: Tensor | None, low: Tensor | None, slopes: _Blocks
) -> Tensor:
    """Return total + dy W + v A."""
    with _plain_arithmetic(slopes[0]) as dtype:
        total = _side_by_side(total, slopes, _weight(part.base, dtype))
        if low is not None and down is not None:
            total.addmm_(low, down.to(dtype))
    return total


def _side_by_side(total: Tensor | None, blocks: _Blocks, matrix: Tensor) -> Tensor:
    """Return total + [blocks] matrix, without laying the blocks side by side."""
    start = 0
    for block in blocks:
        rows = matrix[start : start + block.shape[1]]
        total = block @ rows if total is None else total.addmm_(block, rows)
        start += block.shape[1]
    assert total is not None
    return total


def _low(inputs: Tensor, down: Tensor, scale: float) -> Tensor:
    return (inputs @ down.to(inputs.dtype).T).mul_(scale)


def _weight(base: nn.Linear, dtype: torch.dtype) -> Tensor:
    if isinstance(base, Linear4bit):
        return nf4.dequantise(base, dtype)
    return base.weight.to(dtype)


def _halves(made: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    gate, up = made if len(made) > 1 else made[0].chunk(2, dim=-1)
    return gate, up


def _activated(gate: Tensor, activation: str) -> Tensor:
    if activation in _APPROXIMATE:
        return nn.functional.gelu(gate, approximate=_APPROXIMATE[activation])
    return nn.functional.silu(gate)


def _times_derivative(slope: Tensor, gate: Tensor, activation: str) -> None:
    """Multiply the slope, in place, by the activation's derivative at `gate`."""
    aten: Any = torch.ops.aten
    if activation in _APPROXIMATE:
        how = _APPROXIMATE[activation]
        aten.gelu_backward.grad_input(slope, gate, approximate=how, grad_input=slope)
    else:
        aten.silu_backward.grad_input(slope, gate, grad_input=slope)


def _flat(tensor: Tensor) -> Tensor:
    return tensor.reshape(-1, tensor.shape[-1])


@contextmanager
def _plain_arithmetic(tensor: Tensor) -> Iterator[torch.dtype]:
    """Switch autocast off inside; give the type that it would compute in, or the tensor's own."""
    device = tensor.device.type
    on = torch.is_autocast_enabled(device)
    with torch.autocast(device, enabled=False):
        yield torch.get_autocast_dtype(device) if on else tensor.dtype
