"""Hardened DuckDB: what a query must not reach, it does not reach."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from workbench.vault.duck import open_analyst, open_database


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    mine, sibling = tmp_path / "it's mine.csv", tmp_path / "sibling.csv"
    mine.write_text("a,b\n1,2\n")
    sibling.write_text("a,b\n3,4\n")
    return mine, sibling


def test_only_the_named_file_can_be_read(files: tuple[Path, Path]) -> None:
    mine, sibling = files
    with contextlib.closing(open_analyst(allowed=[mine])) as connection:
        assert connection.execute("SELECT * FROM read_csv(?)", [str(mine)]).fetchall() == [(1, 2)]
        for reach in (str(sibling), f"{mine.parent}/*.csv", "/etc/passwd"):
            with pytest.raises(duckdb.Error):
                connection.execute("SELECT * FROM read_csv(?)", [reach])


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM read_text('/etc/hostname')",
        "SELECT * FROM glob('/etc/*')",
        "COPY (SELECT 1) TO '{folder}/out.csv'",
        "EXPORT DATABASE '{folder}/out'",
        "ATTACH '{folder}/other.duckdb'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SET enable_external_access = true",
        "SET temp_directory = '{folder}'",
        "SET lock_configuration = false",
        "RESET lock_configuration",
        "SET allowed_paths = ['{folder}']",
        "SELECT * FROM secret_table",
    ],
)
def test_ways_out_are_shut(statement: str, tmp_path: Path) -> None:
    secret_table = pa.table({"a": [1]})  # a Python variable must not stand in for a table
    assert secret_table.num_rows == 1
    database = tmp_path / "file.duckdb"
    for connection in (open_analyst(), open_database(database, read_only=False)):
        with contextlib.closing(connection), pytest.raises(duckdb.Error):
            connection.execute(statement.format(folder=tmp_path))
    assert {path.name for path in tmp_path.iterdir()} <= {database.name}


def test_a_query_that_is_too_big_fails_instead_of_spilling(tmp_path: Path) -> None:
    with contextlib.closing(open_analyst(memory_limit=32 << 20, threads=1)) as connection:
        with pytest.raises(duckdb.OutOfMemoryException):
            connection.execute(
                "CREATE TABLE t AS SELECT md5(i::VARCHAR) AS a, md5((i+1)::VARCHAR) AS b "
                "FROM range(3000000) AS r(i)"
            )
        assert connection.execute("SELECT current_setting('temp_directory')").fetchall() == [("",)]


def test_readers_share_a_file_and_writers_persist(tmp_path: Path) -> None:
    path = tmp_path / "file.duckdb"
    with contextlib.closing(open_database(path, read_only=False)) as connection:
        connection.execute("CREATE TABLE t (number INTEGER PRIMARY KEY, body BLOB)")
        connection.execute("INSERT INTO t VALUES (1, 'x'::BLOB)")
    with (
        contextlib.closing(open_database(path, read_only=True)) as one,
        contextlib.closing(open_database(path, read_only=True)) as two,
    ):
        for reader in (one, two):
            assert reader.execute("SELECT * FROM t").fetchall() == [(1, b"x")]
            with pytest.raises(duckdb.Error):
                reader.execute("SELECT * FROM read_text('/etc/hostname')")
        with pytest.raises(duckdb.Error):
            one.execute("DELETE FROM t")


def test_arrow_batches_go_in_when_registered() -> None:
    with contextlib.closing(open_analyst()) as connection:
        connection.register("batch", pa.table({"a": [1, 2]}))
        assert connection.execute("SELECT sum(a) FROM batch").fetchall() == [(3,)]


def test_threads_may_open_one_file_at_the_same_moment(tmp_path: Path) -> None:
    path = tmp_path / "file.duckdb"
    open_database(path, read_only=False).close()
    errors: list[BaseException] = []

    def read(limit: int | None) -> None:
        for _ in range(20):
            try:
                with contextlib.closing(
                    open_database(path, read_only=True, memory_limit=limit)
                ) as connection:
                    connection.execute("SELECT 1")
            except duckdb.Error as error:
                errors.append(error)

    threads = [threading.Thread(target=read, args=(limit,)) for limit in (None, 1 << 28, None)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
