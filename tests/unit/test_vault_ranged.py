"""Parts of a sealed file: the right bytes, verified, with one chunk in memory."""

from __future__ import annotations

from pathlib import Path

import pytest

from workbench.errors import VaultDamaged
from workbench.vault import formats
from workbench.vault.ranged import SealedBytes
from workbench.vault.sealed import DataKey, read_sealed, write_sealed

KEY = DataKey("v", "o", bytes(32))
CHUNKS = [b"abc", b"", b"defgh", b"i"]
PLAIN = b"".join(CHUNKS)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write_sealed(tmp_path / "f", KEY, formats.ADAPTER, CHUNKS, {})
    return tmp_path / "f"


def _open(path: Path) -> SealedBytes:
    return SealedBytes(read_sealed(path, KEY, formats.ADAPTER))


def test_every_part_is_that_of_the_plaintext(path: Path) -> None:
    data = _open(path)
    assert data.size == len(PLAIN)
    assert b"".join(data.parts()) == PLAIN
    for start in range(len(PLAIN) + 1):
        for stop in range(start, len(PLAIN) + 1):
            assert data.read(start, stop) == PLAIN[start:stop]
    for start, stop in ((-1, 2), (3, 2), (0, len(PLAIN) + 1)):
        with pytest.raises(ValueError, match="bytes"):
            data.read(start, stop)


def test_an_empty_file_has_no_parts(tmp_path: Path) -> None:
    write_sealed(tmp_path / "f", KEY, formats.ADAPTER, [], {})
    data = _open(tmp_path / "f")
    assert data.size == 0
    assert not data.read(0, 0)
    assert not list(data.parts())


def test_a_chunk_that_changed_or_went_meanwhile_is_noticed(path: Path) -> None:
    data = _open(path)
    body = bytearray(path.read_bytes())
    body[10] ^= 1  # within the first chunk
    path.write_bytes(body)
    assert data.read(3, 6) == PLAIN[3:6]
    with pytest.raises(VaultDamaged):
        data.read(0, 1)
    with pytest.raises(VaultDamaged):
        data.verify()
    path.unlink()
    with pytest.raises(VaultDamaged, match="removed"):
        data.read(0, 1)
