"""The plain files of a run: what may stand there, and what readers make of damage."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.errors import BadInput, NotFound, Refused
from workbench.runs.protocol import (
    ControlFile,
    ControlTail,
    EventTail,
    EventWriter,
    RunSpec,
)
from workbench.runs.values import plain

SPEC = RunSpec(
    run="ru-0123456789abcdef",
    kind="train",
    created="2026-01-31T12:00:00Z",
    device="cuda-0",
    objects={"model": "mo-0123456789abcdef", "adapter": "ad-0123456789abcdef"},
    numbers={"steps": 10, "predicted_bytes": 5.5},
)


def test_a_spec_goes_through_json_unchanged() -> None:
    assert RunSpec.from_json(json.loads(json.dumps(SPEC.to_json()))) == SPEC


@pytest.mark.parametrize(
    "change",
    [
        {"run": "../../etc"},
        {"run": "ru-0123456789ABCDEF"},
        {"kind": "dance"},
        {"created": "yesterday"},
        {"created": "2026-01-31 \x1b[31m"},
        {"device": "cuda 0"},
        {"device": "../x"},
        {"objects": {"model": "Patient Smith"}},
        {"objects": ["mo-0123456789abcdef"]},
        {"numbers": {"steps": "ten"}},
        {"numbers": {"steps": True}},
        {"numbers": {"the name": 1}},
        {"surplus": 1},
        {"version": 0},
        {"version": "1"},
    ],
)
def test_a_spec_holds_ids_numbers_and_codes_only(change: dict[str, Any]) -> None:
    with pytest.raises(BadInput) as caught:
        RunSpec.from_json({**SPEC.to_json(), **change})
    assert caught.value.code == "bad_run_spec"


def test_a_newer_spec_is_refused_with_a_hint() -> None:
    with pytest.raises(Refused) as caught:
        RunSpec.from_json({**SPEC.to_json(), "version": 2, "novelty": True})
    assert caught.value.code == "newer_format"
    assert caught.value.hint


@pytest.mark.parametrize(
    "value",
    [
        "two words",
        "a/path",
        "line\nfeed",
        "ünïcode",
        "x" * 81,
        b"bytes",
        ["text here"],
        {"text here": 1},
        {"key": "text here"},
        {1: "a"},
        list(range(257)),
        2**63,
        object(),
        [[[[[[[[1]]]]]]]],
    ],
)
def test_text_cannot_be_written(tmp_path: Path, value: object) -> None:
    with EventWriter(tmp_path / "events.jsonl") as writer, pytest.raises(BadInput) as caught:
        writer.write("step", field=value)
    assert caught.value.code == "not_plain"
    assert "text here" not in caught.value.message
    assert (tmp_path / "events.jsonl").read_bytes() == b""


@given(st.text(max_size=100))
def test_whatever_is_written_has_no_blank_and_no_control_character(text: str) -> None:
    try:
        kept = plain(text)
    except BadInput:
        return
    assert isinstance(kept, str)
    assert kept.isascii()
    assert not any(char.isspace() or not char.isprintable() or char in "/\\" for char in kept)


def test_events_are_numbered_and_numbers_that_are_none_become_null(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    with EventWriter(path) as writer:
        writer.write("started", pid=1)
        writer.write("step", loss=float("nan"), lr=float("inf"), ok=True)
    with EventWriter(path) as writer:
        writer.write("finished")
    events = EventTail(path).poll()
    assert [(event["seq"], event["type"]) for event in events] == [
        (1, "started"),
        (2, "step"),
        (3, "finished"),
    ]
    assert (events[1]["loss"], events[1]["lr"], events[1]["ok"]) == (None, None, True)
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_field_cannot_stand_in_for_the_head(tmp_path: Path) -> None:
    with EventWriter(tmp_path / "e") as writer, pytest.raises(BadInput):
        writer.write("step", seq=7)


def test_a_torn_last_line_waits_and_a_closed_one_spoils_only_itself(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    with EventWriter(path) as writer:
        writer.write("started")
    with path.open("ab") as file:
        file.write(b'{"v":1,"seq":2,"t":1.0,"ty')
    tail = EventTail(path)
    assert [event["seq"] for event in tail.poll()] == [1]
    assert tail.poll() == []
    with EventWriter(path) as writer:
        writer.write("resumed", step=0)
    assert [(event["seq"], event["type"]) for event in tail.poll()] == [(2, "resumed")]


def test_a_line_that_arrives_in_pieces_is_read_once_whole(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    line = b'{"v":1,"seq":1,"t":1.0,"type":"started"}\n'
    tail = EventTail(path)
    seen: list[dict[str, Any]] = []
    for byte in line:
        with path.open("ab") as file:
            file.write(bytes([byte]))
        seen += tail.poll()
    assert [event["type"] for event in seen] == ["started"]


def test_forged_and_foreign_lines_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    good = {"v": 1, "seq": 1, "t": 1.0, "type": "step"}
    lines = [
        b"not json",
        b"[1]",
        b"\xff\xfe",
        b"[" * 5000,
        json.dumps({**good, "type": "\x1b[31mred"}).encode(),
        json.dumps({**good, "note": "Patient Smith"}).encode(),
        json.dumps({**good, "seq": "one"}).encode(),
        json.dumps({**good, "v": 0}).encode(),
        json.dumps({"v": 1}).encode(),
        json.dumps(good).encode(),
    ]
    path.write_bytes(b"\n".join(lines) + b"\n")
    assert EventTail(path).poll() == [good]


def test_a_newer_event_is_refused_with_a_hint(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(b'{"v":2,"seq":1,"t":1.0,"type":"started"}\n')
    with pytest.raises(Refused) as caught:
        EventTail(path).poll()
    assert (caught.value.code, caught.value.exit_code) == ("newer_format", 6)
    assert "newer" in caught.value.message
    assert caught.value.hint


def test_a_line_without_end_does_not_fill_the_memory(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    good = b'{"v":1,"seq":1,"t":1.0,"type":"started"}\n'
    path.write_bytes(b"x" * 3_000_000)
    tail = EventTail(path)
    assert tail.poll() == []
    with path.open("ab") as file:
        file.write(b"still the same line\n" + good)
    assert len(tail.poll()) == 1


def test_numbering_goes_on_behind_a_long_stretch_of_damage(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    with EventWriter(path) as writer:
        writer.write("started")
    with path.open("ab") as file:
        file.write(b"?" * 200_000 + b"\n" + b"\0" * 100_000)
    with EventWriter(path) as writer:
        assert writer.write("resumed")["seq"] == 2


def test_a_removed_or_replaced_file_is_said_clearly(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    tail = EventTail(folder / "events.jsonl")
    assert tail.poll() == []
    with EventWriter(folder / "events.jsonl") as writer:
        writer.write("started")
    assert len(tail.poll()) == 1
    os.truncate(folder / "events.jsonl", 3)
    with pytest.raises(NotFound) as caught:
        tail.poll()
    assert caught.value.code == "run_gone"
    (folder / "events.jsonl").unlink()
    folder.rmdir()
    for gone in (tail, EventTail(folder / "events.jsonl")):
        with pytest.raises(NotFound, match="removed"):
            gone.poll()


def test_commands_arrive_once_in_order_with_ids(tmp_path: Path) -> None:
    path = tmp_path / "control.jsonl"
    tail = ControlTail(path)
    assert tail.poll() == []
    names = [ControlFile(path).send("checkpoint"), ControlFile(path).send("pause")]
    assert [(item.id, item.command) for item in tail.poll()] == list(
        zip(names, ["checkpoint", "pause"], strict=True)
    )
    assert tail.poll() == []


def test_commands_for_an_earlier_process_are_forgotten_at_a_resume(tmp_path: Path) -> None:
    path = tmp_path / "control.jsonl"
    for command in ("pause", "stop", "resume", "checkpoint"):
        ControlFile(path).send(command)
    assert [item.command for item in ControlTail(path).poll()] == ["checkpoint"]


def test_strange_commands_are_refused_and_ignored(tmp_path: Path) -> None:
    path = tmp_path / "control.jsonl"
    with pytest.raises(BadInput):
        ControlFile(path).send("explode")  # type: ignore[arg-type]
    lines = [
        b"torn",
        b'{"v":1,"id":"a","command":"explode"}',
        b'{"v":1,"id":"a b","command":"stop"}',
        b"[]",
    ]
    path.write_bytes(b"\n".join(lines) + b"\n")
    assert ControlTail(path).poll() == []
    path.write_bytes(b'{"v":2,"id":"a","command":"stop"}\n')
    with pytest.raises(Refused):
        ControlTail(path).poll()
