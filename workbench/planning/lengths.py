"""How long the records are: a sample of them, and what it says of all."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property

from workbench.planning.candidates import DatasetLength


@dataclass(frozen=True)
class LengthSample:
    """The lengths of some records, or of all.

    Attributes:
        records: Records there are in all.
        lengths: Tokens of those that were measured, shortest first; at least one.
        longest: Tokens of the longest that was met, be it in the sample or beside it.
        counted: Tokens of the measured ones that stand in answers; None: not known.
    """

    records: int
    lengths: tuple[int, ...]
    longest: int
    counted: int | None = None

    @cached_property
    def whole(self) -> DatasetLength:
        """What the planner works with; tokens are extrapolated where not all were measured."""
        return DatasetLength(
            records=self.records,
            tokens=sum(self.lengths) * self.records // len(self.lengths),
            longest=self.longest,
            counted=None
            if self.counted is None
            else self.counted * self.records // len(self.lengths),
        )

    @property
    def is_exact(self) -> bool:
        """Whether every record was measured."""
        return len(self.lengths) == self.records

    def longer_than(self, tokens: int) -> int:
        """Return how many records have more than `tokens` tokens, extrapolated where sampled."""
        longer = len(self.lengths) - bisect_right(self.lengths, tokens)
        estimate = round(longer * self.records / len(self.lengths))
        return max(estimate, int(self.longest > tokens))
