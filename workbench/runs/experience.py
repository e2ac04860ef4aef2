"""What this machine's own runs taught: its pace, and how far predicted memory may be off."""

from __future__ import annotations

import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

from workbench.planning.measured import with_measurement
from workbench.planning.probe import Hardware

if TYPE_CHECKING:
    from collections.abc import Mapping

    from workbench.vault.store import Vault

# The last few runs say what the libraries and the driver do today.
_KEPT_RUNS = 8
# Beyond this something else was compared; half of the memory is never given away for it.
_MOST_MARGIN = 0.5


def with_experience(hardware: Hardware, vault: Vault, model: str = "") -> Hardware:
    """Return `hardware` with what was measured of it, what the vault's own runs taught, and the
    disk that is free there.

    Args:
        model: Object id of the model that is to be trained.
    """
    known = with_measurement(hardware, vault.home, model)
    free = shutil.disk_usage(vault.home).free
    return replace(known, margin=memory_margin(vault, hardware.device), disk_free=free)


def memory_margin(vault: Vault, device: str) -> float:
    """Return the share by which the latest runs on such a device exceeded their prediction.

    The worst of them counts, for one run that does not fit costs more than some free memory. 0: no
    run did, or there was none.

    Args:
        device: `cpu`, or a GPU's queue such as `cuda-0`: runs on any GPU of the machine count.
    """
    kind = _kind(device)
    runs = sorted(vault.catalogue.entries("run"), key=lambda entry: entry.created)
    excess = [each for entry in runs if (each := _excess(entry.record, kind)) is not None]
    return min(_MOST_MARGIN, max(0.0, *excess[-_KEPT_RUNS:])) if excess else 0.0


def _kind(device: str) -> str:
    return device.partition("-")[0]


def _excess(record: Mapping[str, object], kind: str) -> float | None:
    peak, predicted = record.get("peak_bytes"), record.get("predicted_bytes")
    if _kind(str(record.get("device", ""))) != kind or not record.get("step"):
        return None
    if not isinstance(peak, int) or not isinstance(predicted, int) or predicted <= 0:
        return None
    return peak / predicted - 1
