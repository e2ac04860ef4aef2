"""What an export's fidelity figures say, in words for people who do not live with divergences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Divergences that nobody notices, and those that somebody might (nats a position).
_NONE, _SLIGHT = 1e-3, 2e-2


def in_words(fidelity: Mapping[str, Any]) -> list[str]:
    """Return the figures as sentences: agreement, difference, perplexity."""
    where = "held-out records" if fidelity["held_out"] else "built-in texts"
    kl = float(fidelity["mean_kl"])
    if kl < _NONE:
        difference = "none that anybody would notice"
    elif kl < _SLIGHT:
        difference = "slight"
    else:
        difference = "noticeable: that of the weights it was merged into"
    return [
        f"In {fidelity['top1_agreement']:.1%} of {fidelity['positions']:,} places of {where} the "
        "files choose the same next word as the adapter did.",
        f"Difference in how sure they are (KL): {kl:.1e}, {difference}.",
        f"Perplexity: {fidelity['perplexity_adapter']:.3f} as trained, "
        f"{fidelity['perplexity_export']:.3f} as written.",
    ]
