"""CSV bytes are cut and parsed exactly, with honest lines, whatever is torn between."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.datasets import csv_source
from workbench.datasets.csv_source import csv_blocks, parse_block, read_dialect
from workbench.datasets.source import Source
from workbench.errors import BadInput

Row = tuple[int, tuple[str, ...]]


def read(path: Path, size: int = 1 << 20) -> tuple[list[Row], list[tuple[int, str]]]:
    """Return (line, values) of the rows and (line, code) of the rejects."""
    source = Source(path)
    dialect = read_dialect(source)
    rows: list[Row] = []
    refused: list[tuple[int, str]] = []
    records = 0
    for block in csv_blocks(source, dialect, size):
        parsed = parse_block(block, dialect, dialect.headings)
        columns = [parsed.columns[name].to_pylist() for name in dialect.headings]
        values = list(zip(*columns, strict=True))
        rows += zip(parsed.lines.tolist(), values, strict=True)
        refused += parsed.refused
        records += parsed.records
        assert len(set(parsed.ordinals.tolist())) == len(values)
        assert all(0 <= ordinal < parsed.records for ordinal in parsed.ordinals.tolist())
    assert records == len(rows) + len(refused)
    return rows, refused


def read_bytes(
    folder: Path, data: bytes, size: int = 1 << 20
) -> tuple[list[Row], list[tuple[int, str]]]:
    path = folder / "data.csv"
    path.write_bytes(data)
    return read(path, size)


@pytest.mark.parametrize("size", [1, 7, 64, 1 << 20])
def test_quotes_line_ends_marks_and_blank_lines(tmp_path: Path, size: int) -> None:
    data = b'\xef\xbb\xbfa,b\r\n1,"x\ny"\r\n\r\n"say ""hi""",2\n\n3,"z\r\nw"\n4,last'
    rows, refused = read_bytes(tmp_path, data, size)
    assert refused == []
    assert rows == [
        (2, ("1", "x\ny")),
        (5, ('say "hi"', "2")),
        (7, ("3", "z\r\nw")),
        (9, ("4", "last")),
    ]


@pytest.mark.parametrize("size", [16, 1 << 20])
@pytest.mark.parametrize(
    ("broken", "code"),
    [
        (b'2,"never closed', "torn_row"),
        (b'2,"closed" too early', "torn_row"),
        (b'2,5" wide', "torn_row"),
        (b"only one field", "torn_row"),
        (b"2,three,fields", "torn_row"),
        (b"2,bare\rreturn", "torn_row"),
        (b"2,caf\xe9", "bad_encoding"),
        (b"2,half a surrogate \xed\xa0\x80", "bad_encoding"),
        (b"2,nul \0 byte", "nul_byte"),
    ],
)
def test_a_broken_row_costs_itself_only(
    tmp_path: Path, broken: bytes, code: str, size: int
) -> None:
    data = b'a,b\n1,"ok\nok"\n' + broken + b'\n3,fine\n4,"multi\nline"\n5,"x"\n'
    rows, refused = read_bytes(tmp_path, data, size)
    assert refused == [(4, code)]
    assert [(line, row[0]) for line, row in rows] == [(2, "1"), (5, "3"), (6, "4"), (8, "5")]


def test_a_torn_row_at_the_end(tmp_path: Path) -> None:
    rows, refused = read_bytes(tmp_path, b'a,b\n1,2\n3,"open\nmore')
    assert rows == [(2, ("1", "2"))]
    assert refused == [(3, "torn_row"), (4, "torn_row")]


def test_latin_1_file_rejects_each_bad_line(tmp_path: Path) -> None:
    lines = [f"{i},caf\u00e9" if i % 2 else f"{i},tea" for i in range(1000)]
    rows, refused = read_bytes(tmp_path, ("a,b\n" + "\n".join(lines)).encode("latin-1"))
    assert len(rows) == len(refused) == 500
    assert refused[0] == (3, "bad_encoding")


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_found(tmp_path: Path, delimiter: str) -> None:
    rows, refused = read_bytes(tmp_path, f'"a,x"{delimiter}b\n1{delimiter}2\n'.encode())
    assert (rows, refused) == ([(2, ("1", "2"))], [])


def test_records_beyond_the_budget_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(csv_source, "RECORD_BYTES", 1000)
    long = b"2," + b"x" * 5000
    rows, refused = read_bytes(tmp_path, b"a,b\n1,2\n" + long + b"\n3,4\n", 256)
    assert refused == [(3, "too_long")]
    assert rows == [(2, ("1", "2")), (4, ("3", "4"))]


def test_an_open_quote_does_not_swallow_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(csv_source, "RECORD_BYTES", 1000)
    data = b'a,b\n1,"torn\n' + b"2,fine\n" * 2000
    rows, refused = read_bytes(tmp_path, data, 256)
    assert refused == [(2, "torn_row")]
    assert len(rows) == 2000
    assert rows[0] == (3, ("2", "fine"))


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "empty_file"),
        (b"\n \n", "empty_file"),
        (b"caf\xe9,b\n1,2\n", "bad_header"),
        ("a,b\n1,2\n".encode("utf-16"), "bad_encoding"),
    ],
)
def test_files_without_a_usable_header(tmp_path: Path, data: bytes, code: str) -> None:
    path = tmp_path / "data.csv"
    path.write_bytes(data)
    with pytest.raises(BadInput) as caught:
        read_dialect(Source(path))
    assert caught.value.code == code


def test_a_changed_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_bytes(b"a,b\n" + b"1,2\n" * 1000)
    blocks = csv_blocks(Source(path), read_dialect(Source(path)), 256)
    next(blocks)
    with path.open("ab") as file:
        file.write(b"3,4\n")
    with pytest.raises(BadInput) as caught:
        list(blocks)
    assert caught.value.code == "source_changed"


_VALUES = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12
) | st.sampled_from(['"', '""', "\n", "\r\n", ",", 'a"b', "\n\n", ' "x"', "\r"])


@settings(max_examples=150, deadline=None)
@given(
    rows=st.lists(st.tuples(_VALUES, _VALUES), max_size=12),
    size=st.integers(1, 200),
    ending=st.sampled_from(["\n", "\r\n"]),
)
def test_what_a_csv_writer_writes_is_read_back(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[tuple[str, str]],
    size: int,
    ending: str,
) -> None:
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator=ending, quoting=csv.QUOTE_ALL)
    writer.writerow(("a", "b"))
    lines = []
    for row in rows:
        lines.append(1 + out.getvalue().count("\n"))
        writer.writerow(row)
    found, refused = read_bytes(
        tmp_path_factory.mktemp("csv"), out.getvalue().encode("utf-8"), size
    )
    assert refused == []
    assert found == list(zip(lines, rows, strict=True))


@settings(max_examples=150, deadline=None)
@given(
    data=st.binary(max_size=300) | st.text('a",\n\r\0\u00e9', max_size=300).map(str.encode),
    size=st.integers(1, 400),
)
def test_blocks_do_not_change_what_is_found(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, size: int
) -> None:
    folder = tmp_path_factory.mktemp("csv")
    assert read_bytes(folder, b"a,b\n" + data, size) == read_bytes(folder, b"a,b\n" + data)


@pytest.mark.parametrize("cell", [b"p\0\nq", b"p\r\nq", b"p\rr\nq", b"p\xff\nq"])
def test_a_record_that_a_block_cuts_never_counts_against_the_one_before(
    tmp_path: Path, cell: bytes
) -> None:
    for data in (b'a,b\nx,y\n"' + cell + b'",z\n', b'a,b\nx,y\nv\rw,"' + cell + b'"\n'):
        whole = read_bytes(tmp_path, data)
        for size in range(1, len(data)):
            assert read_bytes(tmp_path, data, size) == whole, size


@pytest.mark.parametrize("size", [1, 7, 1 << 20])
def test_a_file_without_a_header_loses_no_line(tmp_path: Path, size: int) -> None:
    path = tmp_path / "data.csv"
    path.write_bytes(b'\xef\xbb\xbfone,"two\nlines"\nthree,four\n')
    dialect = read_dialect(Source(path), header=False)
    assert dialect.headings == ("column_1", "column_2")
    blocks = [
        parse_block(block, dialect, dialect.headings)
        for block in csv_blocks(Source(path), dialect, size)
    ]
    lines = [line for block in blocks for line in block.lines.tolist()]
    first = [text for block in blocks for text in block.columns["column_1"].to_pylist()]
    assert (lines, first) == ([1, 3], ["one", "three"])
