"""What runs are called: the names behind the ids in their plain files, for an unlocked vault."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from workbench.errors import NotFound, VaultDamaged
from workbench.runs.job import JobFolder
from workbench.runs.state import RunState
from workbench.vault.formats import SPEC
from workbench.vault.sealed import open_blob

if TYPE_CHECKING:
    from workbench.vault.store import Vault


@dataclass(frozen=True)
class RunNames:
    """Names of a run's objects; empty where the object is gone or was never there."""

    adapter: str = ""
    dataset: str = ""
    model: str = ""


def name_runs(
    vault: Vault, states: Iterable[RunState], known: Mapping[str, RunNames] | None = None
) -> dict[str, RunNames]:
    """Return the names for each run: from the catalogue, else from the run's own sealed account.

    Args:
        vault: The vault.
        states: The runs.
        known: What was returned earlier: sealed accounts, which never change, are not opened again.

    Raises:
        What the catalogue raises.
    """
    entries = {entry.object_id: entry.name for entry in vault.catalogue.entries()}
    found = {}
    for state in states:
        names = RunNames(
            *(entries.get(state.objects.get(part, ""), "") for part in _PARTS),
        )
        if not all((names.adapter, names.dataset, names.model)):
            sealed = (known or {}).get(state.run) or _sealed_names(vault, state)
            names = RunNames(
                names.adapter or sealed.adapter,
                names.dataset or sealed.dataset,
                names.model or sealed.model,
            )
        found[state.run] = names
    return found


_PARTS = ("adapter", "dataset", "model")


def _sealed_names(vault: Vault, state: RunState) -> RunNames:
    """Return the names that the run was started with; none where its key or account is gone."""
    folder = JobFolder(vault.runs_folder / state.run)
    told: list[str] = []
    with contextlib.suppress(NotFound, VaultDamaged, OSError, ValueError, TypeError):
        account = json.loads(
            open_blob(vault.key(state.run), SPEC, folder.sealed_spec_file.read_bytes())
        )
        told = [str((account.get(part) or {}).get("name", "")) for part in _PARTS]
    return RunNames(*told)
