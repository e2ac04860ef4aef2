"""Hundreds of random bit flips in every file that a vault seals: each is found or is harmless."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.fixtures.vaults import Original, fill, make_original, reopened
from workbench.errors import VaultError
from workbench.vault.store import Vault

pytestmark = pytest.mark.fuzz

COUNT = 200


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Original:
    original = make_original(tmp_path_factory.mktemp("vaults") / "home")
    fill(reopened(original.home, original))
    return original


@pytest.mark.parametrize(
    "pattern",
    [
        "vault.json",
        "keyring",
        "audit.log",
        "audit.head",
        "adapters/*/adapter.sealed",
    ],
)
def test_every_flip_in_a_sealed_file_is_found(
    filled: Original, tmp_path: Path, pattern: str
) -> None:
    vault = filled.copy(tmp_path / "home")
    (path,) = vault.home.glob(pattern)
    name = str(path.relative_to(vault.home))
    good = path.read_bytes()
    chance = random.Random(pattern)
    for _ in range(COUNT):
        path.write_bytes(flipped(good, chance))
        assert name in vault.verify().bad
    path.write_bytes(good)
    assert vault.verify().ok


def flipped(good: bytes, chance: random.Random) -> bytes:
    changed = bytearray(good)
    changed[chance.randrange(len(good))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def test_a_damaged_header_or_keyring_never_opens(filled: Original, tmp_path: Path) -> None:
    """And no flip makes the derivation run: damage is seen before."""
    vault = filled.copy(tmp_path / "home")
    chance = random.Random(1)
    path = vault.home / "vault.json"
    good = path.read_bytes()
    for _ in range(COUNT):
        path.write_bytes(flipped(good, chance))
        with pytest.raises(VaultError):
            Vault.unlock(vault.home, "any passphrase at all")
    path.write_bytes(good)
    for cut in range(0, len(good), 9):
        path.write_bytes(good[:cut])
        with pytest.raises(VaultError):
            Vault.unlock(vault.home, "any passphrase at all")


@pytest.mark.parametrize("pattern", ["catalogue.duckdb", "datasets/*.duckdb"])
def test_a_flip_in_a_database_is_found_or_harmless(
    filled: Original, tmp_path: Path, pattern: str
) -> None:
    vault = filled.copy(tmp_path / "home")
    (path,) = vault.home.glob(pattern)
    name = str(path.relative_to(vault.home))
    good = path.read_bytes()
    entries = vault.catalogue.entries()
    chance = random.Random(pattern)
    found = 0
    for _ in range(COUNT // 2):  # each opens a database anew
        path.write_bytes(flipped(good, chance))
        bad = vault.verify().bad
        if name in bad:
            found += 1
        else:
            assert bad == []
            assert vault.catalogue.entries() == entries
    path.write_bytes(good)
    assert vault.verify().ok
    assert found > 0
