"""Durations, byte sizes and counts as they are said everywhere."""

from __future__ import annotations

import pytest

from workbench.wording import count, duration, size

GIB = 1 << 30


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (-3, "0 s"),
        (0.9, "0 s"),
        (42, "42 s"),
        (59.9, "59 s"),
        (425, "7 min 05 s"),
        (3599, "59 min 59 s"),
        (12_000, "3 h 20 min"),
        (100_000, "27 h 46 min"),
    ],
)
def test_a_duration_has_at_most_two_units(seconds: float, said: str) -> None:
    assert duration(seconds) == said


@pytest.mark.parametrize(
    ("amount", "said"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1 KiB"),
        (1536, "1.5 KiB"),
        (16 << 20, "16 MiB"),
        (840 << 20, "840 MiB"),
        (GIB - 1, "1 GiB"),
        (int(7.3 * GIB), "7.3 GiB"),
        (24 * GIB, "24 GiB"),
        (503.6 * GIB, "504 GiB"),
        (5000 * GIB, "4.9 TiB"),
        (5000 * 1024 * GIB, "5000 TiB"),
    ],
)
def test_a_size_has_the_unit_that_fits(amount: float, said: str) -> None:
    assert size(amount) == said


def test_a_count_keeps_its_thousands_apart_and_its_noun_in_step() -> None:
    assert count(1234567) == "1,234,567"
    assert count(1, "record") == "1 record"
    assert count(0, "record") == "0 records"
    assert count(2000, "entry", "entries") == "2,000 entries"
