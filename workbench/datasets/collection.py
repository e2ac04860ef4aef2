"""The datasets of a vault: list, show, look into, verify, remove."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from workbench.datasets.importing import Progress, file_digest
from workbench.datasets.records import Record, records_from_batch
from workbench.datasets.rejects import Reject
from workbench.datasets.sampling import sample_split
from workbench.datasets.store import SealedDataset
from workbench.errors import VaultDamaged
from workbench.vault.locking import hold

if TYPE_CHECKING:
    from workbench.vault.store import Vault

_OPENED_BATCHES = 8  # for a sample
# Rows that become Python objects at a time.
_PIECE = 64


@contextlib.contextmanager
def opened_dataset(vault: Vault, name: str) -> Iterator[SealedDataset]:
    """Open a dataset, by name or id, for the block.

    Raises:
        NotFound: There is none.
        VaultDamaged: It does not verify, or is not the version that the catalogue lists.
    """
    entry = vault.catalogue.get("dataset", name)
    path = vault.datasets_folder / f"{entry.object_id}.duckdb"
    with SealedDataset.open(path, vault.key(entry.object_id)) as dataset:
        if dataset.root != entry.record["root"]:
            raise VaultDamaged(f"Dataset {entry.object_id} is not the version that was imported.")
        yield dataset


def list_datasets(vault: Vault) -> list[dict[str, Any]]:
    """Return name, id, kind, rows, splits and time of each dataset, oldest first."""
    return [
        {
            "dataset": entry.name,
            "object_id": entry.object_id,
            "kind": entry.record["kind"],
            "rows": entry.record["rows"],
            "splits": entry.record["splits"],
            "created": entry.created,
        }
        for entry in vault.catalogue.entries("dataset")
    ]


def show_dataset(vault: Vault, name: str) -> dict[str, Any]:
    """Return what is known of a dataset but its records.

    `tokens` is empty until a run has measured the dataset with its model's tokenizer. `columns`
    maps the kind's fields to the headings of the first source.
    """
    entry = vault.catalogue.get("dataset", name)
    with opened_dataset(vault, entry.object_id) as dataset:
        meta = dataset.meta
        path = vault.datasets_folder / f"{entry.object_id}.duckdb"
        return {
            "dataset": entry.name,
            "object_id": entry.object_id,
            "kind": dataset.kind,
            "rows": sum(dataset.splits.values()),
            "splits": dataset.splits,
            "columns": dataset.columns,
            "tokens": entry.record.get("tokens", {}),
            "created": entry.created,
            "sources": meta["sources"],
            "root": dataset.root,
            "rejected": sum(meta["rejected"].values()),
            "rejected_by_code": meta["rejected"],
            "duplicates": meta["duplicates"],
            "sensitive": meta["sensitive"],
            "dedupe": meta["dedupe"],
            "redact": meta["redact"],
            "seed": meta["seed"],
            "bytes": path.stat().st_size,
        }


def preview(vault: Vault, name: str, count: int, split: str = "train") -> list[Record]:
    """Return the first `count` records of a split."""
    return page(vault, name, 0, count, split)


def page(
    vault: Vault, name: str, offset: int, count: int, split: str = "train", *, most: int = 0
) -> list[Record]:
    """Return records `offset` .. `offset + count` of a split; only their batches are opened.

    Args:
        most: Characters of each text to return; 0: whole texts. Records may be megabytes long,
            and a list of many shows only how they begin.

    Raises:
        NotFound: No such dataset or split.
    """
    with opened_dataset(vault, name) as dataset:
        return [
            record.begun(most) if most else record
            for batch in dataset.slices(split, offset, count)
            for piece in (batch.slice(row, _PIECE) for row in range(0, batch.num_rows, _PIECE))
            for record in records_from_batch(piece, dataset.kind)
        ]


def sample(vault: Vault, name: str, rows: int, split: str = "train") -> list[Record]:
    """Return about `rows` records from all over a split, the same ones each time.

    Raises:
        NotFound: No such dataset or split.
    """
    with opened_dataset(vault, name) as dataset:
        return sample_split(dataset, split, rows=rows, batches=_OPENED_BATCHES).spread


def rejects(vault: Vault, name: str) -> list[Reject]:
    """Return the sealed list of the records that were not taken; very long lists end early."""
    with opened_dataset(vault, name) as dataset:
        names = [source["name"] for source in dataset.meta["sources"]]
        return [
            Reject(names[row["file"]], row["line"], row["code"])
            for batch in dataset.rejects()
            for row in batch.to_pylist()
        ]


def verify_dataset(vault: Vault, name: str, progress: Progress | None = None) -> dict[str, Any]:
    """Check the file of a dataset, and open every chunk of it.

    Returns:
        `dataset`, `bytes` that were checked and `root`.

    Raises:
        VaultDamaged: A chunk was changed, or is missing, doubled or foreign.
    """
    entry = vault.catalogue.get("dataset", name)
    with opened_dataset(vault, entry.object_id) as dataset:
        # The file's own hash covers what DuckDB keeps beside the chunks.
        if file_digest(vault.datasets_folder / f"{entry.object_id}.duckdb") != entry.record.get(
            "file_sha256"
        ):
            raise VaultDamaged(f"The file of dataset {entry.object_id} was changed.")
        checked = dataset.verify(progress)
        return {"dataset": entry.name, "bytes": checked, "root": dataset.root}


def remove_dataset(vault: Vault, name: str) -> str:
    """Destroy a dataset's key, then its file and its entry; return its id.

    Raises:
        NotFound: There is none.
        Busy: An import is at work.
    """
    with hold(vault.locks_folder / "import.lock", wait=1.0):
        entry = vault.catalogue.get("dataset", name)
        vault.shred(entry.object_id)
        (vault.datasets_folder / f"{entry.object_id}.duckdb").unlink(missing_ok=True)
        vault.catalogue.remove(entry.object_id)
    vault.audit.append("dataset_removed", {"dataset": entry.object_id, "name": entry.name})
    return entry.object_id
