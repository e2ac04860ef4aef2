"""Which rows each optimizer step takes: fixed by the seed, so that any step can be gone back to."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from workbench.engine.batches import Batch, Example, Row, make_batch, pack
from workbench.recipe import Recipe


@dataclass(frozen=True, repr=False, eq=False)
class Course:
    """The rows of a run and their order.

    Rows are packed once. Each epoch takes them in another order; a step takes the next
    `rows_per_step` of the endless sequence of epochs, so only the last step may have fewer.

    Attributes:
        steps: Optimizer steps of the whole run.
        total_rows: Rows that the run takes, epochs counted again.
    """

    examples: Sequence[Example]
    validation: Sequence[Example]
    rows: Sequence[Row]
    rows_per_step: int
    total_rows: int
    steps: int
    context: int
    pad_id: int
    seed: int

    def rows_of(self, step: int) -> list[int]:
        """Return the numbers of the rows of optimizer step `step` (1 … steps)."""
        first = (step - 1) * self.rows_per_step
        last = min(first + self.rows_per_step, self.total_rows)
        count = len(self.rows)
        return [self._order(at // count)[at % count] for at in range(first, last)]

    def _order(self, epoch: int) -> list[int]:
        return _shuffled(len(self.rows), self.seed, epoch)

    def tokens_of(self, row: int) -> int:
        """Return the tokens of one row, padding left out."""
        return sum(len(self.examples[number]) for number in self.rows[row])

    def targets_of(self, row: int) -> int:
        """Return the counted tokens of one row."""
        return sum(self.examples[number].targets for number in self.rows[row])

    def longest_rows(self, count: int) -> list[int]:
        """Return the longest rows: with them, a micro-batch of `count` is as large as it gets."""
        order = sorted(range(len(self.rows)), key=lambda row: -self.tokens_of(row))
        return order[:count]

    def batch(self, rows: Sequence[int]) -> Batch:
        """Lay rows side by side."""
        return make_batch(
            [[self.examples[number] for number in self.rows[row]] for row in rows], self.pad_id
        )


def plan_course(
    examples: Sequence[Example],
    validation: Sequence[Example],
    recipe: Recipe,
    *,
    pad_id: int,
) -> Course:
    """Pack the examples into rows and lay out the steps.

    Args:
        recipe: With `context`, `micro_batch` and `accumulate` settled.
    """
    context, seed = int(recipe.context), recipe.seed
    rows = pack([len(e) for e in examples], context, packing=recipe.packing, seed=seed)
    each = int(recipe.micro_batch) * int(recipe.accumulate)
    total = max(1, math.ceil(recipe.epochs * len(rows)))
    if recipe.max_steps:
        total = min(total, recipe.max_steps * each)
    return Course(
        examples=examples,
        validation=validation,
        rows=rows,
        rows_per_step=each,
        total_rows=total,
        steps=math.ceil(total / each),
        context=context,
        pad_id=pad_id,
        seed=seed,
    )


@lru_cache(maxsize=2)
def _shuffled(count: int, seed: int, epoch: int) -> list[int]:
    order = list(range(count))
    random.Random(f"{seed}:{epoch}").shuffle(order)  # noqa: S311  no secret
    return order
