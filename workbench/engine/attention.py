"""Attention over packed rows on a CPU, record by record.

A row of several short records needs attention inside each record only, but a masked kernel
computes the whole square of the row. Here the records of a batch are taken out of their rows,
grouped by length, and attended to without a mask: a quarter of the square for four records in a
row. On GPUs the masked kernel stays, which keeps them busier.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

from workbench.engine.batches import WIDTH_STEP
from workbench.planning.moments import EXPLICIT_TOKENS

NAME = "workbench_records"


@dataclass(frozen=True)
class Groups:
    """The records of a batch, grouped by like length.

    Attributes:
        shapes: (records, longest) of each group.
        take: [m] for each place in the groups, one after the other: the token that goes there; an
            unfilled place takes token 0.
        filled: [m, 1, 1] 1 where the place is filled, else 0.
        back: [tokens] the place of each token.
    """

    shapes: tuple[tuple[int, int], ...]
    take: Tensor
    filled: Tensor
    back: Tensor


def group_records(records: Sequence[tuple[int, int]], tokens: int) -> Groups:
    """Group records, given as (first token, length), that cover all tokens once."""
    by_size: dict[int, list[tuple[int, int]]] = {}
    for record in records:
        by_size.setdefault((record[1] - 1).bit_length(), []).append(record)
    shapes, takes, fills = [], [], []
    back = torch.empty(tokens, dtype=torch.long)
    done = 0
    for _, members in sorted(by_size.items()):
        # Rounded up, so that few shapes occur: see `make_batch`.
        longest = -(-max(length for _, length in members) // WIDTH_STEP) * WIDTH_STEP
        offsets = torch.arange(longest)
        first = torch.tensor([start for start, _ in members]).unsqueeze(1)
        length = torch.tensor([length for _, length in members]).unsqueeze(1)
        filled = offsets < length
        take = torch.where(filled, first + offsets, 0)
        places = torch.arange(done, done + filled.numel()).view_as(filled)
        back[take[filled]] = places[filled]
        shapes.append((len(members), longest))
        takes.append(take.reshape(-1))
        fills.append(filled.reshape(-1, 1, 1))
        done += filled.numel()
    return Groups(tuple(shapes), torch.cat(takes), torch.cat(fills), back)


def attend_by_record(model: Any) -> None:
    """Let a model's attention honour `records=Groups` where it is given one.

    Without that argument (when it generates, say) it attends as with `sdpa`.
    """
    AttentionInterface.register(NAME, _attend)
    AttentionMaskInterface.register(NAME, sdpa_mask)
    if model.config._attn_implementation == "sdpa":
        model.config._attn_implementation = NAME


def honours_records(model: Any) -> bool:
    """Say whether the model takes `records=`."""
    return bool(model.config._attn_implementation == NAME)


def _attend(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    records: Groups | None = None,
    sliding_window: int | None = None,
    **rest: Any,
) -> tuple[Tensor, None]:
    """Attend; queries, keys and values are [rows, heads, tokens, width of a head]."""
    if records is None:
        found: tuple[Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **rest
        )
        return found
    rows, heads, tokens, width = query.shape
    taken = [_taken(tensor, records) for tensor in (query, key, value)]
    outputs, done = [], 0
    for count, longest in records.shapes:
        q, k, v = (
            tensor[done : done + count * longest].view(count, longest, -1, width).transpose(1, 2)
            for tensor in taken
        )
        done += count * longest
        outputs.append(_attend_group(q, k, v, dropout, scaling, sliding_window))
    joined = torch.cat(outputs)
    # The other way round: an unfilled place is nobody's, so no gradient may come back to it.
    back = _rearranged(joined, records.back, records.take, records.filled)
    return back.view(rows, tokens, heads, width), None


def _taken(tensor: Tensor, records: Groups) -> Tensor:
    flat = tensor.transpose(1, 2).flatten(0, 1)
    return _rearranged(flat, records.take, records.back, None)


def _attend_group(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    dropout: float,
    scaling: float | None,
    window: int | None,
) -> Tensor:
    shared = query.shape[1] // key.shape[1]
    if shared > 1:
        key = key.repeat_interleave(shared, dim=1)
        value = value.repeat_interleave(shared, dim=1)
    longest = query.shape[2]
    if longest > EXPLICIT_TOKENS and window is None:
        # Told that the mask is causal, the kernel leaves out the half that it hides: a third of
        # its time, and the same bits.
        output = torch.nn.functional.scaled_dot_product_attention(
            query, key, value, dropout_p=dropout, is_causal=True, scale=scaling
        )
        return output.transpose(1, 2).flatten(0, 1)
    place = torch.arange(longest)
    distance = place.unsqueeze(1) - place
    hidden = distance < 0
    if window is not None:
        hidden |= distance >= window
    # Up to this length the plain products are faster than torch's fused kernel, whose backward
    # pass is slow for bfloat16 on CPUs: 9 ms against 33 ms for 32 records of 60 tokens, the same
    # at 240.
    if longest > EXPLICIT_TOKENS:
        output = torch.nn.functional.scaled_dot_product_attention(
            query, key, value, ~hidden, dropout_p=dropout, scale=scaling
        )
    else:
        scale = query.shape[3] ** -0.5 if scaling is None else scaling
        scores = ((query * scale) @ key.transpose(2, 3)).float().masked_fill(hidden, -torch.inf)
        weights = torch.softmax(scores, dim=-1).to(value.dtype)
        output = torch.nn.functional.dropout(weights, dropout) @ value
    # Places behind a record's end come after all its tokens, so the causal mask hides them.
    return output.transpose(1, 2).flatten(0, 1)


def _rearranged(tensor: Tensor, there: Tensor, back: Tensor, filled: Tensor | None) -> Tensor:
    result: Tensor = _Rearrange.apply(tensor, there, back, filled)  # type: ignore[no-untyped-call]
    return result


class _Rearrange(torch.autograd.Function):
    """Take rows by number; the way back takes them by the inverse numbers.

    The gradient of plain indexing would add row by row, which is slow on CPUs; here every row
    goes to one place only.
    """

    @staticmethod
    def forward(
        ctx: Any, tensor: Tensor, there: Tensor, back: Tensor, filled: Tensor | None
    ) -> Tensor:
        ctx.save_for_backward(back, filled)
        return tensor.index_select(0, there)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        back, filled = ctx.saved_tensors
        found = gradient.index_select(0, back)
        if filled is not None:
            found = found * filled
        return found, None, None, None
