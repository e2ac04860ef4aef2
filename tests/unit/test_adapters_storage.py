"""Sealed adapters: round trips, damage, foreign and newer manifests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from workbench.adapters import storage
from workbench.adapters.manifest import AdapterManifest, BaseRecord, DatasetRecord
from workbench.adapters.results import read_result, write_result
from workbench.adapters.storage import (
    is_published,
    open_adapter,
    read_manifest,
    seal_adapter,
    write_manifest,
)
from workbench.errors import NotFound, VaultDamaged
from workbench.vault.ranged import SealedBytes
from workbench.vault.sealed import DataKey

KEY = DataKey("vault", "ad-0000000000000001", bytes(range(32)))
MANIFEST = AdapterManifest(
    adapter=KEY.object_id,
    name="tuned",
    run="ru-0000000000000001",
    created="2026-01-31T12:00:00Z",
    method="qlora",
    rank=8,
    alpha=16.0,
    targets=("q_proj", "v_proj"),
    parameters=10,
    base=BaseRecord("mo-0000000000000001", "tiny", "a" * 64, "b" * 64),
    dataset=DatasetRecord("ds-0000000000000001", "notes", "c" * 64),
    metrics={"loss_last": 0.5},
)
CONFIG = {"r": 8, "target_modules": ["q_proj", "v_proj"]}


def parts(count: int) -> Iterator[bytes]:
    for number in range(count):
        yield bytes([number]) * 70_001


def test_weights_come_back_whatever_their_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "CHUNK_BYTES", 100_000)
    folder = tmp_path / "adapter"
    assert not is_published(folder)
    sealed = seal_adapter(folder, KEY, config=CONFIG, tensors=parts(5), manifest=MANIFEST)
    assert is_published(folder)
    stored = open_adapter(folder, KEY)
    assert b"".join(stored.parts()) == b"".join(parts(5))
    assert stored.config == CONFIG
    assert isinstance(stored.tensors, SealedBytes)
    assert sealed.bytes == stored.tensors.size == 350_005
    manifest = read_manifest(folder, KEY)
    assert (manifest.bytes, manifest.sha256) == (sealed.bytes, sealed.sha256)
    assert manifest == MANIFEST.with_weights(sealed.bytes, sealed.sha256)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in folder.iterdir())
    again = seal_adapter(folder, KEY, config=CONFIG, tensors=b"other", manifest=MANIFEST)
    assert b"".join(open_adapter(folder, KEY).parts()) == b"other"
    assert again.bytes == 5


def test_every_flipped_byte_is_noticed(tmp_path: Path) -> None:
    seal_adapter(tmp_path / "a", KEY, config=CONFIG, tensors=b"weights", manifest=MANIFEST)
    for name in ("adapter.sealed", "manifest.sealed"):
        path = tmp_path / "a" / name
        good = path.read_bytes()
        for place in range(0, len(good), 37):
            path.write_bytes(good[:place] + bytes([good[place] ^ 4]) + good[place + 1 :])
            with pytest.raises(VaultDamaged):
                open_adapter(tmp_path / "a", KEY)
        path.write_bytes(good)
    assert b"".join(open_adapter(tmp_path / "a", KEY).parts()) == b"weights"


def test_weights_of_another_publication_do_not_pass(tmp_path: Path) -> None:
    seal_adapter(tmp_path / "a", KEY, config=CONFIG, tensors=b"new", manifest=MANIFEST)
    write_manifest(tmp_path / "a", KEY, MANIFEST.with_weights(3, "d" * 64))
    with pytest.raises(VaultDamaged) as caught:
        open_adapter(tmp_path / "a", KEY)
    assert caught.value.code == "adapter_mismatch"


def test_an_unpublished_adapter_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        open_adapter(tmp_path, KEY)


@pytest.mark.parametrize("change", [{"version": 2}, {"rank": None, "extra": 1}, {"base": {}}])
def test_other_manifests_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(VaultDamaged):
        AdapterManifest.from_json(MANIFEST.to_json() | change)


def test_results_are_sealed(tmp_path: Path) -> None:
    write_result(tmp_path, KEY, {"answers": [{"text": "a canary in the transcript"}]})
    assert b"canary" not in (tmp_path / "result.sealed").read_bytes()
    assert read_result(tmp_path, KEY)["answers"][0]["text"] == "a canary in the transcript"
    with pytest.raises(VaultDamaged):
        read_result(tmp_path / "missing", KEY)
