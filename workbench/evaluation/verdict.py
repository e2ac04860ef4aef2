"""What an evaluation's figures say, in words for people who do not live with losses."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from workbench.evaluation.comparison import improvement

# A change smaller than this is nothing that one would notice.
_NOTICED = 1.1
_MOST_TIMES = 1000.0


def verdict(figures: Mapping[str, Any]) -> str:
    """Return the main finding in a sentence: by labels where there are some, else by loss."""
    tuned, base = figures["adapter"], figures["base"]
    if "accuracy" in tuned:
        return (
            f"The adapter names the right label in {tuned['accuracy']:.0%} of the records, the "
            f"base in {base['accuracy']:.0%}; always the commonest: {tuned['majority']:.0%}."
        )
    share = improvement(figures)
    if not math.isfinite(share):
        return "The adapter's answers cannot be measured: its numbers ran out of bounds."
    if share <= 1 / _NOTICED:
        return f"The adapter is surprised {times(share)} less by answers it never saw."
    if share < _NOTICED:
        return "The adapter is about as surprised as the base by answers that neither ever saw."
    return f"The adapter is surprised {times(1 / share)} more than the base: it got worse."


def times(share: float) -> str:
    """Return how many times smaller `share` of something is: 1.4x, 9x, 260x, over 1000x."""
    factor = 1 / share if share > 0 else math.inf
    if factor > _MOST_TIMES:
        return f"over {_MOST_TIMES:.0f}x"
    if factor >= 100:
        return f"{round(factor, -1):.0f}x"
    return f"{factor:.0f}x" if factor >= 5 else f"{factor:.1f}x"


def choices(perplexity: float) -> str:
    """Return a perplexity as people read it: 1.04, 37, 16,764."""
    return f"{perplexity:.2f}" if perplexity < 10 else f"{perplexity:,.0f}"
