"""Registration: what runs published while no front door was open enters the library.

The engine holds no vault; it only publishes sealed objects. Each unlock calls this, and so may
anybody, any number of times: a run that is in the catalogue is not looked at again.
"""

from __future__ import annotations

import contextlib
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.adapters.evaluating import note_evaluation
from workbench.adapters.manifest import AdapterManifest
from workbench.adapters.results import read_result
from workbench.adapters.short_jobs import forget_owner, is_owned
from workbench.adapters.storage import is_published, read_manifest
from workbench.durable import STAGE_PREFIX, sweep_stages
from workbench.errors import BadInput, Busy, DoesNotFit, NotFound, VaultDamaged
from workbench.planning.measured import learn_from_run
from workbench.runs.job import JobFolder
from workbench.runs.launch import no_run_in_the_making
from workbench.runs.listing import list_runs
from workbench.runs.state import RunState, current_state
from workbench.runs.steering import remove_run
from workbench.vault.catalogue import Entry
from workbench.vault.formats import SPEC
from workbench.vault.locking import hold
from workbench.vault.sealed import is_sealed_file, open_blob, read_sealed

if TYPE_CHECKING:
    from workbench.vault.store import Vault

_PUBLISHED = ("finished", "stopped")
_SHORT = ("evaluate", "generate", "export", "probe")
_MOST_NAMES = 10_000


def register_finished(vault: Vault) -> list[Entry]:
    """Enter every finished run and its adapter into the catalogue; return the new adapters.

    A name that was taken meanwhile gets a number: the entry's record then has `asked_name`. Runs
    whose adapter does not open are left for `vault verify` to show. Short jobs that nobody waits
    for any more are swept, and so are keys that nothing uses.

    Raises:
        Busy: another process held the catalogue for too long.
    """
    with contextlib.suppress(Busy):  # somebody makes a run just now; the next unlock sweeps
        sweep_unused_keys(vault)
    known = {entry.object_id for entry in vault.catalogue.entries("run")}
    candidates = list_runs(vault.home, without=known)
    _sweep_short_jobs(vault, candidates)
    waiting = [s for s in candidates if s.kind == "train" and s.state in _PUBLISHED]
    if not waiting:
        return []
    with hold(vault.locks_folder / "registration.lock"):
        # Another front door may have done the same while this one waited.
        known = {entry.object_id for entry in vault.catalogue.entries("run")}
        found = [_register(vault, state) for state in reversed(waiting) if state.run not in known]
    return [entry for entry in found if entry is not None]


def register_on_opening(vault: Vault) -> list[Entry]:
    """Do as `register_finished` for a vault that is being opened; what cannot be written waits.

    A full disk must not keep its owner from the vault, where space can be made; the next unlock,
    or the screens' watch on the runs, enters what is left.

    Raises:
        Busy: Another process held the catalogue for too long.
    """
    try:
        return register_finished(vault)
    except (DoesNotFit, OSError):
        return []


def sweep_unused_keys(vault: Vault) -> list[str]:
    """Shred the keys of runs and adapters that no folder and no entry names; return their ids.

    A front door that is killed after it made a run's keys and before it published the run's folder
    leaves such keys, and so does a run that is removed before it made its adapter.

    Raises:
        Busy: At once, when another front door is making a run.
    """
    if not (vault.runs_folder.is_dir() and vault.adapters_folder.is_dir()):
        return []  # what they held may come back, and would need its keys
    with no_run_in_the_making(vault):
        sweep_stages(vault.runs_folder)
        keys = {key for key in vault.key_ids() if key.startswith(("ru-", "ad-"))}
        unused = keys - _named(vault)
        # Nobody can say which adapter a run with a damaged specification was to make.
        if unused and any(state.state == "damaged" for state in list_runs(vault.home)):
            unused = {key for key in unused if not key.startswith("ad-")}
        for key in sorted(unused):
            vault.shred(key)
    return sorted(unused)


def _named(vault: Vault) -> set[str]:
    """Return every id that the catalogue, a folder or a run's specification names."""
    named = {entry.object_id for entry in vault.catalogue.entries()}
    for folder in (vault.runs_folder, vault.adapters_folder):
        named |= {path.name for path in folder.iterdir()}
    for state in list_runs(vault.home):
        named |= set(state.objects.values())
    return named


def _register(vault: Vault, state: RunState) -> Entry | None:
    adapter_id = state.objects.get("adapter", "")
    folder = vault.adapters_folder / adapter_id
    entry = None
    # Damaged or shredded: the run is entered all the same, or each unlock would try again.
    with contextlib.suppress(VaultDamaged, NotFound):
        if adapter_id and is_published(folder):
            entry = _enter_adapter(vault, read_manifest(folder, vault.key(adapter_id)), state)
    if entry is not None and state.state == "finished":
        _learn_pace(vault.home, state, str(entry.record.get("method", "")))
    with contextlib.suppress(NotFound):
        vault.catalogue.put("run", state.run, state.run, _run_record(state))
    vault.audit.append(
        f"training_{state.state}",
        {"run": state.run, "adapter": entry.object_id if entry else None},
    )
    return entry


def _learn_pace(home: Path, state: RunState, method: str) -> None:
    """Let the run correct what is predicted for the next one on the same model."""
    with contextlib.suppress(BadInput, OSError):  # a missing lesson is no reason to fail
        numbers = JobFolder(home / "runs" / state.run).spec().numbers
        if "rates_moment" not in numbers or state.adjustments or not state.step:
            return
        learn_from_run(
            home,
            model=state.objects.get("model", ""),
            method=method,
            moment=int(numbers["rates_moment"]),
            predicted=numbers.get("predicted_seconds", 0.0) / numbers.get("factor", 1.0),
            # It may have ended early.
            real=(state.seconds or 0.0) * (state.steps or state.step) / state.step,
        )


def _enter_adapter(vault: Vault, manifest: AdapterManifest, state: RunState) -> Entry:
    with contextlib.suppress(NotFound):
        # Entered before, and killed before the run was.
        return _by_id(vault, manifest.adapter)
    record: dict[str, Any] = manifest.to_json()
    if state.peak_bytes is not None:
        record["metrics"] = {"peak_bytes": state.peak_bytes, **record["metrics"]}
    for number in range(1, _MOST_NAMES):
        name = manifest.name if number == 1 else f"{manifest.name}-{number}"
        if number > 1:
            record["asked_name"] = manifest.name
        try:
            entry = vault.catalogue.put("adapter", manifest.adapter, name, record)
        except BadInput as error:
            if error.code != "name_taken":
                raise
            continue
        vault.audit.append(
            "adapter_registered",
            {"adapter": entry.object_id, "run": manifest.run, "sha256": manifest.sha256},
        )
        return entry
    raise BadInput("The library has too many adapters of one name.", code="name_taken")


def _by_id(vault: Vault, object_id: str) -> Entry:
    for entry in vault.catalogue.entries("adapter"):
        if entry.object_id == object_id:
            return entry
    raise NotFound("There is no such adapter.")


def _run_record(state: RunState) -> dict[str, Any]:
    kept = ("kind", "state", "created", "device", "step", "tokens", "loss_first", "loss_last",
            "peak_bytes", "predicted_bytes")  # fmt: skip
    shown = state.to_json()
    return {"objects": dict(state.objects)} | {name: shown[name] for name in kept}


def _sweep_short_jobs(vault: Vault, states: list[RunState]) -> None:
    """Remove evaluations, chats and exports whose front door died before it read their result."""
    for state in states:
        folder = JobFolder(vault.runs_folder / state.run)
        if state.kind not in _SHORT or folder.is_alive() or is_owned(vault, state.run):
            continue
        # Looked at again: it may have been launched since the list was made.
        if not current_state(folder.path).is_over:
            continue
        with contextlib.suppress(VaultDamaged, NotFound, OSError):
            sealed = _sealed_spec(vault, folder)
            if state.kind == "export":
                _remove_stage(Path(sealed["out"]))
            elif state.kind == "evaluate" and state.state == "finished":
                _note_evaluation(vault, folder, sealed)
        with contextlib.suppress(Busy, NotFound):
            remove_run(vault, state.run)
        forget_owner(vault, state.run)


def _sealed_spec(vault: Vault, folder: JobFolder) -> dict[str, Any]:
    key, path = vault.key(folder.run), folder.sealed_spec_file
    body = (
        read_sealed(path, key, SPEC).read()
        if is_sealed_file(path)
        else open_blob(key, SPEC, path.read_bytes())
    )
    document: dict[str, Any] = json.loads(body)
    return document


def _remove_stage(stage: Path) -> None:
    """Remove what a dead export left beside its target; nothing that has another name."""
    if stage.name.startswith(STAGE_PREFIX) and stage.is_dir() and not stage.is_symlink():
        shutil.rmtree(stage, ignore_errors=True)


def _note_evaluation(vault: Vault, folder: JobFolder, sealed: dict[str, Any]) -> None:
    adapter = vault.catalogue.get("adapter", sealed["adapter"]["object_id"])
    data = vault.catalogue.get("dataset", sealed["dataset"]["object_id"])
    result = read_result(folder.path, vault.key(folder.run))
    note_evaluation(vault, adapter, data, sealed["split"], result)
