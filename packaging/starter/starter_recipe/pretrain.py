"""Packing, the optimizer and the training loop."""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from transformers import LlamaConfig, LlamaForCausalLM

from starter_recipe.corpus import HELD_OUT_SEED, TRAINING_SEED, documents
from starter_recipe.tokens import ASSISTANT, CONTEXT, END, PAD, VOCABULARY, document_text, token_id
from starter_recipe.windows import WindowFilter

ROWS, LENGTH = 8, 256
PEAK_RATE, WARM_UP = 2e-3, 60
ASKED_WEIGHT = 0.2
MODEL_SEED = 4_096
_BLOCK = 512  # documents tokenized and filtered together
_IGNORED = -100


@dataclass(frozen=True)
class Batch:
    """Rows of whole documents. Shapes: (ROWS, LENGTH); ``mask`` (ROWS, 1, LENGTH, LENGTH).

    ``weights`` tell how much each label counts in training: what a person says in a chat is mostly
    chance, and what is answered follows from it.
    """

    ids: torch.Tensor
    positions: torch.Tensor
    mask: torch.Tensor
    labels: torch.Tensor
    weights: torch.Tensor
    tokens: int


def new_model(tokenizer: Tokenizer) -> LlamaForCausalLM:
    """The untrained model, float32, from the recipe's seed."""
    torch.manual_seed(MODEL_SEED)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=256,
        intermediate_size=768,
        num_hidden_layers=8,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=64,
        max_position_embeddings=CONTEXT,
        rms_norm_eps=1e-5,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=token_id(tokenizer, END),
        pad_token_id=token_id(tokenizer, PAD),
        attn_implementation="sdpa",
    )
    return LlamaForCausalLM(config)


def encoded(tokenizer: Tokenizer, seed: int, windows: WindowFilter | None) -> Iterator[list[int]]:
    """Token ids of one document after another; over-long ones and repeated windows left out.

    Without ``windows`` the stream is a held-out one: of the lasting mixture from its start.
    """
    stream = documents(seed, settled=windows is None)
    while True:
        texts = [document_text(document) for document in islice(stream, _BLOCK)]
        rows = [
            entry.ids for entry in tokenizer.encode_batch_fast(texts) if len(entry.ids) <= LENGTH
        ]
        yield from rows if windows is None else windows.fresh(rows)


def packed_rows(rows: Iterable[list[int]]) -> Iterator[list[list[list[int]]]]:
    """Batches of ``ROWS`` rows of documents; a document goes where it leaves the least room."""
    open_rows: list[list[list[int]]] = [[] for _ in range(ROWS)]
    free = [LENGTH] * ROWS
    for row in rows:
        fitting = [index for index in range(ROWS) if free[index] >= len(row)]
        if not fitting:
            yield open_rows
            open_rows, free, fitting = [[] for _ in range(ROWS)], [LENGTH] * ROWS, [0]
        place = min(fitting, key=lambda index: free[index])
        open_rows[place].append(row)
        free[place] -= len(row)


def packed(rows: Iterable[list[int]], tokenizer: Tokenizer) -> Iterator[Batch]:
    """Batches in which each document stands whole in one row and sees only itself."""
    pad, opening, closing = (token_id(tokenizer, token) for token in (PAD, ASSISTANT, END))
    return (_batch(filled, pad, opening, closing) for filled in packed_rows(rows))


def _weights(document: list[int], opening: int, closing: int) -> list[float]:
    """How much each token counts as a label: answers fully, the rest of a chat a little."""
    weights, inside = [], opening not in document
    for token in document:
        weights.append(1.0 if inside else ASKED_WEIGHT)
        inside = (
            inside if opening not in document else token == opening or (inside and token != closing)
        )
    return weights


def _batch(rows: list[list[list[int]]], pad: int, opening: int, closing: int) -> Batch:
    ids = np.full((ROWS, LENGTH), pad, dtype=np.int64)
    labels = np.full((ROWS, LENGTH), _IGNORED, dtype=np.int64)
    weights = np.zeros((ROWS, LENGTH), dtype=np.float32)
    positions = np.zeros((ROWS, LENGTH), dtype=np.int64)
    owner = np.full((ROWS, LENGTH), -1, dtype=np.int64)
    tokens = 0
    for index, documents_in_row in enumerate(rows):
        start = 0
        for number, document in enumerate(documents_in_row):
            stop = start + len(document)
            ids[index, start:stop] = document
            labels[index, start : stop - 1] = document[1:]
            weights[index, start : stop - 1] = _weights(document, opening, closing)[1:]
            positions[index, start:stop] = np.arange(len(document))
            owner[index, start:stop] = number
            tokens += len(document)
            start = stop
    mask: NDArray[np.bool_] = (owner[:, :, None] == owner[:, None, :]) & np.tri(
        LENGTH, dtype=np.bool_
    )
    return Batch(
        torch.from_numpy(ids),
        torch.from_numpy(positions),
        torch.from_numpy(mask)[:, None],
        torch.from_numpy(labels),
        torch.from_numpy(weights),
        tokens,
    )


def batch_loss(model: LlamaForCausalLM, batch: Batch, *, weighted: bool = False) -> torch.Tensor:
    """Mean next-token loss in nats, computed with bfloat16 products."""
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = model(
            input_ids=batch.ids,
            attention_mask=batch.mask,
            position_ids=batch.positions,
            use_cache=False,
        ).logits
    losses = torch.nn.functional.cross_entropy(
        logits.float().flatten(0, 1),
        batch.labels.flatten(),
        ignore_index=_IGNORED,
        reduction="none" if weighted else "mean",
    )
    if not weighted:
        return losses
    weights = batch.weights.flatten()
    return (losses * weights).sum() / weights.sum()


def rate_at(step: int, steps: int) -> float:
    """Learning rate of 0-based ``step`` of ``steps``: warm-up, then linear to nothing."""
    return PEAK_RATE * min((step + 1) / WARM_UP, (steps - step) / steps)


def optimizer_of(model: LlamaForCausalLM) -> torch.optim.Optimizer:
    """AdamW; matrices decay, norms do not."""
    matrices = [weight for weight in model.parameters() if weight.ndim > 1]
    norms = [weight for weight in model.parameters() if weight.ndim == 1]
    return torch.optim.AdamW(
        [{"params": matrices, "weight_decay": 0.1}, {"params": norms, "weight_decay": 0.0}],
        lr=PEAK_RATE,
        betas=(0.9, 0.99),
        fused=True,
    )


def held_out_batches(tokenizer: Tokenizer, count: int) -> list[Batch]:
    """The first ``count`` batches of the held-out stream."""
    rows = encoded(tokenizer, HELD_OUT_SEED, None)
    stream = packed(rows, tokenizer)
    return list(islice(stream, count))


@torch.no_grad()
def held_out_loss(model: LlamaForCausalLM, batches: list[Batch]) -> float:
    """Mean of the batches' losses."""
    model.eval()
    loss = sum(float(batch_loss(model, batch)) for batch in batches) / len(batches)
    model.train()
    return loss


@dataclass(frozen=True)
class Progress:
    """One finished optimizer step."""

    step: int
    loss: float
    tokens: int
    documents_dropped: int
    seconds: float


def train(
    tokenizer: Tokenizer,
    steps: int,
    stop_after: int | None = None,
    report: Callable[[LlamaForCausalLM, Progress], None] = lambda model, progress: None,
) -> LlamaForCausalLM:
    """Train for ``steps`` steps, or only the first ``stop_after`` of that schedule."""
    model = new_model(tokenizer)
    model.train()
    optimizer = optimizer_of(model)
    windows = WindowFilter()
    stream = packed(encoded(tokenizer, TRAINING_SEED, windows), tokenizer)
    tokens, begin = 0, time.monotonic()
    for step, batch in enumerate(islice(stream, stop_after or steps)):
        tokens += batch.tokens
        for group in optimizer.param_groups:
            group["lr"] = rate_at(step, steps)
        loss = batch_loss(model, batch, weighted=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        seconds = time.monotonic() - begin
        report(model, Progress(step + 1, float(loss.detach()), tokens, windows.dropped, seconds))
    return model
