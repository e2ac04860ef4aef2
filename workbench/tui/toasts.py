"""What is told in passing, for as long as it is to be seen."""

from __future__ import annotations

from dataclasses import dataclass

from textual.notifications import Notification

_LEAST_SECONDS = 0.05


@dataclass
class Told(Notification):
    """A notification that never has less than no time left.

    One that runs out just when Textual makes its toast has: the toast's timer then has an interval
    below zero, and Textual looks for its next moment for ever, without answering any key.
    """

    @property
    def time_left(self) -> float:
        """Seconds until it goes, a few hundredths at least."""
        return max(super().time_left, _LEAST_SECONDS)

    @property
    def has_expired(self) -> bool:
        """Whether its time is over."""
        return super().time_left <= 0
