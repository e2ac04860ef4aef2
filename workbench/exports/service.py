"""`workbench export`: preflight, write, prove, describe, sign, publish.

The engine writes into a stage beside the target, a 0700 folder that is swept on any failure; the
target appears all at once, or not at all.
"""

from __future__ import annotations

import contextlib
import glob
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench import durable
from workbench.adapters.bases import base_of
from workbench.adapters.short_jobs import JobOutcome, ShortJob, awaited_job
from workbench.errors import BadInput, NotFound, Refused
from workbench.exports.contract import PROBED_RECORDS, ExportRequest
from workbench.exports.preflight import Room, check_room, check_target, parent_made
from workbench.exports.provenance import Description, describe
from workbench.exports.signing import sign_folder
from workbench.models.shelf import model_facts
from workbench.planning.after_training import BUILT_IN_POSITIONS, Trained, export_need, require
from workbench.planning.budget import budget_of
from workbench.planning.probe import probe_hardware
from workbench.runs.training import dataset_part, model_part, weights_paths
from workbench.vault.catalogue import Entry

if TYPE_CHECKING:
    from workbench.vault.store import Vault

Progress = Callable[[int, int, str], None]

_BFLOAT16_BYTES = 2
_ABANDONED_SECONDS = 900.0
# Held out from training, in the order of preference.
_SPLITS = ("validation", "test")


@dataclass(frozen=True)
class _Plan:
    request: ExportRequest
    entry: Entry
    model: Entry
    room: Room


def check_export(
    vault: Vault, adapter: str, *, target: str, out: Path, base: str = "exact"
) -> Room:
    """Check what can be checked before an export; nothing is written.

    Raises:
        WorkbenchError: As `export_adapter`, but for what only the job finds out.
    """
    return _plan(vault, adapter, target=target, out=out, base=base).room


def _plan(vault: Vault, adapter: str, *, target: str, out: Path, base: str) -> _Plan:
    request = ExportRequest.parse(target, base)
    entry = vault.catalogue.get("adapter", adapter)
    if request.target == "peft" and entry.record["method"] == "full":
        raise Refused(
            "All weights were trained, so there is no adapter to hand out on its own.",
            hint="Export with `--to safetensors`.",
            code="no_adapter",
        )
    model = base_of(vault, entry)
    place = check_target(out, vault.home)
    merged = request.target == "safetensors"
    parameters = int(model.record["facts"]["parameters"])
    _check_memory(vault, entry, model, merged=merged)
    room = check_room(place, parameters * _BFLOAT16_BYTES if merged else int(entry.record["bytes"]))
    return _Plan(request, entry, model, room)


def _check_memory(vault: Vault, entry: Entry, model: Entry, *, merged: bool) -> None:
    """Refuse what would run out of memory; see `workbench.planning.after_training`."""
    hardware = probe_hardware()
    trained = Trained(entry.record["method"], int(entry.record["parameters"]))
    data, positions = _held_out(vault, entry), BUILT_IN_POSITIONS
    if data is not None:
        tokens = data[0].record.get("tokens", {}).get(model.name, 0)
        records = max(1, data[0].record["splits"].get("train", 0))
        # Half of a record is its answer, as long as nobody counted.
        positions = max(positions, min(PROBED_RECORDS, records) * tokens // records // 2)
    need = export_need(
        model_facts(model), trained, budget_of(hardware), merged=merged, positions=positions
    )
    require(need, hardware, "The export")


def export_adapter(
    vault: Vault,
    adapter: str,
    *,
    target: str,
    out: Path,
    base: str = "exact",
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Export an adapter and return `{files, fidelity, peak_bytes, seconds}`.

    Args:
        target: `peft` or `safetensors`.
        out: A folder that does not exist yet, or is empty; its parent exists, unless that is the
            default one for exports.
        base: For a merge: into the weights as trained (`exact`) or the 16-bit `original` ones.

    Raises:
        UsageError: target or base are unknown. NotFound: adapter or base are not here.
        BadInput: something stands at `out`. DoesNotFit: disk or memory is too small.
        Refused: the adapter belongs to another base, or `out` lies in the home.
        JobFailed: the files did not answer as the adapter did (code `fidelity`), or the job
            crashed; nothing is left behind.
    """
    plan = _plan(vault, adapter, target=target, out=out, base=base)
    request, entry, model, place = plan.request, plan.entry, plan.model, plan.room.place
    _sweep_empty_stages(place)
    # The run goes last, after the folder is published: it is what names the stage, so that the
    # next unlock finds and sweeps it should this process be killed.
    with contextlib.ExitStack() as run:
        try:
            with parent_made(place), durable.staged_folder(place) as stage:
                job = _job(vault, request, entry, model, stage)
                outcome = run.enter_context(awaited_job(vault, job, progress))
                if progress is not None:
                    progress(0, 0, "describing")
                about = Description(
                    name=entry.name,
                    record=entry.record,
                    family=str(model.record["facts"]["family"]),
                    request=request,
                    fidelity=outcome.result["fidelity"],
                    vault_public_key=vault.audit.public_key,
                )
                describe(stage, about)
                files = sign_folder(stage, vault.audit.sign, vault.audit.public_key)
                _make_way(place)
        except FileExistsError as error:
            raise _filled(place) from error
    _log(vault, entry, request, files)
    return _document(outcome, files)


def _sweep_empty_stages(place: Path) -> None:
    """Remove empty stages of this target that a process left which died before its job began."""
    for stage in place.parent.glob(f"{glob.escape(durable.STAGE_PREFIX + place.name)}-*"):
        old = time.time() - stage.lstat().st_mtime > _ABANDONED_SECONDS
        if old and stage.is_dir() and not stage.is_symlink():
            with contextlib.suppress(OSError):  # not empty: the unlock's sweep decides
                stage.rmdir()


def _job(vault: Vault, request: ExportRequest, entry: Entry, model: Entry, stage: Path) -> ShortJob:
    objects = {"model": model.object_id, "adapter": entry.object_id}
    data = _held_out(vault, entry)
    part = None
    if data is not None:
        entry_of_data, split = data
        objects["dataset"] = entry_of_data.object_id
        part = {**dataset_part(vault, entry_of_data), "split": split}
    return ShortJob(
        kind="export",
        objects=objects,
        sealed={
            "model": model_part(vault, model),
            "adapter": {
                "object_id": entry.object_id,
                "name": entry.name,
                "folder": str(vault.adapters_folder / entry.object_id),
            },
            "dataset": part,
            "target": request.target,
            "base": request.base,
            "out": str(stage),
        },
        read=weights_paths(vault, model),
        write=[stage],
    )


def _held_out(vault: Vault, entry: Entry) -> tuple[Entry, str] | None:
    """The adapter's own dataset with a split that was not trained on, if it is still here."""
    try:
        data = vault.catalogue.get("dataset", entry.record["dataset"]["object_id"])
    except NotFound:
        return None
    rows = data.record.get("splits", {})
    for split in _SPLITS:
        if rows.get(split, 0):
            return data, split
    return None


def _make_way(place: Path) -> None:
    """Remove the empty folder that stood at the target; what came into it since stays."""
    if place.is_dir():
        try:
            place.rmdir()
        except OSError as error:
            raise _filled(place) from error


def _filled(place: Path) -> BadInput:
    return BadInput(
        f"{place} was filled while the export was being written; the export was removed.",
        hint="Choose a new folder.",
        code="out_exists",
    )


def _log(vault: Vault, entry: Entry, request: ExportRequest, files: list[dict[str, Any]]) -> None:
    manifest = next(item for item in files if item["path"] == "MANIFEST.json")
    vault.audit.append(
        "adapter_exported",
        {
            "adapter": entry.object_id,
            "target": request.target,
            "base": request.base,
            "manifest_sha256": manifest["sha256"],
        },
    )


def _document(outcome: JobOutcome, files: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "files": files,
        "fidelity": outcome.result["fidelity"],
        "peak_bytes": outcome.result["peak_bytes"],
        "seconds": outcome.result["seconds"],
    }
