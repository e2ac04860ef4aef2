"""An evaluation in words."""

from __future__ import annotations

from typing import Any

import pytest

from workbench.evaluation.verdict import choices, times, verdict


def by_loss(base: float, adapter: float) -> dict[str, Any]:
    return {"base": {"loss": base}, "adapter": {"loss": adapter}}


@pytest.mark.parametrize(
    ("base", "adapter", "words"),
    [
        (9.0, 1.0, "surprised 9x less"),
        (9.73, 0.0373, "surprised 260x less"),
        (2.0, 1.5, "surprised 1.3x less"),
        (9.0, 0.0, "surprised over 1000x less"),
        (2.0, 1.95, "about as surprised as the base"),
        (2.0, 2.1, "about as surprised as the base"),
        (1.0, 2.0, "2.0x more than the base: it got worse"),
        (1.0, float("nan"), "cannot be measured"),
    ],
)
def test_losses_become_a_sentence(base: float, adapter: float, words: str) -> None:
    assert words in verdict(by_loss(base, adapter))


def test_labels_come_first_where_there_are_some() -> None:
    told = by_loss(9.0, 1.0)
    told["base"] |= {"accuracy": 0.4, "majority": 0.58}
    told["adapter"] |= {"accuracy": 0.92, "majority": 0.58}
    assert verdict(told) == (
        "The adapter names the right label in 92% of the records, the base in 40%; always the "
        "commonest: 58%."
    )


def test_numbers_are_no_finer_than_they_mean() -> None:
    assert [times(1 / n) for n in (1.44, 6.2, 34.4, 266)] == ["1.4x", "6x", "34x", "270x"]
    assert [choices(n) for n in (1.038, 37.4, 16764.4)] == ["1.04", "37", "16,764"]
