"""The scrub finds what was changed, and says which file."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest

from tests.fixtures.vaults import Original, fill, make_original, reopened
from workbench.vault import formats
from workbench.vault.ids import new_id
from workbench.vault.sealed import seal_blob, write_sealed
from workbench.vault.store import Vault


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Original:
    original = make_original(tmp_path_factory.mktemp("vaults") / "home")
    fill(reopened(original.home, original))
    return original


@pytest.fixture
def vault(filled: Original, tmp_path: Path) -> Vault:
    return filled.copy(tmp_path / "checkpoints" / "home")  # the name must not mislead the scrub


@pytest.fixture
def ids(vault: Vault) -> dict[str, str]:
    return {entry.kind: entry.object_id for entry in vault.catalogue.entries()}


def test_a_good_vault_is_good_and_progress_is_told(vault: Vault) -> None:
    told: list[tuple[int, int, str]] = []
    report = vault.verify(lambda *step: told.append(step))
    assert report.ok
    assert report.bad == report.leftovers == []
    assert report.objects == 5 + 5
    assert report.bytes > 1000
    assert told[-1][:2] == (5, 5)
    assert [done for done, _, _ in told] == list(range(6))


@pytest.mark.parametrize(
    "pattern",
    [
        "vault.json",
        "keyring",
        "audit.log",
        "audit.head",
        "adapters/*/adapter.sealed",
        "adapters/*/manifest.sealed",
        "runs/*/spec.sealed",
        "runs/*/checkpoints/7.sealed",
    ],
)
def test_a_flipped_byte_is_found_in_its_file(filled: Original, vault: Vault, pattern: str) -> None:
    (path,) = vault.home.glob(pattern)
    good = path.read_bytes()
    for place in (0, len(good) // 3, len(good) // 2, len(good) - 1):
        changed = bytearray(good)
        changed[place] ^= 0x10
        path.write_bytes(changed)
        assert str(path.relative_to(vault.home)) in vault.verify().bad
    path.write_bytes(good)
    assert vault.verify().ok


def test_missing_objects_are_found(vault: Vault, ids: dict[str, str]) -> None:
    (vault.datasets_folder / f"{ids['dataset']}.duckdb").unlink()
    shutil.rmtree(vault.adapters_folder / ids["adapter"])
    shutil.rmtree(vault.runs_folder / ids["run"])
    assert vault.verify().bad == [
        f"adapters/{ids['adapter']}/adapter.sealed",
        f"adapters/{ids['adapter']}/manifest.sealed",
        f"datasets/{ids['dataset']}.duckdb",
        f"runs/{ids['run']}/spec.sealed",
    ]


def test_an_adapter_without_its_manifest_is_missed(vault: Vault, ids: dict[str, str]) -> None:
    (vault.adapters_folder / ids["adapter"] / "manifest.sealed").unlink()
    assert vault.verify().bad == [f"adapters/{ids['adapter']}/manifest.sealed"]


def test_what_is_removed_meanwhile_is_no_damage(vault: Vault, ids: dict[str, str]) -> None:
    def removing(done: int, total: int, path: str) -> None:
        if done == 0:
            vault.shred(ids["adapter"])
            shutil.rmtree(vault.adapters_folder / ids["adapter"])

    assert vault.verify(removing).bad == []


def test_a_flip_in_a_datasets_chunk_is_found(vault: Vault, ids: dict[str, str]) -> None:
    path = vault.datasets_folder / f"{ids['dataset']}.duckdb"
    data = bytearray(path.read_bytes())
    # The blobs are random bytes: find a long run of them and flip one in its middle.
    place = next(at for at in range(12288, len(data), 16) if all(data[at : at + 64])) + 32
    data[place] ^= 1
    path.write_bytes(data)
    assert vault.verify().bad == [f"datasets/{ids['dataset']}.duckdb"]
    path.write_bytes(data[: len(data) // 2])
    assert vault.verify().bad == [f"datasets/{ids['dataset']}.duckdb"]


def test_a_published_digest_covers_every_byte_of_a_dataset(
    vault: Vault, ids: dict[str, str]
) -> None:
    path = vault.datasets_folder / f"{ids['dataset']}.duckdb"
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    vault.catalogue.put("dataset", ids["dataset"], "digest", {"file_sha256": digest})
    assert vault.verify().ok
    data = bytearray(path.read_bytes())
    data[-1] ^= 1  # slack that DuckDB never reads
    path.write_bytes(data)
    assert vault.verify().bad == [f"datasets/{ids['dataset']}.duckdb"]


def test_files_of_other_roles_do_not_pass(vault: Vault, ids: dict[str, str]) -> None:
    run = vault.runs_folder / ids["run"]
    shutil.copy(run / "checkpoints" / "7.sealed", run / "result.sealed")
    adapter = vault.adapters_folder / ids["adapter"]
    shutil.copy(adapter / "adapter.sealed", adapter / "manifest.sealed")
    assert vault.verify().bad == [
        f"adapters/{ids['adapter']}/manifest.sealed",
        f"runs/{ids['run']}/result.sealed",
    ]


def test_blobs_and_files_without_a_known_name_are_opened_too(
    vault: Vault, ids: dict[str, str]
) -> None:
    key = vault.key(ids["run"])
    path = vault.runs_folder / ids["run"] / "result.sealed"
    path.write_bytes(seal_blob(key, formats.RESULT, b"{}"))
    write_sealed(path.with_name("other.sealed"), key, formats.RESULT, [b"x"], {})
    report = vault.verify()
    assert report.ok
    assert report.objects == 12
    path.write_bytes(path.read_bytes()[:-1])
    assert vault.verify().bad == [f"runs/{ids['run']}/result.sealed"]


def test_remains_of_a_shredded_object_are_no_damage(vault: Vault, ids: dict[str, str]) -> None:
    vault.shred(ids["adapter"])
    report = vault.verify()
    assert report.ok
    assert len(report.leftovers) == 2


def test_an_object_that_is_not_catalogued_yet_is_checked(vault: Vault) -> None:
    key = vault.new_key(new_id("ad"))
    folder = vault.adapters_folder / key.object_id
    folder.mkdir()
    write_sealed(folder / "adapter.sealed", key, formats.ADAPTER, [b"x"], {})
    assert vault.verify().ok
    (folder / "adapter.sealed").write_bytes(b"")
    assert vault.verify().bad == [f"adapters/{key.object_id}/adapter.sealed"]


def test_without_a_keyring_nothing_is_said_of_the_objects(vault: Vault) -> None:
    (vault.home / "keyring").unlink()
    report = vault.verify()
    assert "keyring" in report.bad
    assert report.leftovers == []
