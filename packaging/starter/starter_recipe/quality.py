"""Continuations of held-out prompts, and what may be wrong with them."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer

from starter_recipe import pretrain
from starter_recipe.corpus import TRAINING_SEED, Document, documents
from starter_recipe.tokens import ASSISTANT, END, PAD, render, token_id
from starter_recipe.windows import WindowFilter, window_hashes

PROMPT_SEED = 31_337
NEW_TOKENS = 120
_GRAM = 4


@dataclass(frozen=True)
class Continuation:
    """The token ids that the model wrote after a prompt; ``ended`` if the end token closed them."""

    kind: str
    prompt: tuple[int, ...]
    ids: tuple[int, ...]
    ended: bool


def held_out_prompts(tokenizer: Tokenizer, count: int) -> list[tuple[str, list[int]]]:
    """``count`` prompts, half chats before their last answer, half beginnings of plain notes."""
    wanted = {"chat": count - count // 2, "plain": count // 2}
    prompts: list[tuple[str, list[int]]] = []
    for document in documents(PROMPT_SEED, settled=True):
        kind = "chat" if document.text is None else "plain"
        if not wanted[kind]:
            if not any(wanted.values()):
                break
            continue
        wanted[kind] -= 1
        prompts.append((kind, tokenizer.encode(_prompt_text(document)).ids))
    return prompts


def _prompt_text(document: Document) -> str:
    if document.text is None:
        return render(document.messages[:-1]) + ASSISTANT
    words = document.text.split(" ")
    return " ".join(words[: max(6, len(words) // 3)])


@torch.inference_mode()
def continuations(
    model: Any, tokenizer: Tokenizer, prompts: Sequence[tuple[str, list[int]]], batch: int = 50
) -> list[Continuation]:
    """Greedy continuations of up to ``NEW_TOKENS`` tokens, in batches padded on the left."""
    end, pad = token_id(tokenizer, END), token_id(tokenizer, PAD)
    written: list[Continuation] = []
    for start in range(0, len(prompts), batch):
        part = prompts[start : start + batch]
        width = max(len(ids) for _, ids in part)
        ids = torch.tensor([[pad] * (width - len(row)) + row for _, row in part])
        output = model.generate(
            input_ids=ids,
            attention_mask=ids.ne(pad).long(),
            do_sample=False,
            max_new_tokens=NEW_TOKENS,
            max_length=None,
            eos_token_id=end,
            pad_token_id=pad,
        )
        for (kind, prompt), row in zip(part, output[:, width:].tolist(), strict=True):
            ended = end in row
            kept = row[: row.index(end)] if ended else row
            written.append(Continuation(kind, tuple(prompt), tuple(kept), ended))
    return written


def runs_on(ids: Sequence[int]) -> bool:
    """Whether four tokens are followed at once by the same four tokens."""
    return any(
        tuple(ids[place : place + _GRAM]) == tuple(ids[place + _GRAM : place + 2 * _GRAM])
        for place in range(len(ids) - 2 * _GRAM + 1)
    )


def most_repeats(ids: Sequence[int]) -> int:
    """How often the commonest stretch of four tokens occurs, anywhere in ``ids``."""
    grams = Counter(tuple(ids[place : place + _GRAM]) for place in range(len(ids) - _GRAM + 1))
    return max(grams.values(), default=0)


def training_hashes(tokenizer: Tokenizer, steps: int) -> NDArray[np.uint64]:
    """Sorted hashes of every stretch of 21 tokens in the text of the first ``steps`` steps."""
    rows = pretrain.encoded(tokenizer, TRAINING_SEED, WindowFilter())
    parts = [
        window_hashes(ids)
        for batch in islice(pretrain.packed_rows(rows), steps)
        for row in batch
        for ids in row
    ]
    return np.sort(np.concatenate(parts))


def copied(ids: Sequence[int], known: NDArray[np.uint64]) -> int:
    """How many stretches of 21 tokens of ``ids`` stand in the training text as they are."""
    hashes = window_hashes(ids)
    if not len(hashes):
        return 0
    places = np.minimum(np.searchsorted(known, hashes), len(known) - 1)
    return int((known[places] == hashes).sum())
