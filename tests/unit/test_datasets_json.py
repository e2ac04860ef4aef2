"""JSON lines: each line is judged alone, conversations become canonical."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.datasets import json_source
from workbench.datasets.canonical import from_json
from workbench.datasets.columns import Layout, choose_layout
from workbench.datasets.json_source import json_blocks, parse_rows, read_keys
from workbench.datasets.records import Message, records_from_batch
from workbench.datasets.source import Source
from workbench.errors import BadInput

_TEXT = Layout("text", {"text": "text"})


def read(path: Path, layout: Layout, size: int = 1 << 20) -> tuple[list[Any], list[Any]]:
    """Return (line, record) of the rows and (line, code) of the rejects."""
    rows: list[Any] = []
    refused: list[Any] = []
    for block in json_blocks(Source(path), size):
        taken = from_json(parse_rows(block, layout), layout, 0)
        lines = taken.batch.column("line").to_pylist()
        rows += zip(lines, records_from_batch(taken.batch, layout.kind), strict=True)
        refused += taken.refused
        assert taken.records == len(lines) + len(taken.refused)
    return rows, refused


@pytest.mark.parametrize("size", [1, 9, 1 << 20])
@pytest.mark.parametrize(
    ("broken", "code"),
    [
        (b'{"text": "torn', "bad_json"),
        (b"[1]", "not_an_object"),
        (b'{"other": 1}', "missing_field"),
        (b'{"text": null}', "missing_field"),
        (b'{"text": 5}', "wrong_type"),
        (b'{"text": " \\u00a0 "}', "empty_field"),
        (b'{"text": "caf\xe9"}', "bad_encoding"),
        (b'{"text": "\\ud800"}', "lone_surrogate"),
        (b'{"text": "a\\u0000b"}', "nul_byte"),
        (b'{"text": "a\0b"}', "nul_byte"),
        (b'{"text": ' + b"9" * 5000 + b"}", "bad_json"),
        (b'{"text": "a", "x": ' + b"[" * 100_000, "too_deep"),
    ],
)
def test_a_broken_line_costs_itself_only(
    tmp_path: Path, broken: bytes, code: str, size: int
) -> None:
    path = tmp_path / "data.jsonl"
    size = max(size, len(broken) // 50)  # byte by byte takes its time on the long ones
    path.write_bytes(
        b'\xef\xbb\xbf{"text": "one"}\r\n\n' + broken + b'\n{"text": "\\ud83d\\ude00"}'
    )
    rows, refused = read(path, _TEXT, size)
    assert refused == [(3, code)]
    assert [(line, record.text) for line, record in rows] == [(1, "one"), (4, "\U0001f600")]


def test_records_beyond_the_budget_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_source, "RECORD_BYTES", 1000)
    path = tmp_path / "data.jsonl"
    path.write_bytes(b'{"text": "a"}\n{"text": "' + b"x" * 9000 + b'"}\n{"text": "b"}\n')
    for size in (256, 1 << 20):
        rows, refused = read(path, _TEXT, size)
        assert refused == [(2, "too_long")]
        assert [line for line, _ in rows] == [1, 3]


def _chat(tmp_path: Path, *records: Any) -> tuple[list[Any], list[Any]]:
    path = tmp_path / "chat.jsonl"
    path.write_text("\n".join(json.dumps(record) for record in records))
    layout = choose_layout(read_keys(Source(path)), "auto", {})
    assert layout.kind == "chat"
    return read(path, layout)


def test_openai_and_sharegpt_become_the_same(tmp_path: Path) -> None:
    openai = {
        "messages": [
            {"role": "developer", "content": "be brief"},
            {"role": "user", "content": [{"type": "text", "text": "hi"}]},
            {"role": "assistant", "content": "hello"},
        ]
    }
    rows, refused = _chat(tmp_path, openai)
    assert refused == []
    expected = (Message("system", "be brief"), Message("user", "hi"), Message("assistant", "hello"))
    assert rows[0][1].messages == expected

    share = {
        "system": "be brief",
        "conversations": [{"from": "human", "value": "hi"}, {"from": "gpt", "value": "hello"}],
    }
    rows, refused = _chat(tmp_path, share)
    assert rows[0][1].messages == expected


@pytest.mark.parametrize(
    ("messages", "code"),
    [
        ([], "missing_field"),
        ("not json", "bad_json"),
        ({"role": "user"}, "wrong_type"),
        (["hi"], "wrong_type"),
        ([{"role": "user"}], "missing_field"),
        ([{"role": "user", "content": None}], "missing_field"),
        ([{"role": "tool", "content": "x"}], "bad_role"),
        ([{"role": 1, "content": "x"}], "wrong_type"),
        ([{"role": "user", "content": [{"type": "image_url"}]}], "wrong_type"),
        ([{"role": "user", "content": "x"}], "no_answer"),
        ([{"role": "assistant", "content": "x"}], "bad_order"),
        ([{"role": "user", "content": "x"}, {"role": "assistant", "content": " "}], "empty_answer"),
        ([{"role": "user", "content": ""}, {"role": "assistant", "content": "x"}], "empty_field"),
        (
            [
                {"role": "user", "content": "x"},
                {"role": "assistant", "content": "y"},
                {"role": "system", "content": "z"},
            ],
            "bad_order",
        ),
    ],
)
def test_conversations_that_cannot_be_trained_on(tmp_path: Path, messages: Any, code: str) -> None:
    good = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
    rows, refused = _chat(tmp_path, {"messages": good}, {"messages": messages}, {"messages": good})
    assert refused == [(2, code)]
    assert [line for line, _ in rows] == [1, 3]


def test_a_file_without_objects(tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    path.write_text("hello\nworld\n")
    with pytest.raises(BadInput) as caught:
        read_keys(Source(path))
    assert caught.value.code == "not_json_lines"


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["role", "content", "from", "value", "x"]), inner, max_size=4
        )
    ),
    max_leaves=8,
)


@settings(max_examples=60, deadline=None)
@given(records=st.lists(st.dictionaries(st.just("messages"), _JSON), max_size=6))
def test_any_json_is_taken_or_refused(
    tmp_path_factory: pytest.TempPathFactory, records: list[Any]
) -> None:
    path = tmp_path_factory.mktemp("json") / "data.jsonl"
    path.write_text("\n".join(json.dumps(record) for record in records))
    rows, refused = read(path, Layout("chat", {"messages": "messages"}))
    assert len(rows) + len(refused) == len(records)
