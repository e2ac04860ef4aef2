"""The draft of a run: how far a person has come in preparing, training and judging one.

It is kept sealed in the catalogue, for it names files, so that a guided path can be closed at any
moment and goes on where it was. There is one; finishing or giving up shreds it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

from workbench.vault.ids import new_id

if TYPE_CHECKING:
    from workbench.vault.catalogue import Entry
    from workbench.vault.store import Vault

_NAME = "guided path"


@dataclass(frozen=True)
class Draft:
    """What has been chosen so far; empty where it has not.

    Attributes:
        step: The step that is open: data, model, fit, train, review or keep.
        files: Paths of the files to import, or of those that the dataset was made of.
        reading: How they are to be read: kind, mapping and the like, as the import takes them.
        dataset: Object id of the sealed dataset.
        model: Object id of the base model.
        settings: Recipe keys and the values chosen for them.
        adapter: What the adapter will be called.
        run: Object id of the run that was started.
        results: Figures of the evaluation; never record text.
        exported: Folder that the adapter was exported to.
    """

    step: str = "data"
    files: tuple[str, ...] = ()
    reading: dict[str, Any] = field(default_factory=dict)
    dataset: str = ""
    model: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    adapter: str = ""
    run: str = ""
    results: dict[str, Any] = field(default_factory=dict)
    exported: str = ""

    def with_changes(self, **changes: Any) -> Draft:
        """Return this draft with other values."""
        return replace(self, **changes)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {**asdict(self), "files": list(self.files)}

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Draft:
        """Rebuild a draft; what another version noted besides is left out."""
        known = {each.name for each in fields(cls)}
        told = {name: value for name, value in plain.items() if name in known}
        return cls(**{**told, "files": tuple(told.get("files", ()))})


def load_draft(vault: Vault) -> Draft | None:
    """Return the draft that was kept, or None; raises what the catalogue raises."""
    entry = _entry(vault)
    return None if entry is None else Draft.from_json(entry.record)


def keep_draft(vault: Vault, draft: Draft) -> None:
    """Keep a draft in place of the one before; raises what the catalogue raises."""
    entry = _entry(vault)
    if entry is None:
        object_id = new_id("dr")
        vault.new_key(object_id)
    else:
        object_id = entry.object_id
    vault.catalogue.put("draft", object_id, _NAME, draft.to_json())


def discard_draft(vault: Vault) -> None:
    """Shred the draft; nothing happens where there is none."""
    entry = _entry(vault)
    if entry is not None:
        vault.shred(entry.object_id)
        vault.catalogue.remove(entry.object_id)


def _entry(vault: Vault) -> Entry | None:
    return next(iter(vault.catalogue.entries("draft")), None)
