"""DuckDB, hardened: every connection of the product is opened here.

No extension is loaded or fetched, no Python variable stands in for a table, nothing spills to
disk (DuckDB's spill files are plaintext; without them a query that is too big fails cleanly), no
file but the opened one and those that are named can be reached, and none of it can be switched
back on. The order matters: external access is shut after connecting, the lock comes last.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

import duckdb

_CONFIG: dict[str, str | bool | int | float | list[str]] = {
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "allow_community_extensions": False,
    "allow_persistent_secrets": False,
    "python_enable_replacements": False,
    "temp_directory": "",
}

_OPENING = threading.Lock()


def _config(memory_limit: int | None) -> dict[str, str | bool | int | float | list[str]]:
    config = dict(_CONFIG)
    if memory_limit is not None:
        config["memory_limit"] = f"{memory_limit}B"
    return config


def open_database(
    path: Path, *, read_only: bool, memory_limit: int | None = None
) -> duckdb.DuckDBPyConnection:
    """Open the database file at `path`; without `read_only` a missing file is created.

    `memory_limit` in bytes caps the blocks that are cached while a large file is scanned. One
    process may hold several read-only connections, or writing ones, but not both kinds; the
    first one's `memory_limit` then counts.

    Raises:
        duckdb.IOException: No database stands there, or another process holds it.
        duckdb.ConnectionException: This process holds it with the other `read_only`.
    """
    # Connections of one process to one file share one database: they must ask for the same
    # configuration, so the limit is set afterwards, and only one of them may shut it.
    with _OPENING:
        connection = duckdb.connect(str(path), read_only=read_only, config=_config(None))
        return _shut(connection, (), memory_limit)


def create_database(
    path: Path, *, row_group_rows: int, memory_limit: int, threads: int
) -> duckdb.DuckDBPyConnection:
    """Create a database file for bulk writing, its tables in row groups of `row_group_rows`.

    DuckDB keeps the rows of an unfinished row group in memory and rewrites a partly filled one at
    each checkpoint. A writer of large values therefore wants small groups (a multiple of 2048)
    and commits and checkpoints when one is full: memory and time then stay flat.
    """
    config = _config(memory_limit)
    config["threads"] = threads
    connection = duckdb.connect(":memory:", config=config)
    try:
        name = str(path).replace("'", "''")
        connection.execute(f"ATTACH '{name}' AS made (ROW_GROUP_SIZE {int(row_group_rows)})")
        connection.execute("USE made")
    except BaseException:
        connection.close()
        raise
    return _shut(connection, ())


def open_analyst(
    *,
    allowed: Sequence[Path] = (),
    memory_limit: int | None = None,
    threads: int | None = None,
) -> duckdb.DuckDBPyConnection:
    """Open a fresh in-memory database for SQL over decrypted batches.

    Args:
        allowed: The only files that its SQL may read, by the path as given in the SQL.
        memory_limit: Most memory of its tables and operators in bytes; DuckDB's default is 80 %
            of the machine's. A query that needs more raises duckdb.OutOfMemoryException.
        threads: Worker threads; by default one a core.
    """
    config = _config(memory_limit)
    if threads is not None:
        config["threads"] = threads
    return _shut(duckdb.connect(":memory:", config=config), allowed)


def _shut(
    connection: duckdb.DuckDBPyConnection,
    allowed: Sequence[Path],
    memory_limit: int | None = None,
) -> duckdb.DuckDBPyConnection:
    try:
        locked = connection.execute("SELECT current_setting('lock_configuration')").fetchone()
        # A second connection to a file that this process holds open joins the first one's
        # database, which was shut already and refuses any further SET.
        if locked != (True,):
            # A setting of the connection. The bar is drawn on stdout, where JSON is promised.
            connection.execute("SET enable_progress_bar = false")
            if memory_limit is not None:
                connection.execute(f"SET memory_limit = '{int(memory_limit)}B'")
            if allowed:
                paths = ", ".join("'" + str(path).replace("'", "''") + "'" for path in allowed)
                connection.execute(f"SET allowed_paths = [{paths}]")
            connection.execute("SET enable_external_access = false")
            connection.execute("SET lock_configuration = true")
    except BaseException:
        connection.close()
        raise
    return connection
