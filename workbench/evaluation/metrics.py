"""Figures over losses and labels: perplexity, accuracy, macro F1, the confusion table."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

# exp() of anything above this is not a perplexity that says more than "no idea".
_LARGEST_LOSS = 60.0
NO_LABEL = ""


def perplexity(loss: float) -> float:
    """Return exp(loss) for a mean loss in nats a token; capped, so that it stays a finite number.

    The mean is over counted tokens, not over records: a long record weighs as many times as it
    has tokens.
    """
    return math.exp(min(loss, _LARGEST_LOSS))


@dataclass(frozen=True)
class LabelScores:
    """How well labels were predicted.

    Attributes:
        labels: The reference labels, sorted; rows of `confusion`, and its columns.
        accuracy: Share of records whose label is right.
        f1: Macro F1: the unweighted mean of each reference label's F1.
        confusion: `confusion[wanted][given]` in counts; the last column holds answers that are
            no known label.
        majority: Accuracy of always giving the commonest reference label.
    """

    labels: tuple[str, ...]
    accuracy: float
    f1: float
    confusion: tuple[tuple[int, ...], ...]
    majority: float


def score_labels(wanted: Sequence[str], given: Sequence[str]) -> LabelScores:
    """Compare answers with reference labels.

    White space around either is ignored, and so is case. An empty or unknown answer counts as
    wrong, not as left out.

    Raises:
        ValueError: the two have not the same length, or there are none.
    """
    if len(wanted) != len(given) or not wanted:
        raise ValueError("wanted and given must be of one length, and not empty")
    truth = [_normal(label) for label in wanted]
    answers = [_normal(label) for label in given]
    labels = tuple(sorted(set(truth)))
    place = {label: number for number, label in enumerate(labels)}
    table = [[0] * (len(labels) + 1) for _ in labels]
    for right, answer in zip(truth, answers, strict=True):
        table[place[right]][place.get(answer, len(labels))] += 1
    hits = [table[n][n] for n in range(len(labels))]
    f1 = [_f1(hits[n], sum(table[n]), sum(row[n] for row in table)) for n in range(len(labels))]
    return LabelScores(
        labels=labels,
        accuracy=sum(hits) / len(truth),
        f1=sum(f1) / len(f1),
        confusion=tuple(tuple(row) for row in table),
        majority=Counter(truth).most_common(1)[0][1] / len(truth),
    )


def _f1(hits: int, wanted: int, given: int) -> float:
    return 2 * hits / (wanted + given) if hits else 0.0


def _normal(label: str) -> str:
    return " ".join(label.split()).casefold()
