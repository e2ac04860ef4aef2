"""The manifest of an adapter: what it was trained on, how, and by what.

The engine writes it once, sealed under the adapter's own key, beside the weights; the library,
the exports and the jobs that apply the adapter read it. Names live here because the manifest is
sealed; paths never do, because an export shows it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from workbench.errors import VaultDamaged

VERSION = 1

JsonDict = dict[str, Any]


@dataclass(frozen=True)
class BaseRecord:
    """The base model an adapter belongs to.

    Attributes:
        object_id: The model on the shelf.
        name: Its name at training time.
        sha256: The shelf's pin over the model's files; empty when unknown.
        fingerprint: SHA-256 of the weights as the engine computed with them: NF4 codes, absmax
            and nested constants for `qlora`, the 16-bit tensors for `lora` and `full`.
    """

    object_id: str
    name: str
    sha256: str
    fingerprint: str


@dataclass(frozen=True)
class DatasetRecord:
    """A sealed dataset version: its id, its name at training time, the root hash of its chunks."""

    object_id: str
    name: str
    root: str


@dataclass(frozen=True)
class AdapterManifest:
    """Everything that is known about one adapter but its weights.

    Attributes:
        parameters: Number of trained parameters.
        bytes: Size of the plaintext safetensors file; filled when the adapter is sealed.
        sha256: SHA-256 of that file; filled when the adapter is sealed.
        recipe: The full recipe, as `Recipe.to_json` gives it.
        metrics: Numbers only: losses of the run, later those of evaluations.
        protection: Layer name to its state and detail, as the engine's lock-down reported.
        lineage: Object ids of adapters that this one was made from; empty for a fresh one.
    """

    adapter: str
    name: str
    run: str
    created: str
    method: str
    rank: int
    alpha: float
    targets: tuple[str, ...]
    parameters: int
    base: BaseRecord
    dataset: DatasetRecord
    steps: int = 0
    recipe: JsonDict = field(default_factory=dict)
    seeds: JsonDict = field(default_factory=dict)
    versions: JsonDict = field(default_factory=dict)
    metrics: JsonDict = field(default_factory=dict)
    protection: JsonDict = field(default_factory=dict)
    lineage: tuple[str, ...] = ()
    bytes: int = 0
    sha256: str = ""

    def with_weights(self, size: int, sha256: str) -> AdapterManifest:
        """Return a copy that names the sealed weights file."""
        return replace(self, bytes=size, sha256=sha256)

    def to_json(self) -> JsonDict:
        """Return plain JSON values; `from_json` reads them back."""
        return {"version": VERSION, **asdict(self)}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> AdapterManifest:
        """Read what `to_json` wrote.

        Raises:
            VaultDamaged: a field is missing or unknown, or the version is newer than this program.
        """
        values = dict(document)
        version = values.pop("version", None)
        if version != VERSION:
            raise VaultDamaged(
                f"An adapter's manifest has version {version!r}; this program reads {VERSION}.",
                hint="Open the vault with the version of the workbench that wrote it.",
                code="manifest_version",
            )
        try:
            values["base"] = BaseRecord(**values["base"])
            values["dataset"] = DatasetRecord(**values["dataset"])
            values["targets"] = tuple(values["targets"])
            values["lineage"] = tuple(values.get("lineage", ()))
            return cls(**values)
        except (KeyError, TypeError) as error:
            raise VaultDamaged(
                "An adapter's manifest lacks a field or has one too many.",
                hint="Run `workbench vault verify`.",
                code="manifest_fields",
            ) from error
