"""Perplexity and the figures over labels, against values worked out by hand."""

from __future__ import annotations

import math

import pytest

from workbench.evaluation.comparison import Side, compare, improvement
from workbench.evaluation.metrics import perplexity, score_labels


def test_perplexity_is_the_exponential_and_stays_finite() -> None:
    assert perplexity(math.log(7)) == pytest.approx(7)
    assert math.isfinite(perplexity(1e9))


def test_labels_against_hand_counted_figures() -> None:
    scores = score_labels(["a", "a", "b", "c"], ["A ", "b", "b", "none of these"])
    assert scores.labels == ("a", "b", "c")
    assert scores.accuracy == 0.5
    # a: precision 1, recall 1/2; b: precision 1/2, recall 1; c: never given.
    assert scores.f1 == pytest.approx((2 / 3 + 2 / 3 + 0) / 3)
    assert scores.confusion == ((1, 1, 0, 0), (0, 1, 0, 0), (0, 0, 0, 1))
    assert scores.majority == 0.5


def test_lengths_must_agree() -> None:
    with pytest.raises(ValueError, match="one length"):
        score_labels(["a"], [])


def test_the_comparison_has_the_contracts_fields() -> None:
    plain = compare(Side(2.0), Side(1.0), records=3, tokens=30)
    assert set(plain) == {"base", "adapter", "records", "tokens"}
    assert set(plain["base"]) == {"loss", "perplexity"}
    assert improvement(plain) == 0.5
    labelled = compare(
        Side(2.0, ["x", "y"]), Side(1.0, ["a", "b"]), records=2, tokens=4, wanted=["a", "b"]
    )
    assert labelled["base"]["accuracy"] == 0.0
    assert labelled["adapter"]["accuracy"] == 1.0
    assert {"accuracy", "f1", "confusion"} <= set(labelled["adapter"])
