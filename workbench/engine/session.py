"""What one job works with: its folder, its specification, its keys, and whom it reports to."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.airgap.lockdown import Protection
from workbench.engine.steering import Steering
from workbench.errors import VaultDamaged
from workbench.runs.job import JobFolder
from workbench.runs.protocol import EventWriter, RunSpec
from workbench.vault import formats
from workbench.vault.sealed import DataKey, is_sealed_file, open_blob, read_sealed


@dataclass(frozen=True, repr=False)
class Session:
    """One job of a locked-down engine process.

    Attributes:
        job: Names of the files in the run's folder.
        spec: Ids, numbers and codes.
        sealed: Names, paths and the recipe.
        keys: The keys that the launcher sent, by object id.
        events: Where the job reports.
        steering: What it is asked to do meanwhile.
        protection: What the lock-down achieved.
        resumed: Whether an earlier process worked on this run.
    """

    job: JobFolder
    spec: RunSpec
    sealed: dict[str, Any]
    keys: Mapping[str, DataKey]
    events: EventWriter
    steering: Steering
    protection: Protection
    resumed: bool = False

    @property
    def folder(self) -> Path:
        """The run's folder."""
        return self.job.path

    @property
    def home(self) -> Path:
        """The home that the run belongs to."""
        return self.job.home

    @property
    def device(self) -> str:
        """The device as torch names it: `cpu`, `cuda:0`."""
        return self.spec.device.replace("-", ":", 1)

    def key(self, object_id: str) -> DataKey:
        """Return an object's key.

        Raises:
            VaultDamaged: The launcher did not send it.
        """
        return _find_key(self.keys, object_id)


def read_keys(descriptor: int) -> dict[str, DataKey]:
    """Read the inherited pipe to its end, close it, and return the keys by object id.

    Raises:
        VaultDamaged: What arrived is no list of keys.
    """
    with os.fdopen(descriptor, "rb") as pipe:
        text = pipe.read()
    try:
        wires = json.loads(text)["keys"]
        return {name: DataKey.from_wire(wire) for name, wire in wires.items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        # `from None`: the cause's message may hold the keys themselves.
        raise VaultDamaged(
            "The keys of the job did not arrive.", hint="Start the job again.", code="no_keys"
        ) from None


def read_sealed_spec(job: JobFolder, keys: Mapping[str, DataKey]) -> dict[str, Any]:
    """Open the run's sealed specification.

    Raises:
        VaultDamaged: It does not verify, or its key is missing.
    """
    key, path = _find_key(keys, job.run), job.sealed_spec_file
    if is_sealed_file(path):
        body = read_sealed(path, key, formats.SPEC).read()
    else:
        body = open_blob(key, formats.SPEC, path.read_bytes())
    document: dict[str, Any] = json.loads(body)
    return document


def _find_key(keys: Mapping[str, DataKey], object_id: str) -> DataKey:
    try:
        return keys[object_id]
    except KeyError:
        raise VaultDamaged(
            f"The key of {object_id} was not handed to the job.",
            hint="Start the job again.",
            code="no_keys",
        ) from None
