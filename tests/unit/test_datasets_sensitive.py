"""Identifiers are found by shape and checksum; the column search misses none of them."""

from __future__ import annotations

import random
import time

import pyarrow as pa
import pytest

from workbench.datasets.sensitive import doubtful, find, luhn, mask, mod97, nhs_check, scan_column

_FOUND = [
    ("email", "a.b+c@x.example.org"),
    ("phone", "+44 20 7946 0001"),
    ("phone", "(415) 555-2671"),
    ("phone", "+1 (415) 555-2671"),
    ("phone", "020 7946 0018"),
    ("ssn", "078-05-1120"),
    ("iban", "GB82 WEST 1234 5698 7654 32"),
    ("iban", "DE89370400440532013000"),
    ("card", "4111 1111 1111 1111"),
    ("nhs_number", "943 476 5919"),
    ("ip", "10.0.0.5"),
]
_NOT_FOUND = [
    "2024-01-12 10:22:33",
    "000-12-3456",
    "666-12-3456",
    "912-12-3456",
    "4111 1111 1111 1112",
    "DE89370400440532013001",
    "143 476 5918",
    "300.1.1.1",
    "a@b",
    "1234567890123",
    "v1.2.3",
]


@pytest.mark.parametrize(("kind", "text"), _FOUND)
@pytest.mark.parametrize(("before", "after"), [("", ""), ("see ", " AND more"), ("(", ").")])
def test_found(kind: str, text: str, before: str, after: str) -> None:
    whole = before + text + after
    hits = find(whole)
    assert [hit.kind for hit in hits] == [kind]
    shown = mask(whole, hits)
    assert f"[{kind.upper()}]" in shown
    assert text not in shown


@pytest.mark.parametrize("text", _NOT_FOUND)
def test_not_found(text: str) -> None:
    assert find(f"see {text} there") == []


def test_record_numbers_keep_their_label() -> None:
    assert mask("MRN: 0012345.", find("MRN: 0012345.")) == "MRN: [MRN]."


def test_check_digits_against_published_examples() -> None:
    assert luhn("79927398713")  # Wikipedia's example of the algorithm
    assert not luhn("79927398710")
    assert mod97("GB82WEST12345698765432")  # ISO 13616's example
    assert not mod97("GB82WEST12345698765433")
    assert nhs_check("9434765919")  # the NHS data dictionary's example
    assert not nhs_check("9434765918")


def test_the_column_search_agrees_with_the_close_look() -> None:
    rng = random.Random(7)
    pieces = [text for _, text in _FOUND] + _NOT_FOUND + ["MRN 12345", "", "\u00e9t\u00e9", "abc"]
    texts = []
    for _ in range(4000):
        filler = "".join(rng.choice("abc 1.") for _ in range(rng.choice([0, 3, 30, 400])))
        texts.append(filler + " " + rng.choice(pieces) + " " + filler if rng.random() < 0.6 else "")
    column = pa.array(["before", *texts], pa.string()).slice(1)
    expected = {row for row, text in enumerate(texts) if find(text)}
    assert expected <= set(doubtful(column).tolist())
    scan = scan_column(column, masked=True)
    assert {row for row, _ in scan.hits} == expected
    masked = scan.column.to_pylist()
    assert masked == [mask(text, find(text)) for text in texts]


@pytest.mark.parametrize(
    "unit", ["1 ", "a@", "1.", "A1", "(", "+1", "@a.", "AA11 ", "MRN", "1" * 9]
)
def test_hostile_texts_cost_linear_time(unit: str) -> None:
    text = unit * (200_000 // len(unit))
    began = time.process_time()
    find(text)
    assert time.process_time() - began < 5
