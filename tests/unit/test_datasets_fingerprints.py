"""Fingerprints tell records apart, the set finds duplicates, splits follow content and seed."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from workbench.datasets.fingerprints import Fingerprinter, SeenFingerprints, assign_splits
from workbench.datasets.records import schema_of


def _batch(kind: str, rows: list[dict[str, object]]) -> pa.RecordBatch:
    origin = {"number": 0, "file": 0, "line": 1}
    return pa.RecordBatch.from_pylist([origin | row for row in rows], schema=schema_of(kind))


@pytest.mark.parametrize(
    ("kind", "rows"),
    [
        (
            "completion",
            [
                {"prompt": "a", "completion": "bc", "system": ""},
                {"prompt": "ab", "completion": "c", "system": ""},
                {"prompt": "a", "completion": "", "system": "bc"},
                {"prompt": "1:a", "completion": "bc", "system": ""},
                {"prompt": "", "completion": "abc", "system": ""},
            ],
        ),
        (
            "chat",
            [
                {"messages": [{"role": "user", "content": "assistant1:x"}]},
                {
                    "messages": [
                        {"role": "user", "content": ""},
                        {"role": "assistant", "content": "x"},
                    ]
                },
                {"messages": [{"role": "assistant", "content": "assistant1:x"}]},
            ],
        ),
    ],
)
def test_different_records_differ_and_equal_ones_do_not(
    kind: str, rows: list[dict[str, object]]
) -> None:
    maker = Fingerprinter(kind)
    high, low = maker.compute(_batch(kind, rows + rows))
    maker.close()
    assert len(set(zip(high.tolist(), low.tolist(), strict=True))) == len(rows)
    assert (high[: len(rows)] == high[len(rows) :]).all()
    assert len(set(high.tolist())) == len(set(low.tolist())) == len(rows)


def test_the_set_agrees_with_a_python_set() -> None:
    rng = np.random.default_rng(1)
    seen, known = SeenFingerprints(capacity=16), set()
    for _ in range(60):
        # Few distinct values, so that blocks and neighbours collide; (0, 0) marks a free slot.
        high = rng.integers(0, 40, 200).astype(np.uint64)
        low = rng.integers(0, 40, 200).astype(np.uint64) << np.uint64(2)
        high, low = high[high + low > 1], low[high + low > 1]
        expected = []
        for pair in zip(high.tolist(), low.tolist(), strict=True):
            expected.append(pair not in known)
            known.add(pair)
        assert seen.add(high, low).tolist() == expected
        assert len(seen) == len(known)


def test_splits_have_their_shares_and_depend_on_content_and_seed_alone() -> None:
    high = np.random.default_rng(4).integers(0, 2**63, 50_000).astype(np.uint64)
    shares = {"validation": 0.1, "test": 0.05}
    index = assign_splits(high, 3, shares)
    counts = np.bincount(index) / len(high)
    assert np.allclose(counts, [0.85, 0.1, 0.05], atol=0.01)
    backwards = assign_splits(high[::-1], 3, shares)[::-1]
    assert (index == backwards).all()
    other = assign_splits(high, 4, shares)
    assert 0.2 < (index != other).mean() < 0.35
    assert not assign_splits(high, 3, {}).any()
