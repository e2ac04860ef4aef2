"""The catalogue: sealed rows under a sealed list, opened for each operation."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
from pathlib import Path

import duckdb
import pytest

from tests.fixtures.vaults import Original, make_original, reopened
from workbench.errors import BadInput, Busy, DoesNotFit, NotFound, VaultDamaged
from workbench.vault.catalogue import Catalogue
from workbench.vault.duck import open_database
from workbench.vault.ids import new_id
from workbench.vault.store import Vault


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Original:
    return make_original(tmp_path_factory.mktemp("vaults") / "home")


@pytest.fixture
def vault(original: Original, tmp_path: Path) -> Vault:
    return original.copy(tmp_path / "home")


def add(vault: Vault, name: str, kind: str = "dataset", prefix: str = "ds") -> str:
    object_id = new_id(prefix)
    vault.new_key(object_id)
    vault.catalogue.put(kind, object_id, name, {"rows": 3, "nested": {"a": [1, None, True]}})
    return object_id


def sql(vault: Vault, *statements: str) -> None:
    with contextlib.closing(open_database(vault.catalogue.path, read_only=False)) as connection:
        for statement in statements:
            connection.execute(statement)


def test_entries_come_back_by_name_and_by_id(original: Original, vault: Vault) -> None:
    object_id = add(vault, "notes")
    add(vault, "notes", "adapter", "ad")  # the same name, but of another kind
    entry = reopened(vault.home, original).catalogue.get("dataset", "notes")
    assert entry == vault.catalogue.get("dataset", object_id)
    assert entry.record == {"rows": 3, "nested": {"a": [1, None, True]}}
    assert entry.created.endswith("+00:00")
    assert [e.kind for e in vault.catalogue.entries("adapter")] == ["adapter"]
    assert len(vault.catalogue.entries()) == 2
    with pytest.raises(NotFound):
        vault.catalogue.get("dataset", "nothing")
    with pytest.raises(NotFound):
        vault.catalogue.get("adapter", object_id)


def test_put_again_replaces_and_keeps_the_date(vault: Vault) -> None:
    object_id = add(vault, "notes")
    first = vault.catalogue.get("dataset", object_id)
    second = vault.catalogue.put("dataset", object_id, "renamed", {})
    assert second.created == first.created
    assert vault.catalogue.entries() == [second]


def test_a_taken_name_is_refused(vault: Vault) -> None:
    add(vault, "notes")
    with pytest.raises(BadInput) as caught:
        add(vault, "notes")
    assert caught.value.code == "name_taken"
    assert len(vault.catalogue.entries()) == 1


def test_what_cannot_be_an_entry_is_refused(vault: Vault) -> None:
    with pytest.raises(NotFound):
        vault.catalogue.put("dataset", new_id("ds"), "no key", {})
    with pytest.raises(ValueError, match="not the id"):
        vault.catalogue.put("dataset", new_id("ad"), "another kind", {})
    with pytest.raises(BadInput):
        vault.catalogue.put("dataset", new_id("ds"), "", {})


def test_removal(vault: Vault) -> None:
    object_id = add(vault, "notes")
    other = add(vault, "other")
    vault.catalogue.remove(object_id)
    vault.catalogue.remove(object_id)
    assert [entry.object_id for entry in vault.catalogue.entries()] == [other]
    add(vault, "notes")


def test_a_shredded_objects_row_is_dust_and_its_name_is_free(vault: Vault) -> None:
    object_id = add(vault, "notes")
    vault.shred(object_id)
    assert vault.catalogue.entries() == []
    add(vault, "notes")
    assert len(vault.catalogue.entries()) == 1


def test_nothing_of_an_entry_stands_in_the_file(vault: Vault) -> None:
    add(vault, "a-needle-in-the-name")
    for path in vault.home.rglob("*"):
        if path.is_file():
            assert b"a-needle-in-the-name" not in path.read_bytes()


@pytest.mark.parametrize(
    "attack",
    [
        "DELETE FROM rows WHERE object_id = '{one}'",
        "UPDATE rows SET body = (SELECT body FROM rows WHERE object_id = '{two}') "
        "WHERE object_id = '{one}'",
        "UPDATE rows SET object_id = 'ds-0000000000000000' WHERE object_id = '{one}'",
        "DELETE FROM root",
        "UPDATE root SET body = 'x'::BLOB",
        "INSERT INTO rows VALUES ('ds-0000000000000000', 'x'::BLOB)",
        "DROP TABLE rows",
    ],
)
def test_structural_attacks_are_noticed(vault: Vault, attack: str) -> None:
    one, two = add(vault, "one"), add(vault, "two")
    sql(vault, attack.format(one=one, two=two))
    with pytest.raises(VaultDamaged):
        vault.catalogue.entries()
    assert "catalogue.duckdb" in vault.verify().bad


def test_an_earlier_row_of_the_same_object_is_noticed(vault: Vault) -> None:
    object_id = add(vault, "one")
    sql(vault, "CREATE TABLE kept AS SELECT * FROM rows")
    vault.catalogue.put("dataset", object_id, "two", {})
    sql(vault, "UPDATE rows SET body = (SELECT body FROM kept)")
    with pytest.raises(VaultDamaged):
        vault.catalogue.entries()


def test_another_vaults_catalogue_is_noticed(vault: Vault, tmp_path: Path) -> None:
    other, _ = Vault.create(tmp_path / "other", "another passphrase", kdf="light")
    vault.catalogue.path.write_bytes(other.catalogue.path.read_bytes())
    with pytest.raises(VaultDamaged):
        vault.catalogue.entries()


def test_a_missing_or_foreign_file_is_damage(vault: Vault) -> None:
    vault.catalogue.path.write_bytes(b"not a database" * 1000)
    with pytest.raises(VaultDamaged):
        vault.catalogue.entries()
    vault.catalogue.path.unlink()
    with pytest.raises(VaultDamaged):
        vault.catalogue.entries()


def test_another_program_that_holds_the_file_makes_it_busy(vault: Vault) -> None:
    code = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print(flush=True); input()"
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(vault.catalogue.path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        short = Catalogue(vault.home, vault.catalogue._root_key, dict, wait=0.2)
        with pytest.raises(Busy):
            short.entries()
        holder.kill()
    assert vault.catalogue.entries() == []


def test_threads_and_sessions_take_turns(original: Original, vault: Vault) -> None:
    def work(number: int) -> None:
        session = reopened(vault.home, original)
        for turn in range(3):
            add(session, f"{number}-{turn}")
            session.catalogue.entries()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(vault.catalogue.entries()) == 9


def test_a_full_disk_is_said_as_such(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise duckdb.IOException("IO Error: could not write: No space left on device")

    object_id = new_id("ds")
    vault.new_key(object_id)
    monkeypatch.setattr(Catalogue, "_write", full)
    with pytest.raises(DoesNotFit):
        vault.catalogue.put("dataset", object_id, "notes", {})


def test_damage_is_not_taken_for_another_holder(
    vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    def damaged(*_: object, **__: object) -> None:
        raise duckdb.IOException("IO Error: Corrupt database file: block checksum mismatch")

    monkeypatch.setattr("workbench.vault.catalogue.open_database", damaged)
    with pytest.raises(VaultDamaged):
        vault.catalogue.entries()
