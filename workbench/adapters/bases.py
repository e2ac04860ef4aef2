"""Which model on the shelf an adapter belongs to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workbench.errors import NotFound, Refused
from workbench.vault.catalogue import Entry

if TYPE_CHECKING:
    from workbench.vault.store import Vault


def base_of(vault: Vault, adapter: Entry) -> Entry:
    """Return the model that an adapter was trained on, under whatever name it now has.

    The engine compares the weights themselves; this spares the wait where it cannot succeed.

    Raises:
        NotFound: no model on the shelf has its files (code `base_missing`).
        Refused: the model of that id has other files (code `base_mismatch`).
    """
    wanted = adapter.record["base"]
    models = vault.catalogue.entries("model")
    pinned = [entry for entry in models if entry.record["sha256"] == wanted["sha256"]]
    # The same files may stand on the shelf twice: the very object is preferred.
    for entry in sorted(pinned, key=lambda entry: entry.object_id != wanted["object_id"]):
        return entry
    if any(entry.object_id == wanted["object_id"] for entry in models):
        raise Refused(
            f"The model {wanted['name']} has other files than when this adapter was trained.",
            hint="Add the original model again with `workbench model add`.",
            code="base_mismatch",
        )
    raise NotFound(
        f"The base {wanted['name']} of this adapter is not on the shelf any more.",
        hint="Add the same model again with `workbench model add`; the name does not matter.",
        code="base_missing",
    )
