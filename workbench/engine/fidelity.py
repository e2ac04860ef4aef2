"""How like two models are: the same tokens through both, compared position by position."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from workbench.engine.batches import Example
from workbench.errors import InternalError
from workbench.exports.contract import Fidelity

# All log-probabilities of the first model are kept while the second one runs.
_KEPT_FLOATS = 64 * 1024 * 1024
_MOST_POSITIONS = 4096


@dataclass(frozen=True, repr=False)
class Observation:
    """What a model thinks of some tokens.

    Attributes:
        log_probabilities: [positions, vocabulary] float32 on the CPU, at counted positions.
        targets: [positions] the tokens that stand there.
    """

    log_probabilities: Tensor
    targets: Tensor

    @property
    def perplexity(self) -> float:
        """exp of the mean loss over the positions."""
        picked = self.log_probabilities.gather(1, self.targets.unsqueeze(1))
        return math.exp(min(-float(picked.double().mean()), 60.0))


@torch.inference_mode()
def observe(
    model: Any,
    examples: Sequence[Example],
    *,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Observation:
    """Run each example alone, as whoever receives the files would, and note its predictions.

    Positions beyond a bound on memory are left out: the same ones for the same examples and
    vocabulary.

    Raises:
        InternalError: no example has a counted token.
    """
    rows: list[Tensor] = []
    targets: list[int] = []
    room = _MOST_POSITIONS
    for done, example in enumerate(examples):
        places = [n for n in range(1, len(example)) if example.counted[n]]
        places = places[: room - len(targets)]
        if not places:
            continue
        ids = torch.tensor([list(example.ids)], device=model.device)
        before = torch.tensor([n - 1 for n in places], device=model.device)
        # Of these places alone: all logits of a long record take gigabytes.
        logits = model(input_ids=ids, use_cache=False, logits_to_keep=before).logits[0]
        if not rows:
            room = min(room, _KEPT_FLOATS // logits.shape[-1])
            logits, places = logits[:room], places[:room]
        rows.append(torch.log_softmax(logits.float(), dim=-1).cpu())
        targets.extend(example.ids[n] for n in places)
        progress(done + 1, len(examples))
    if not targets:
        raise InternalError("There is nothing to compare the export on.", code="no_probe")
    return Observation(torch.cat(rows), torch.tensor(targets))


def compare(adapter: Observation, export: Observation, *, held_out: bool) -> Fidelity:
    """Compare two observations of the same examples.

    Args:
        adapter: Base and adapter as trained; the reference.
        export: The written files.
        held_out: The examples come from the adapter's own dataset, not from built-in probes.

    Raises:
        InternalError: their shapes differ, so the vocabulary was changed (code `bad_shape`).
    """
    p, q = adapter.log_probabilities, export.log_probabilities
    if p.shape != q.shape:
        raise InternalError("The export has another vocabulary than its base.", code="bad_shape")
    same = p.argmax(-1) == q.argmax(-1)
    # A row at a time: the terms of all rows at once would double the memory.
    total = sum(float((a.exp() * (a - b)).sum()) for a, b in zip(p, q, strict=True))
    return Fidelity(
        top1_agreement=float(same.double().mean()),
        mean_kl=max(0.0, total / len(p)) if math.isfinite(total) else math.nan,
        perplexity_adapter=adapter.perplexity,
        perplexity_export=export.perplexity,
        positions=len(p),
        held_out=held_out,
    )
