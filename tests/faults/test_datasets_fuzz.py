"""Hostile files: every one ends in a report or in an error of ours, soon, and adds up."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from workbench.datasets.canonical import from_csv, from_json
from workbench.datasets.columns import choose_layout
from workbench.datasets.csv_source import CsvBlock, parse_block
from workbench.datasets.json_source import JsonBlock, parse_rows
from workbench.datasets.preparing import open_source, scan_batch
from workbench.datasets.source import Source
from workbench.errors import BadInput

pytestmark = pytest.mark.fuzz

_PIECES = [
    b'"', b'""', b",", b"\n", b"\r\n", b"\r", b"\0", b"a", b"\xc3\xa9", b"\xe9", b"\xed\xa0\x80",
    b"\xef\xbb\xbf", b"{", b"}", b"[", b"]", b":", b'"text"', b'{"text": "a"}', b"\\ud800",
    b"\\u0000", b"1e999", b"NaN", b"text", b"\xf0\x9f\x98\x80", b"\xff\xfe", b"a@b.cd",
    b"123456789",
    b'{"messages": [{"role": "user", "content": "a"}, {"role": "gpt", "value": "b"}]}', b"messages",
]  # fmt: skip


def _feed(path: Path, rng: random.Random) -> None:
    try:
        opened = open_source(Source(path))
        layout = choose_layout(opened.headings, "auto", {})
    except BadInput:
        return
    if not set(layout.columns.values()) <= set(opened.headings):
        raise AssertionError("a column that is not there")
    for block in opened.blocks():
        if isinstance(block, JsonBlock):
            rows = from_json(parse_rows(block, layout), layout, 0)
        else:
            assert isinstance(block, CsvBlock)
            assert opened.dialect is not None
            wanted = tuple(layout.columns.values())
            rows = from_csv(parse_block(block, opened.dialect, wanted), layout, 0)
        assert rows.batch.num_rows + len(rows.refused) == rows.records
        rows.batch.validate(full=True)  # UTF-8 among other things
        batch, _ = scan_batch(rows.batch, layout.kind, masked=rng.random() < 0.5)
        batch.validate(full=True)


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_files_of_hostile_pieces(tmp_path: Path, suffix: str) -> None:
    rng = random.Random(99)
    starts = [b"text\n", b"text,label\n", b"messages\n", b'{"text": "a"}\n', b""]
    path = tmp_path / f"data{suffix}"
    for _ in range(1000):
        body = b"".join(rng.choice(_PIECES) for _ in range(rng.randrange(60)))
        path.write_bytes(rng.choice(starts) + body)
        began = time.monotonic()
        _feed(path, rng)
        assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    ("suffix", "body"),
    [
        (".csv", b'"' * 3_000_000),
        (".csv", b'"\n' * 1_000_000),
        (".csv", b'",""\n"\n' * 300_000),
        (".csv", b'x,"a\n' * 500_000),
        (".csv", b'"a"b\n' * 500_000),
        (".csv", b"\r" * 3_000_000),
        (".csv", b"\xe9\n" * 300_000),
        (".csv", b"\n" * 5_000_000),
        (".csv", b"," * 3_000_000),
        (".jsonl", b"[" * 3_000_000),
        (".jsonl", b'{"a":' * 500_000),
        (".jsonl", b"\n" * 5_000_000),
        (".jsonl", (b"9" * 100_000 + b"\n") * 30),
        (".jsonl", b'{"text": "' + b"1" * 3_000_000 + b'"}'),
        (".jsonl", b'{"text": "' + b"a@" * 1_500_000 + b'"}'),
    ],
)
def test_large_hostile_files_take_linear_time(tmp_path: Path, suffix: str, body: bytes) -> None:
    path = tmp_path / f"data{suffix}"
    path.write_bytes((b"text,label\n" if suffix == ".csv" else b'{"text": "a"}\n') + body)
    began = time.process_time()
    _feed(path, random.Random(1))
    assert time.process_time() - began < 30
