"""The cross-entropy of counted tokens, without ever holding all logits.

Logits are by far the largest tensor of a step: tokens x vocabulary. They are computed for the
counted positions only, a chunk of tokens at a time, and the gradient is taken from each chunk
while it is there, so that memory is a few chunks whatever the batch (the idea of Liger's fused
linear cross-entropy, here in plain torch).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from workbench.planning.memory import LOGIT_CHUNK_TOKENS


def summed_loss(
    hidden: Tensor,
    weight: Tensor,
    targets: Tensor,
    *,
    softcap: float | None = None,
    chunk: int = LOGIT_CHUNK_TOKENS,
) -> Tensor:
    """Return the sum of the cross-entropies in nats: a float32 scalar.

    Args:
        hidden: [n, width] last hidden states of the positions that predict a counted token.
        weight: [vocabulary, width] of the output layer.
        targets: [n] ids of the counted tokens.
        softcap: Gemma's bound: logits become softcap * tanh(logits / softcap).
        chunk: Tokens whose logits exist at a time.
    """
    if not torch.is_grad_enabled():
        # Inside the function gradients are always off, so it would make those of a trained
        # output layer for an evaluation too.
        hidden, weight = hidden.detach(), weight.detach()
    result: Tensor = _SummedLoss.apply(hidden, weight, targets, softcap, chunk)  # type: ignore[no-untyped-call]
    return result


class _SummedLoss(torch.autograd.Function):
    """Forward computes the gradients too; backward only scales them."""

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor, softcap: float | None, chunk: int
    ) -> Tensor:
        head = weight.to(hidden.dtype)
        wants_hidden, wants_weight = ctx.needs_input_grad[:2]
        hidden_grad = torch.empty_like(hidden) if wants_hidden else None
        weight_grad = torch.zeros_like(weight, dtype=torch.float32) if wants_weight else None
        total = torch.zeros((), dtype=torch.float32, device=hidden.device)
        for start in range(0, len(targets), chunk):
            part = hidden[start : start + chunk]
            wanted = targets[start : start + chunk]
            logits = (part @ head.T).float()
            if softcap is not None:
                logits = softcap * torch.tanh(logits / softcap)
            total += torch.nn.functional.cross_entropy(logits, wanted, reduction="sum")
            if hidden_grad is None and weight_grad is None:
                continue
            slope = torch.softmax(logits, dim=-1)
            slope[torch.arange(len(wanted), device=wanted.device), wanted] -= 1.0
            if softcap is not None:
                slope *= 1.0 - (logits / softcap) ** 2
            slope = slope.to(hidden.dtype)
            if hidden_grad is not None:
                torch.mm(slope, head, out=hidden_grad[start : start + chunk])
            if weight_grad is not None:
                weight_grad += (slope.T @ part).float()
        ctx.save_for_backward(hidden_grad, weight_grad)
        ctx.weight_dtype = weight.dtype
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, scale: Tensor) -> tuple[Tensor | None, ...]:
        hidden_grad, weight_grad = ctx.saved_tensors
        if hidden_grad is not None:
            hidden_grad = hidden_grad * scale.to(hidden_grad.dtype)
        if weight_grad is not None:
            weight_grad = (weight_grad * scale).to(ctx.weight_dtype)
        return hidden_grad, weight_grad, None, None, None
