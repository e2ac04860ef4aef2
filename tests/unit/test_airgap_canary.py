"""The scanner, tested on doubles that leak on purpose, in every form it claims to find."""

from __future__ import annotations

import base64
import gzip
import io
import json
import os
import random
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from workbench.airgap.canary import Needle, scan, scan_bytes, scan_file

TEXT = "CANARY-Zürich-7f3a91c0"
TOKENS = (513, 77, 30_001, 4, 12_345)
NEEDLE = Needle(TEXT, TOKENS)
PLAIN = TEXT.encode()
NOISE = random.Random(1).randbytes(5000)


def _arrow(codec: str) -> bytes:
    # Its halves stand there first, so that the whole is stored as references to them.
    halves = [TEXT[:12], TEXT[9:]]
    table = pa.table({"text": [f"before {item} after" for item in (*halves, TEXT)]})
    sink = io.BytesIO()
    options = pa.ipc.IpcWriteOptions(compression=codec)
    with pa.ipc.new_stream(sink, table.schema, options=options) as writer:
        writer.write_table(table)
    return sink.getvalue()


def _lz4_or_zstd(codec: str) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, codec) as stream:
        stream.write(b"x" * 3000 + PLAIN + b"y" * 3000)
    return bytes(sink.getvalue().to_pybytes())


LEAKS: dict[str, Callable[[], bytes]] = {
    "utf-8": lambda: PLAIN,
    "utf-16-le": lambda: TEXT.encode("utf-16-le"),
    "utf-16-be": lambda: TEXT.encode("utf-16-be"),
    "utf-32-le": lambda: TEXT.encode("utf-32-le"),
    "hex": lambda: PLAIN.hex().encode(),
    "hex-upper": lambda: PLAIN.hex().upper().encode(),
    "reversed": lambda: PLAIN[::-1],
    "escaped": lambda: (
        json.dumps({"text": TEXT.replace("ü", "\\xfc")}).replace("\\\\", "\\").encode()
    ),
    "base64+0": lambda: base64.b64encode(PLAIN),
    "base64+1": lambda: base64.b64encode(b"a" + PLAIN + b"bc"),
    "base64+2": lambda: base64.b64encode(b"ab" + PLAIN + b"c"),
    "tokens-16-le": lambda: struct.pack("<5H", *TOKENS),
    "tokens-16-be": lambda: struct.pack(">5H", *TOKENS),
    "tokens-32-le": lambda: struct.pack("<5I", *TOKENS),
    "tokens-32-be": lambda: struct.pack(">5I", *TOKENS),
    "tokens-64-le": lambda: struct.pack("<5Q", *TOKENS),
    "tokens-64-be": lambda: struct.pack(">5Q", *TOKENS),
    "tokens-text": lambda: str(list(TOKENS)).encode(),
    "tokens-json": lambda: json.dumps(TOKENS, separators=(",", ":")).encode(),
    "gzip/utf-8": lambda: gzip.compress(b"x" * 300 + PLAIN),
    "zlib/utf-8": lambda: zlib.compress(b"x" * 300 + PLAIN),
    "zstd/utf-8": lambda: _lz4_or_zstd("zstd"),
    "lz4/utf-8": lambda: _lz4_or_zstd("lz4"),
    "gzip/zstd/utf-8": lambda: gzip.compress(_lz4_or_zstd("zstd")),
    "zlib/base64+1": lambda: zlib.compress(base64.b64encode(b"a" + PLAIN + b"bc")),
}


@pytest.mark.parametrize("form", LEAKS)
def test_finds_each_form_amid_noise(form: str) -> None:
    leaky = NOISE + LEAKS[form]() + NOISE
    assert form in {finding.form for finding in scan_bytes(leaky, NEEDLE)}


@pytest.mark.parametrize("codec", ["zstd", "lz4"])
def test_finds_a_value_in_compressed_arrow_buffers(codec: str) -> None:
    data = _arrow(codec)
    assert PLAIN not in data, "the double must not leak in the clear"
    assert f"{codec}/utf-8" in {finding.form for finding in scan_bytes(data, NEEDLE)}


@pytest.mark.parametrize("make", [gzip.compress, zlib.compress])
def test_a_torn_stream_gives_up_its_beginning(make: Callable[[bytes], bytes]) -> None:
    data = make(PLAIN + random.Random(2).randbytes(20_000))
    assert scan_bytes(data[: len(data) // 2], NEEDLE)


def test_a_torn_zstd_frame_gives_up_its_beginning() -> None:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        halves = TEXT[:12].encode() + b" " + TEXT[9:].encode() + b" "
        stream.write((halves + PLAIN).ljust(128 * 1024, b" "))  # a block of its own
        stream.write(random.Random(2).randbytes(400_000))
    data = sink.getvalue().to_pybytes()
    assert PLAIN not in data
    assert scan_bytes(data[: len(data) // 2], NEEDLE)


def test_says_nothing_about_innocent_data() -> None:
    assert scan_bytes(random.Random(3).randbytes(400_000), NEEDLE) == []
    assert scan_bytes(gzip.compress(NOISE), NEEDLE) == []


def test_names_the_place(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    leak = tmp_path / "deep" / "cache.bin"
    leak.write_bytes(b"-" * 100 + PLAIN)
    findings = scan([tmp_path], NEEDLE)
    assert [(item.where, item.form, item.offset) for item in findings] == [
        (str(leak), "utf-8", 100)
    ]


def test_searches_names_and_links(tmp_path: Path) -> None:
    (tmp_path / f"x-{TEXT}.txt").touch()
    (tmp_path / "link").symlink_to(f"/nowhere/{TEXT}")
    forms = {(Path(item.where).name, item.form) for item in scan([tmp_path], NEEDLE)}
    assert forms == {(f"x-{TEXT}.txt", "name/utf-8"), ("link", "utf-8")}


def test_finds_a_needle_across_two_windows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workbench.airgap.canary._WINDOW", 4096)
    file = tmp_path / "large"
    file.write_bytes(b"\0" * (8192 - 5) + PLAIN + b"\0" * 9000)
    assert [item.offset for item in scan_file(file, NEEDLE)] == [8192 - 5]


@pytest.mark.skipif(os.getuid() == 0, reason="root reads everything")
def test_what_it_cannot_read_is_not_called_clean(tmp_path: Path) -> None:
    file = tmp_path / "locked"
    file.write_bytes(b"")
    file.chmod(0)
    assert [item.form for item in scan([tmp_path], NEEDLE)] == ["unreadable"]


def test_refuses_needles_that_stand_anywhere_by_chance() -> None:
    with pytest.raises(ValueError, match="by chance"):
        Needle("short")
    with pytest.raises(ValueError, match="by chance"):
        Needle(TEXT, (1, 2))
