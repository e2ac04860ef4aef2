"""The shelf of base models: registered once, pinned by SHA-256, used by many runs.

A model becomes a clean folder `models/<id>` that holds only what was accepted. Weights are copied
into it, or referenced by links to where they are: that saves the disk, and the model then breaks
when somebody moves or changes those files, which `verify_model` and the engine notice.
Folders are not sealed: base models are public, and only what is trained on private data is not.
"""

from __future__ import annotations

import contextlib
import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from workbench import durable
from workbench.errors import BadInput, NotFound
from workbench.models.codec import TextCodec
from workbench.models.facts import ModelFacts
from workbench.models.inspection import Inspection, check_codec, check_files, inspect_folder
from workbench.models.pinning import Meter, Pin, Progress, overall_sha256, pin_file, require_room
from workbench.models.selection import TEMPLATE_FILE
from workbench.models.tokenizing import SETTINGS_FILE, plain_settings
from workbench.vault.catalogue import Entry
from workbench.vault.ids import check_id, is_id, new_id
from workbench.vault.locking import hold
from workbench.vault.store import Vault

Weights = Literal["copy", "reference"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
STARTER = "starter"


@dataclass(frozen=True)
class Verification:
    """What hashing a model's files again showed; `bad` lists `name: reason`."""

    model: str
    files: int
    bytes: int
    bad: tuple[str, ...]


def add_model(
    vault: Vault,
    folder: Path,
    name: str,
    *,
    weights: Weights = "copy",
    progress: Progress | None = None,
) -> Entry:
    """Inspect a model's folder and put it on the shelf.

    Args:
        vault: The unlocked vault.
        folder: A folder with config.json, tokenizer.json and .safetensors files.
        name: 1 to 64 letters, digits, `.`, `_`, `-`.
        weights: Copy them into the vault's home, or reference them where they are.
        progress: Called with bytes done, bytes in all, and the phase.

    Raises:
        Refused: The model is unsafe. BadInput: It is unusable, or the name is taken or not one.
        DoesNotFit: The disk is too small. Busy: Another process changes the shelf.
    """
    _check_name(vault, name)
    inspection = inspect_folder(folder)
    with _changing(vault):
        object_id = new_id("mo")
        copied = [
            path.stat().st_size
            for file, path in inspection.listing.files.items()
            if weights == "copy" or file not in inspection.listing.weights
        ]
        require_room(vault.models_folder, copied)
        target = vault.models_folder / object_id
        vault.new_key(object_id)
        try:
            with durable.staged_folder(target) as stage:
                pins = _fill(stage, inspection, weights, progress)
            record = _record(inspection, pins, weights)
            entry = vault.catalogue.put("model", object_id, name, record)
        except BaseException:
            shutil.rmtree(target, ignore_errors=True)
            vault.shred(object_id)
            raise
        detail = {"model": object_id, "sha256": record["sha256"], "weights": weights}
        vault.audit.append("model_added", detail)
    return entry


def add_starter(vault: Vault, name: str = STARTER, *, progress: Progress | None = None) -> Entry:
    """Register the model that is shipped with the product; raises as `add_model`."""
    with resources.as_file(resources.files("workbench.starter") / "model") as folder:
        return add_model(vault, folder, name, progress=progress)


def list_models(vault: Vault) -> list[dict[str, Any]]:
    """Return what `show_model` does for each model, oldest first, without the list of files."""
    return [_shown(entry) for entry in vault.catalogue.entries("model")]


def show_model(vault: Vault, name: str) -> dict[str, Any]:
    """Return what is known of a model: the contract's fields, and where it came from.

    Raises:
        NotFound: There is no such model.
    """
    entry = vault.catalogue.get("model", name)
    return _shown(entry) | {"files": entry.record["files"], "ignored": entry.record["ignored"]}


def model_facts(entry: Entry) -> ModelFacts:
    """Return the facts that a model's catalogue record holds."""
    return ModelFacts.from_json(entry.record["facts"])


def model_folder(vault: Vault, object_id: str) -> Path:
    """Return the clean folder of a model.

    Raises:
        NotFound: It is gone.
    """
    folder = vault.models_folder / check_id(object_id)
    if not folder.is_dir():
        raise NotFound("The model's folder is gone from the vault's home.")
    return folder


def verify_model(vault: Vault, name: str, *, progress: Progress | None = None) -> Verification:
    """Hash every file of a model again, referenced ones where they are, and compare.

    Raises:
        NotFound: There is no such model.
    """
    entry = vault.catalogue.get("model", name)
    folder = model_folder(vault, entry.object_id)
    pins = {file: Pin(**pin) for file, pin in entry.record["files"].items()}
    meter = Meter(sum(pin.bytes for pin in pins.values()), "verify", progress)
    bad = [
        f"{item.name}: not one of the model's files"
        for item in sorted(folder.iterdir())
        if item.name not in pins
    ]
    for file, pin in pins.items():
        reason = _difference(folder / file, pin, meter)
        if reason:
            bad.append(f"{file}: {reason}")
    result = Verification(entry.name, len(pins), sum(p.bytes for p in pins.values()), tuple(bad))
    vault.audit.append("model_verified", {"model": entry.object_id, "bad": len(bad)})
    return result


def remove_model(vault: Vault, name: str, *, force: bool = False) -> None:
    """Take a model off the shelf; referenced weights stay where they are.

    Raises:
        BadInput: Adapters were trained on it and `force` is not given (code `in_use`).
        NotFound: There is no such model.
    """
    entry = vault.catalogue.get("model", name)
    users = [
        adapter.name
        for adapter in vault.catalogue.entries("adapter")
        if _base_of(adapter) == entry.object_id
    ]
    if users and not force:
        raise BadInput(
            f"{len(users)} adapters need this model, the first is {users[0]}.",
            hint="Without their base they can be neither used nor merged; remove them first.",
            code="in_use",
        )
    with _changing(vault):
        vault.catalogue.remove(entry.object_id)
        vault.shred(entry.object_id)
        shutil.rmtree(vault.models_folder / entry.object_id, ignore_errors=True)
        vault.audit.append("model_removed", {"model": entry.object_id, "adapters": len(users)})


def _fill(
    stage: Path, inspection: Inspection, weights: Weights, progress: Progress | None
) -> dict[str, Pin]:
    """Fill the clean folder, then check the very files that lie in it now.

    The folder that was inspected belongs to somebody else and may have changed meanwhile.
    Chat template and tokenizer settings are written anew, the rest keeps its bytes.
    """
    listing = inspection.listing
    meter = Meter(inspection.bytes, "copy" if weights == "copy" else "hash", progress)
    pins: dict[str, Pin] = {}
    for file, source in listing.files.items():
        if weights == "reference" and file in listing.weights:
            pins[file] = pin_file(source, meter)
            (stage / file).symlink_to(source)
        else:
            pins[file] = pin_file(source, meter, copy_to=stage / file)
    files = {file: stage / file for file in pins}
    facts = check_files(files, listing.weights, listing.weight_map)
    findings = check_codec(stage, facts)
    if (facts, findings) != (inspection.facts, inspection.codec):
        raise BadInput(
            "The model's files changed while they were read.",
            hint="Wait until nobody writes to the folder, then try again.",
            code="changed_meanwhile",
        )
    # Written down, so that every later reader, exports included, works as the codec does.
    codec = TextCodec.open(stage)
    settings = json.dumps(plain_settings(stage, codec.tokenizer), indent=2, sort_keys=True)
    for name, text in ((TEMPLATE_FILE, codec.template.source), (SETTINGS_FILE, settings)):
        durable.publish_bytes(stage / name, text.encode())
        pins[name] = pin_file(stage / name, Meter(0, "", None))
    return pins


def _record(inspection: Inspection, pins: dict[str, Pin], weights: Weights) -> dict[str, Any]:
    listing, codec = inspection.listing, inspection.codec
    referenced = listing.weights if weights == "reference" else ()
    return {
        "facts": inspection.facts.to_json(),
        "files": {file: asdict(pin) for file, pin in sorted(pins.items())},
        "sha256": overall_sha256(pins),
        "bytes": sum(pin.bytes for pin in pins.values()),
        "source": str(listing.folder),
        "weights": weights,
        "references": {file: str(listing.files[file]) for file in referenced},
        "template": {
            "source": codec.origin,
            "name": codec.template,
            "sha256": codec.sha256,
            "marks_answers": codec.marks_answers,
            "folds_system": codec.folds_system,
        },
        "ignored": [asdict(item) for item in inspection.ignored],
    }


def _shown(entry: Entry) -> dict[str, Any]:
    record, facts = entry.record, model_facts(entry)
    return {
        "model": entry.name,
        "object_id": entry.object_id,
        "family": facts.family,
        "parameters": facts.parameters,
        "layers": facts.layers,
        "hidden": facts.hidden,
        "context": facts.context,
        "bytes": record["bytes"],
        "sha256": record["sha256"],
        "chat_template": record["template"],
        "weights": record["weights"],
        "source": record["source"],
        "created": entry.created,
        "ignored_files": len(record["ignored"]),
    }


def _difference(path: Path, pin: Pin, meter: Meter) -> str:
    if not path.exists():
        return "missing"
    if not path.is_file():
        return "not a file"
    try:
        found = pin_file(path, meter)
    except BadInput:
        return "cannot be read"
    return "" if found == pin else "not the bytes that were registered"


def _base_of(adapter: Entry) -> object:
    base = adapter.record.get("base")
    return base.get("object_id") if isinstance(base, dict) else None


def _check_name(vault: Vault, name: str) -> None:
    if _NAME.fullmatch(name) is None or is_id(name):
        raise BadInput(
            "A model's name has 1 to 64 letters, digits, dots, dashes or underscores.",
            code="bad_name",
        )
    # Found out before the copy of many gigabytes, and once more when the entry is put.
    if any(entry.name == name for entry in vault.catalogue.entries("model")):
        raise BadInput(
            f"There is already a model called {name}.",
            hint="Choose another name, or remove the old one first.",
            code="name_taken",
        )


@contextlib.contextmanager
def _changing(vault: Vault) -> Iterator[None]:
    """Hold the shelf's lock, and clear what a killed process left half done."""
    with hold(vault.locks_folder / "models.lock"):
        durable.sweep_stages(vault.models_folder)
        known = {entry.object_id for entry in vault.catalogue.entries("model")}
        for folder in vault.models_folder.iterdir():
            if is_id(folder.name) and folder.name not in known:
                shutil.rmtree(folder, ignore_errors=True)
        for key_id in vault.key_ids():
            if key_id.startswith("mo-") and key_id not in known:
                vault.shred(key_id)
        yield
