"""Answers in batches: left-padded prompts, a key-value cache, rows that leave when they end.

Our own loop over the model's forward, so that base and adapter, alone or in a batch, are decoded
by the same few lines. Greedy unless a temperature is given; a sampled row draws from a generator
of its own, so that its answer does not depend on its neighbours in the batch.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import DynamicCache


@dataclass(frozen=True)
class Decoding:
    """How answers are drawn.

    Attributes:
        max_tokens: Cap on each answer's tokens, the end token included.
        temperature: 0 picks the likeliest token.
        top_p: Keep the likeliest tokens that together reach this probability.
        seed: For temperatures above 0.
    """

    max_tokens: int
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0


@dataclass(frozen=True)
class Continuation:
    """One answer: its token ids without the end token, and whether the model ended it."""

    ids: tuple[int, ...]
    ended: bool


@dataclass(frozen=True)
class Ends:
    """The token ids that matter to decoding, and the model's context in tokens."""

    eos_ids: Collection[int]
    pad_id: int
    context: int


def continue_prompts(
    model: Any,
    prompts: Sequence[Sequence[int]],
    ends: Ends,
    decoding: Decoding,
    *,
    batch: int = 16,
    on_done: Callable[[int], None] = lambda done: None,
    on_pass: Callable[[], None] = lambda: None,
) -> list[Continuation]:
    """Continue each prompt until its end token, the cap, or the end of the context.

    Args:
        model: A causal language model in evaluation mode, with or without adapters.
        prompts: Token ids of each prompt. One that fills the context gets an empty answer.
        ends: End tokens, padding and context.
        decoding: Cap and sampling.
        batch: Prompts decoded together; neighbours in length, so that little is padding.
        on_done: Told the number of finished prompts after each batch.
        on_pass: Called before each pass through the model; it may raise to leave.

    Returns:
        One continuation for each prompt, in the order given.
    """
    order = sorted(range(len(prompts)), key=lambda n: len(prompts[n]))
    answers: dict[int, Continuation] = {}
    for first in range(0, len(order), batch):
        rows = order[first : first + batch]
        asked = {n: prompts[n] for n in rows}
        answers.update(_continue_batch(model, asked, ends, decoding, on_pass))
        on_done(len(answers))
    return [answers[n] for n in range(len(prompts))]


# Not `inference_mode`: what a layer keeps from in there could not be trained through afterwards.
@torch.no_grad()
def _continue_batch(
    model: Any,
    prompts: dict[int, Sequence[int]],
    ends: Ends,
    decoding: Decoding,
    on_pass: Callable[[], None],
) -> dict[int, Continuation]:
    found: dict[int, list[int]] = {n: [] for n in prompts}
    room = {n: min(decoding.max_tokens, ends.context - len(p)) for n, p in prompts.items()}
    ended: set[int] = set()
    alive = [n for n in prompts if room[n] > 0 and prompts[n]]
    if not alive:
        return {n: Continuation((), False) for n in prompts}
    draws = {n: torch.Generator().manual_seed(decoding.seed * 1_000_003 + n) for n in alive}
    ids, mask = _padded([prompts[n] for n in alive], ends.pad_id, model.device)
    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    cache = DynamicCache(config=model.config)
    while alive:
        on_pass()
        logits = model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        ).logits[:, -1]
        chosen = _choose(logits, [draws[n] for n in alive], decoding)
        kept = []
        for row, (number, token) in enumerate(zip(alive, chosen, strict=True)):
            if token in ends.eos_ids:
                ended.add(number)
                continue
            found[number].append(token)
            if len(found[number]) < room[number]:
                kept.append(row)
        if not kept:
            break
        index = torch.tensor(kept, device=mask.device)
        if len(kept) < len(alive):
            cache.batch_select_indices(index)
        alive = [alive[row] for row in kept]
        ids = torch.tensor([[chosen[row]] for row in kept], device=mask.device)
        mask = torch.cat([mask[index], mask.new_ones(len(kept), 1)], dim=1)
        positions = positions[index, -1:] + 1
    return {n: Continuation(tuple(found[n]), n in ended) for n in prompts}


def _padded(
    prompts: Sequence[Sequence[int]], pad_id: int, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return ids and attention mask, both [rows, longest], padded on the left."""
    longest = max(map(len, prompts))
    ids = torch.full((len(prompts), longest), pad_id, dtype=torch.long)
    mask = torch.zeros(len(prompts), longest, dtype=torch.long)
    for row, prompt in enumerate(prompts):
        ids[row, longest - len(prompt) :] = torch.tensor(list(prompt))
        mask[row, longest - len(prompt) :] = 1
    return ids.to(device), mask.to(device)


def _choose(
    logits: torch.Tensor, draws: Sequence[torch.Generator], decoding: Decoding
) -> list[int]:
    """Pick one token a row from logits [rows, vocabulary]."""
    if decoding.temperature <= 0:
        return [int(token) for token in logits.argmax(-1).tolist()]
    chances = torch.softmax(logits.float().cpu() / decoding.temperature, dim=-1)
    return [_draw(row, draw, decoding.top_p) for row, draw in zip(chances, draws, strict=True)]


def _draw(chances: torch.Tensor, draw: torch.Generator, top_p: float) -> int:
    sorted_chances, tokens = chances.sort(descending=True)
    # What stands before a token must not have reached top_p yet; the first is always kept.
    before = sorted_chances.cumsum(0) - sorted_chances
    sorted_chances = sorted_chances.masked_fill(before >= top_p, 0.0)
    sorted_chances[0] = max(float(sorted_chances[0]), torch.finfo(torch.float32).tiny)
    return int(tokens[torch.multinomial(sorted_chances, 1, generator=draw)])
