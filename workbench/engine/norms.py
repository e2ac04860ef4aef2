"""RMSNorm with a frozen weight as one autograd node, which keeps its input as it came.

transformers computes y = w ⊙ x r, r = 1 / √(mean(x²) + ε) (arXiv 1910.07467), in 32 bit, and
autograd keeps the 32-bit copy. Here the 16-bit input and r alone wait: with g = w ⊙ dy and n = x r,
dx = r (g - n mean(g ⊙ n)).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def rms_norm(inputs: Tensor, weight: Tensor, epsilon: float, *, offset: bool) -> Tensor:
    """Return the normalised inputs [..., width], in their own type.

    Args:
        weight: [width]; it gets no gradient.
        offset: As the Gemmas do: the factor is 1 + weight, and the product is rounded once.
            Otherwise what is normalised is rounded first.
    """
    found: Tensor = _RmsNorm.apply(inputs, weight, epsilon, offset)  # type: ignore[no-untyped-call]
    return found


class _RmsNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, inputs: Tensor, weight: Tensor, epsilon: float, offset: bool) -> Tensor:
        wide = inputs.to(_wide(inputs))
        root = wide.square().mean(-1, keepdim=True).add_(epsilon).rsqrt_()
        ctx.save_for_backward(inputs, root)
        ctx.weight, ctx.offset = weight, offset
        if offset:
            return (wide * root).mul_(1.0 + weight.to(wide.dtype)).to(inputs.dtype)
        return weight * (wide * root).to(inputs.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, ...]:
        inputs, root = ctx.saved_tensors
        # 32-bit factors make the products 32-bit, without copies of what is multiplied.
        inner = slope * (ctx.weight.to(root.dtype) + ctx.offset)
        normal = inputs * root
        mean = (inner * normal).mean(-1, keepdim=True)
        found = inner.addcmul_(normal, mean, value=-1.0).mul_(root)
        return found.to(inputs.dtype), None, None, None


def _wide(inputs: Tensor) -> torch.dtype:
    return torch.promote_types(inputs.dtype, torch.float32)
