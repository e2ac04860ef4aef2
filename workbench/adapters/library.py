"""The library of adapters: what was trained, on what, and whether it is sound."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from workbench.adapters.annotating import tags_of
from workbench.adapters.storage import open_adapter, read_manifest
from workbench.durable import fsync_folder
from workbench.errors import NotFound, VaultDamaged
from workbench.vault.catalogue import Entry

if TYPE_CHECKING:
    from workbench.vault.store import Vault


def list_adapters(vault: Vault) -> list[dict[str, Any]]:
    """Return every adapter as `show_adapter` does, oldest first."""
    return [_shown(entry) for entry in vault.catalogue.entries("adapter")]


def show_adapter(vault: Vault, name: str) -> dict[str, Any]:
    """Return what is known of an adapter.

    Args:
        name: Its name or object id.

    Raises:
        NotFound: there is none.
    """
    return _shown(vault.catalogue.get("adapter", name))


def adapter_of_run(vault: Vault, run: str) -> dict[str, Any] | None:
    """Return what a run made, as `show_adapter` does; None while it is not in the library.

    The name that was asked for may have been taken meanwhile, so a run is what names it surely.
    """
    for entry in vault.catalogue.entries("adapter"):
        if entry.record.get("run") == run:
            return _shown(entry)
    return None


def verify_adapter(vault: Vault, name: str) -> list[str]:
    """Open every sealed byte of an adapter; return what is wrong, one line each.

    Raises:
        NotFound: there is no such adapter.
    """
    entry = vault.catalogue.get("adapter", name)
    folder = vault.adapters_folder / entry.object_id
    try:
        key = vault.key(entry.object_id)
        manifest = read_manifest(folder, key)
        open_adapter(folder, key)
    except (VaultDamaged, NotFound) as error:
        return [error.message]
    same = manifest.sha256 == entry.record["sha256"] and manifest.adapter == entry.object_id
    return [] if same else ["The sealed manifest is not the one in the catalogue."]


def remove_adapter(vault: Vault, name: str) -> None:
    """Shred an adapter's key and delete its files; its run stays in the list of runs.

    Raises:
        NotFound: there is no such adapter.
    """
    entry = vault.catalogue.get("adapter", name)
    folder = vault.adapters_folder / entry.object_id
    # The key first: what a crash leaves behind is then unreadable.
    vault.shred(entry.object_id)
    vault.catalogue.remove(entry.object_id)
    if folder.is_dir():
        shutil.rmtree(folder)
        fsync_folder(folder.parent)
    vault.audit.append("adapter_removed", {"adapter": entry.object_id})


def add_metrics(vault: Vault, entry: Entry, metrics: Mapping[str, Any]) -> Entry:
    """Note figures of an evaluation beside those of the run."""
    record = dict(entry.record)
    record["metrics"] = {**record["metrics"], **metrics}
    return vault.catalogue.put("adapter", entry.object_id, entry.name, record)


def _shown(entry: Entry) -> dict[str, Any]:
    record = entry.record
    copied = (
        "method", "rank", "alpha", "targets", "parameters", "bytes", "sha256", "metrics",
        "lineage", "run", "steps", "recipe", "seeds", "versions", "protection",
    )  # fmt: skip
    return {
        "adapter": entry.name,
        "object_id": entry.object_id,
        "created": entry.created,
        "base": record["base"],
        "dataset": record["dataset"],
        **{name: record[name] for name in copied},
        "asked_name": record.get("asked_name"),
        "tags": tags_of(record),
        "notes": str(record.get("notes", "")),
    }
