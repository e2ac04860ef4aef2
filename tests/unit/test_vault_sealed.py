"""Sealed chunks, files and blobs: what was sealed comes back, and nothing else does."""

from __future__ import annotations

import os
import random
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.errors import VaultDamaged
from workbench.vault.ids import check_id, is_id, kind_of, new_id
from workbench.vault.sealed import (
    OVERHEAD,
    ChunkOpener,
    ChunkSealer,
    DataKey,
    open_blob,
    read_sealed,
    seal_blob,
    write_sealed,
)

FORM = "test/1"
VAULT = "v" * 32


def make_key(object_id: str = "ds-0123456789abcdef", vault_id: str = VAULT) -> DataKey:
    return DataKey(vault_id, object_id, os.urandom(32))


KEY = make_key()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.binary(max_size=300), max_size=6), st.dictionaries(st.text(), st.integers()))
def test_chunks_and_meta_come_back_in_any_order(chunks: list[bytes], meta: dict[str, int]) -> None:
    sealer = ChunkSealer(KEY, FORM)
    bodies = [sealer.seal(chunk) for chunk in chunks]
    opener = ChunkOpener(KEY, FORM, sealer.finish(meta))
    assert opener.meta == meta
    assert opener.count == len(chunks)
    opener.check_complete(range(len(chunks)))
    order = list(range(len(chunks)))
    random.Random(0).shuffle(order)
    for number in order:
        assert opener.open(number, bodies[number]) == chunks[number]
        assert len(bodies[number]) == len(chunks[number]) + OVERHEAD


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=2000))
def test_a_blob_comes_back(plaintext: bytes) -> None:
    sealed = seal_blob(KEY, FORM, plaintext)
    assert open_blob(KEY, FORM, sealed) == plaintext
    assert seal_blob(KEY, FORM, plaintext) != sealed  # a fresh nonce each time


@pytest.mark.parametrize(
    ("key", "form"),
    [
        (KEY, "test/2"),
        (DataKey(VAULT, "ds-other", KEY.secret), FORM),
        (DataKey("w" * 32, KEY.object_id, KEY.secret), FORM),
        (make_key(), FORM),
    ],
    ids=["another format", "another object", "another vault", "another key"],
)
def test_a_seal_opens_only_where_it_belongs(key: DataKey, form: str) -> None:
    sealer = ChunkSealer(KEY, FORM)
    sealer.seal(b"chunk")
    manifest = sealer.finish({})
    with pytest.raises(VaultDamaged):
        open_blob(key, form, seal_blob(KEY, FORM, b"blob"))
    with pytest.raises(VaultDamaged):
        ChunkOpener(key, form, manifest)


def test_the_fields_of_the_associated_data_do_not_run_together() -> None:
    sealed = seal_blob(DataKey("ab", "c", KEY.secret), "d", b"x")
    with pytest.raises(VaultDamaged):
        open_blob(DataKey("a", "bc", KEY.secret), "d", sealed)


def sealed_version(*chunks: bytes) -> tuple[list[bytes], ChunkOpener]:
    sealer = ChunkSealer(KEY, FORM)
    bodies = [sealer.seal(chunk) for chunk in chunks]
    return bodies, ChunkOpener(KEY, FORM, sealer.finish({}))


def test_swapped_foreign_and_doubled_chunks_are_refused() -> None:
    bodies, opener = sealed_version(b"zero", b"one")
    older, _ = sealed_version(b"zero", b"one")
    for number, body in [(0, bodies[1]), (1, bodies[0]), (0, older[0]), (2, bodies[0]), (-1, b"")]:
        with pytest.raises(VaultDamaged):
            opener.open(number, body)
    for numbers in ([0], [0, 1, 1], [0, 1, 2], [1, 2], []):
        with pytest.raises(VaultDamaged):
            opener.check_complete(numbers)


def test_a_manifest_is_not_a_chunk_or_a_blob() -> None:
    sealer = ChunkSealer(KEY, FORM)
    body = sealer.seal(b"{}")
    manifest = sealer.finish({})
    with pytest.raises(VaultDamaged):
        ChunkOpener(KEY, FORM, body)
    with pytest.raises(VaultDamaged):
        open_blob(KEY, FORM, manifest)
    with pytest.raises(RuntimeError):
        sealer.seal(b"after the end")


def test_the_manifest_of_another_version_does_not_fit_these_chunks() -> None:
    bodies, opener = sealed_version(b"zero")
    _, other = sealed_version(b"zero")
    assert opener.root != other.root
    with pytest.raises(VaultDamaged):
        other.open(0, bodies[0])


@pytest.fixture
def sealed(tmp_path: Path) -> Path:
    path = tmp_path / "object.sealed"
    write_sealed(path, KEY, FORM, [b"first", b"", b"third" * 10], {"step": 7})
    return path


def test_a_file_streams_back(sealed: Path) -> None:
    file = read_sealed(sealed, KEY, FORM)
    assert file.meta == {"step": 7}
    assert list(file.chunks()) == [b"first", b"", b"third" * 10]
    assert file.read() == b"first" + b"third" * 10
    assert sealed.stat().st_mode & 0o777 == 0o600
    assert b"first" not in sealed.read_bytes()


def test_every_flipped_byte_of_a_file_is_noticed(sealed: Path) -> None:
    good = sealed.read_bytes()
    for place in range(len(good)):
        changed = bytearray(good)
        changed[place] ^= 1 << (place % 8)
        sealed.write_bytes(changed)
        with pytest.raises(VaultDamaged):
            read_sealed(sealed, KEY, FORM).read()


def test_every_truncation_and_extension_is_noticed(sealed: Path) -> None:
    good = sealed.read_bytes()
    for data in [good[:size] for size in range(len(good))] + [good + b"x", b"x" + good]:
        sealed.write_bytes(data)
        with pytest.raises(VaultDamaged):
            read_sealed(sealed, KEY, FORM).read()


def test_an_absurd_manifest_length_reads_nothing(sealed: Path) -> None:
    good = sealed.read_bytes()
    sealed.write_bytes(good[:-12] + struct.pack(">I", 0xFFFFFFFF) + good[-8:])
    with pytest.raises(VaultDamaged):
        read_sealed(sealed, KEY, FORM)


def test_a_missing_file_is_damage_and_names_no_folder(tmp_path: Path) -> None:
    with pytest.raises(VaultDamaged, match=r"^gone\.sealed of ds-0123456789abcdef is missing\.$"):
        read_sealed(tmp_path / "gone.sealed", KEY, FORM)


def test_a_failing_source_leaves_the_old_file_and_no_stage(sealed: Path) -> None:
    def broken() -> object:
        yield b"one"
        raise OSError("disk")

    good = sealed.read_bytes()
    with pytest.raises(OSError, match="disk"):
        write_sealed(sealed, KEY, FORM, broken(), {})  # type: ignore[arg-type]
    assert sealed.read_bytes() == good
    assert [path.name for path in sealed.parent.iterdir()] == [sealed.name]


def test_a_key_shows_no_secret_and_travels_as_json() -> None:
    assert KEY.secret.hex() not in repr(KEY)
    assert repr(KEY.secret) not in repr(KEY)
    assert DataKey.from_wire(KEY.to_wire()) == KEY
    for wire in ({}, {**KEY.to_wire(), "secret": "zz"}, {**KEY.to_wire(), "secret": "00"}):
        with pytest.raises(VaultDamaged) as caught:
            DataKey.from_wire(wire)
        assert caught.value.__cause__ is None


def test_ids() -> None:
    assert kind_of(new_id("ad")) == "adapter"
    for bad in ("ds-../../etc/passwd", "ds-0123456789ABCDEF", "xx-0123456789abcdef", "ds-0\n", ""):
        assert not is_id(bad)
        with pytest.raises(Exception, match="not the id"):
            check_id(bad)
    with pytest.raises(ValueError, match="prefix"):
        new_id("xx")


def test_the_engine_gets_no_database_with_its_seals() -> None:
    code = "import sys, workbench.vault.sealed, workbench.vault.formats, workbench.vault.ids;"
    code += "sys.exit(bool({'duckdb', 'workbench.vault.store'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
