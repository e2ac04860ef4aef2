"""What the audit log's events mean, in plain words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from workbench.wording import count, size

_PLAIN = {
    "passphrase_changed": "The passphrase was changed",
    "passphrase_recovered": "A new passphrase was set with the recovery key",
    "recovery_key_renewed": "A new recovery key was made; the old one is void",
    "master_key_changed": "The master key was replaced",
    "slot_added": "One more passphrase was added",
    "slot_removed": "A passphrase or recovery key was removed",
    "key_shredded": "A key was destroyed: what it sealed can never be read again",
}
# Event -> sentence; {x} is filled with the name of the object that the detail's x names.
_ABOUT = {
    "vault_created": "The vault was made",
    "dataset_imported": "Data was imported: {dataset}",
    "dataset_removed": "A dataset was removed: {dataset}",
    "model_added": "A base model was put on the shelf: {model}",
    "model_verified": "A base model was checked: {model}",
    "model_removed": "A base model was removed: {model}",
    "training_started": "Training began: {model} on {dataset}",
    "training_finished": "Training finished: {adapter}",
    "training_stopped": "Training was stopped: {adapter}",
    "run_removed": "A run was removed: {run}",
    "adapter_registered": "An adapter entered the library: {adapter}",
    "adapter_evaluated": "An adapter was evaluated: {adapter} on {dataset}",
    "adapter_exported": "An adapter was taken out of the vault: {adapter}",
    "adapter_imported": "An adapter was brought in: {adapter}",
    "adapter_removed": "An adapter was removed: {adapter}",
}
_FIELDS = {
    "sha256": "SHA-256", "kdf": "passphrase cost", "out": "folder", "rows": "records",
    "object": "object",
}  # fmt: skip


class _Names(dict[str, str]):
    def __missing__(self, key: str) -> str:
        return "none" if key == "adapter" else "unknown"


def tell_event(event: str, detail: Mapping[str, Any], names: Mapping[str, str]) -> str:
    """Return an entry's event in plain words; one that is not known is named by its code.

    Args:
        names: Object id to name, of what the vault still holds.
    """
    if event in _PLAIN:
        return _PLAIN[event]
    if event not in _ABOUT:
        return event.replace("_", " ").capitalize()
    told = {
        key: str(detail.get("name") or names.get(str(value), f"{value} (no longer here)"))
        if key == "dataset"
        else names.get(str(value), str(value))
        for key, value in detail.items()
        if value is not None
    }
    return _ABOUT[event].format_map(_Names(told))


def tell_detail(detail: Mapping[str, Any], names: Mapping[str, str]) -> list[str]:
    """Return an entry's particulars, one `name: value` each."""
    return [
        f"{_FIELDS.get(key, key.replace('_', ' '))}: {_value(key, value, names)}"
        for key, value in detail.items()
    ]


def _value(key: str, value: Any, names: Mapping[str, str]) -> str:
    if isinstance(value, str):
        return f"{names[value]} ({value})" if names.get(value, value) != value else value
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return size(value) if key.endswith("bytes") else count(value)
    if isinstance(value, Mapping):
        return ", ".join(f"{k} {_value(str(k), v, names)}" for k, v in value.items()) or "none"
    if isinstance(value, list | tuple):
        return ", ".join(_value(key, each, names) for each in value) or "none"
    return str(value)
