"""The catalogue: what objects the vault holds, as sealed rows in a small DuckDB file.

Each row is sealed under its object's own key, so shredding that key also removes name and record
for good. A root row, sealed under the vault's key, lists the hash of every row: a row that was
dropped, doubled, swapped or taken from an earlier copy is noticed. The file is opened for each
operation and never held, because DuckDB lets one process write or several read.
"""

from __future__ import annotations

import contextlib
import difflib
import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb

from workbench.errors import BadInput, DoesNotFit, NotFound, VaultDamaged
from workbench.vault import formats
from workbench.vault.duck import open_database
from workbench.vault.ids import check_id, kind_of
from workbench.vault.locking import DEFAULT_WAIT, busy, hold
from workbench.vault.sealed import JSON, DataKey, open_blob, seal_blob, to_json_bytes

_PAUSE = 0.05
_LONGEST_SHOWN = 100  # characters of a name that is not here
_HINT = "Restore catalogue.duckdb from a backup of the home folder."


@dataclass(frozen=True)
class Entry:
    """One object of the vault.

    Attributes:
        kind: "dataset", "model", "run", "adapter" or "draft".
        object_id: Its id.
        name: The user's name for it, unique within its kind.
        record: What the object's room notes about it.
        created: ISO time in UTC at which the entry was first put.
    """

    kind: str
    object_id: str
    name: str
    record: dict[str, Any] = field(repr=False)
    created: str


_Rows = dict[str, bytes]


class Catalogue:
    """The sealed list of a vault's objects."""

    def __init__(
        self,
        home: Path,
        root_key: DataKey,
        find_keys: Callable[[], Mapping[str, DataKey]],
        *,
        wait: float = DEFAULT_WAIT,
    ) -> None:
        """Open the catalogue of a vault's home.

        Args:
            home: The home folder.
            root_key: Seals the list of rows.
            find_keys: Returns the data keys of all objects that are not shredded, by object id.
            wait: Most seconds to wait for another process.
        """
        self.path = home / "catalogue.duckdb"
        self._lock = home / "locks" / "catalogue.lock"
        self._root_key = root_key
        self._find_keys = find_keys
        self._wait = wait

    def put(self, kind: str, object_id: str, name: str, record: Mapping[str, JSON]) -> Entry:
        """Insert an entry, or replace the one of the same object; its `created` stays.

        Raises:
            BadInput: Another object of the kind has this name (`name_taken`), or it is empty.
            NotFound: The object has no key.
            Busy: Another process held the catalogue for too long.
        """
        if kind_of(object_id) != kind:
            raise ValueError(f"{object_id} is not the id of a {kind}")
        if not name or len(name) > 200:
            raise BadInput("A name has 1 to 200 characters.", code="bad_name")
        with self._changing() as (rows, entries, keys):
            if object_id not in keys:
                raise NotFound(f"The vault holds no key of {object_id}.")
            if any(e.kind == kind and e.name == name and e.object_id != object_id for e in entries):
                raise BadInput(
                    f"There is already a {kind} with this name.",
                    hint="Choose another name, or remove the old one first.",
                    code="name_taken",
                )
            now = datetime.now(UTC).isoformat(timespec="seconds")
            created = next((e.created for e in entries if e.object_id == object_id), now)
            value: dict[str, JSON] = {"name": name, "record": record, "created": created}
            plaintext = to_json_bytes(value)
            rows[object_id] = seal_blob(keys[object_id], formats.CATALOGUE, plaintext)
        return Entry(kind, object_id, name, json.loads(plaintext)["record"], created)

    def remove(self, object_id: str) -> None:
        """Remove an object's entry; nothing happens where there is none."""
        check_id(object_id)
        with self._changing() as (rows, _, _):
            rows.pop(object_id, None)

    def get(self, kind: str, name_or_id: str) -> Entry:
        """Return the entry of a kind by its name, or by its object id.

        Raises:
            NotFound: There is none.
        """
        found = self.entries(kind)
        for entry in found:
            if entry.name == name_or_id:
                return entry
        for entry in found:
            if entry.object_id == name_or_id:
                return entry
        near = difflib.get_close_matches(name_or_id, [entry.name for entry in found], n=1)
        named = f"called {name_or_id}" if len(name_or_id) <= _LONGEST_SHOWN else "of this name"
        raise NotFound(
            f"There is no {kind} {named} in the vault.",
            hint=(f"Did you mean {near[0]}? " if near else "") + f"See `workbench {kind} list`.",
        )

    def entries(self, kind: str | None = None) -> list[Entry]:
        """Return all entries, or those of one kind, oldest first.

        Raises:
            VaultDamaged: A row or the list of rows does not verify.
            Busy: Another process held the catalogue for too long.
        """
        with hold(self._lock, shared=True, wait=self._wait):
            with self._connected(read_only=True) as connection:
                rows = self._read(connection)
            entries = self._opened(rows, self._find_keys())
        return [entry for entry in entries if kind is None or entry.kind == kind]

    @contextlib.contextmanager
    def _changing(self) -> Iterator[tuple[_Rows, list[Entry], Mapping[str, DataKey]]]:
        """Yield rows to change in place; they are written in one transaction."""
        with hold(self._lock, wait=self._wait), self._connected(read_only=False) as connection:
            before = self._read(connection)
            keys = self._find_keys()
            # Rows whose key was shredded are dust; they leave with the next change.
            rows = {name: body for name, body in before.items() if name in keys}
            entries = self._opened(rows, keys)
            yield rows, entries, keys
            self._write(connection, before, rows)

    def _write(self, connection: duckdb.DuckDBPyConnection, before: _Rows, rows: _Rows) -> None:
        if rows == before:
            return
        connection.execute("BEGIN")
        for gone in before.keys() - rows.keys():
            connection.execute("DELETE FROM rows WHERE object_id = ?", [gone])
        for name, body in rows.items():
            if before.get(name) != body:
                connection.execute("INSERT OR REPLACE INTO rows VALUES (?, ?)", [name, body])
        connection.execute("INSERT OR REPLACE INTO root VALUES (0, ?)", [self._seal_root(rows)])
        connection.execute("COMMIT")

    def _seal_root(self, rows: _Rows) -> bytes:
        return seal_blob(self._root_key, formats.CATALOGUE_ROOT, _listing(rows))

    def _read(self, connection: duckdb.DuckDBPyConnection) -> _Rows:
        found = connection.execute("SELECT object_id, body FROM rows ORDER BY object_id").fetchall()
        rows = {str(name): bytes(body) for name, body in found}
        roots = connection.execute("SELECT body FROM root").fetchall()
        if len(roots) != 1 or len(rows) != len(found):
            raise VaultDamaged("The catalogue's list of rows does not verify.", hint=_HINT)
        if open_blob(self._root_key, formats.CATALOGUE_ROOT, roots[0][0]) != _listing(rows):
            raise VaultDamaged("The catalogue's list of rows does not verify.", hint=_HINT)
        return rows

    def _opened(self, rows: _Rows, keys: Mapping[str, DataKey]) -> list[Entry]:
        entries = []
        for object_id, body in rows.items():
            if object_id not in keys:
                continue
            value = json.loads(open_blob(keys[object_id], formats.CATALOGUE, body))
            fields = value["name"], value["record"], value["created"]
            entries.append(Entry(kind_of(object_id), object_id, *fields))
        return sorted(entries, key=lambda entry: (entry.created, entry.object_id))

    @contextlib.contextmanager
    def _connected(self, *, read_only: bool) -> Iterator[duckdb.DuckDBPyConnection]:
        connection = self._connect(read_only)
        try:
            yield connection
        except duckdb.Error as error:
            # The text of DuckDB's errors may hold values, so it goes no further.
            if "No space left" in str(error):
                raise DoesNotFit(
                    "The disk is full.", hint="Free some space, then try again."
                ) from None
            raise VaultDamaged("The catalogue cannot be read.", hint=_HINT) from None
        finally:
            connection.close()

    def _connect(self, read_only: bool) -> duckdb.DuckDBPyConnection:
        if not self.path.exists():
            raise VaultDamaged("catalogue.duckdb is missing.", hint=_HINT)
        deadline = time.monotonic() + self._wait
        while True:
            try:
                return open_database(self.path, read_only=read_only)
            except duckdb.Error as error:
                # Our own lock keeps our processes apart; another program may hold the file.
                if "Could not set lock" not in str(error):
                    raise VaultDamaged("The catalogue cannot be opened.", hint=_HINT) from None
                if time.monotonic() >= deadline:
                    raise busy() from None
                time.sleep(_PAUSE)


def create_catalogue(catalogue: Catalogue) -> None:
    """Write the file of an empty catalogue, in a home that is not published yet."""
    with contextlib.closing(open_database(catalogue.path, read_only=False)) as connection:
        connection.execute("CREATE TABLE rows (object_id VARCHAR PRIMARY KEY, body BLOB NOT NULL)")
        connection.execute("CREATE TABLE root (place INTEGER PRIMARY KEY, body BLOB NOT NULL)")
        connection.execute("INSERT INTO root VALUES (0, ?)", [catalogue._seal_root({})])
    catalogue.path.chmod(0o600)


def _listing(rows: _Rows) -> bytes:
    return to_json_bytes({name: hashlib.sha256(body).hexdigest() for name, body in rows.items()})
