"""The loss of a model over examples: in-training evaluation and the `evaluate` job share it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from workbench.engine.batches import Example, make_batch
from workbench.engine.forward import Passes


@dataclass(frozen=True)
class Score:
    """Summed loss in nats over the counted tokens of some records."""

    loss_sum: float
    tokens: int
    records: int

    @property
    def loss(self) -> float:
        """Mean loss of a counted token; not a number when none was counted."""
        return self.loss_sum / self.tokens if self.tokens else math.nan

    @property
    def perplexity(self) -> float:
        """exp(loss), or infinity where that exceeds a float."""
        return math.exp(self.loss) if self.loss < 700 else math.inf


def score(
    passes: Passes,
    examples: Sequence[Example],
    *,
    pad_id: int,
    batch_tokens: int = 2048,
    progress: Callable[[int, int], None] | None = None,
) -> Score:
    """Score every example once; the sum does not depend on how they are batched but for rounding.

    Args:
        batch_tokens: Tokens that pass through the model together, padding included; a longer
            example passes alone.
        progress: Called with the examples done and all; it may raise to interrupt.
    """
    was_training = passes.model.training
    passes.model.eval()
    loss_sum, tokens, done = 0.0, 0, 0
    try:
        with torch.no_grad():
            for group in _groups(examples, batch_tokens):
                batch = make_batch([[examples[number]] for number in group], pad_id)
                if len(batch.targets):
                    loss_sum += float(passes.summed_loss(batch))
                tokens += len(batch.targets)
                done += len(group)
                if progress is not None:
                    progress(done, len(examples))
    finally:
        passes.model.train(was_training)
    return Score(loss_sum, tokens, len(examples))


def _groups(examples: Sequence[Example], batch_tokens: int) -> list[list[int]]:
    """Group examples of like length, longest first: least padding, and memory peaks at once."""
    groups: list[list[int]] = []
    for number in sorted(range(len(examples)), key=lambda n: -len(examples[n])):
        width = len(examples[groups[-1][0]]) if groups else 0
        if groups and width * (len(groups[-1]) + 1) <= batch_tokens:
            groups[-1].append(number)
        else:
            groups.append([number])
    return groups
