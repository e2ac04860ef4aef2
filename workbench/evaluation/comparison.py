"""Base and adapter side by side, as `workbench evaluate` reports them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from workbench.evaluation.metrics import perplexity, score_labels


@dataclass(frozen=True)
class Side:
    """One model on the held-out records.

    Attributes:
        loss: Mean over the counted tokens, nats a token.
        labels: What it answered, for classification; otherwise None.
    """

    loss: float
    labels: Sequence[str] | None = None


def compare(
    base: Side,
    adapter: Side,
    *,
    records: int,
    tokens: int,
    wanted: Sequence[str] | None = None,
) -> dict[str, Any]:
    """Return `base`, `adapter`, `records`, `tokens`; for labels also their accuracy figures.

    Args:
        records: Held-out records that were scored.
        tokens: Counted tokens in them; both sides count the same ones.
        wanted: Reference labels, when both sides carry answers to compare with.
    """
    return {
        "base": _figures(base, wanted),
        "adapter": _figures(adapter, wanted),
        "records": records,
        "tokens": tokens,
    }


def _figures(side: Side, wanted: Sequence[str] | None) -> dict[str, Any]:
    figures: dict[str, Any] = {"loss": side.loss, "perplexity": perplexity(side.loss)}
    if wanted is not None and side.labels is not None:
        scores = score_labels(wanted, side.labels)
        figures |= {
            "accuracy": scores.accuracy,
            "f1": scores.f1,
            "confusion": {
                "labels": list(scores.labels),
                "counts": [list(row) for row in scores.confusion],
            },
            "majority": scores.majority,
        }
    return figures


def improvement(document: Mapping[str, Any]) -> float:
    """Return the adapter's loss as a share of the base's; below 1 is better than the base."""
    base = float(document["base"]["loss"])
    return float(document["adapter"]["loss"]) / base if base else 1.0
