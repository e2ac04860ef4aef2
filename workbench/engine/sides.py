"""The base and its adapters on one model in memory: one is selected, nothing is loaded twice.

Every adapter is bound to the base that it was trained on by the fingerprint of the weights as
computed with; another base is refused here, for every job that applies an adapter.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from torch import Tensor

from workbench.adapters.manifest import AdapterManifest
from workbench.adapters.storage import StoredAdapter, open_adapter, read_manifest
from workbench.engine.loading import LoadedBase, Method
from workbench.engine.lora import full_tensors, load_adapter, load_full
from workbench.engine.tensorfile import TensorFile
from workbench.errors import Refused
from workbench.vault.sealed import DataKey


@dataclass(frozen=True, repr=False)
class OpenedAdapter:
    """One adapter, opened from its sealed folder."""

    object_id: str
    name: str
    manifest: AdapterManifest
    stored: StoredAdapter

    @classmethod
    def open(cls, part: Mapping[str, Any], key: DataKey) -> OpenedAdapter:
        """Open the adapter that a job's specification names: `object_id`, `folder`, `name`.

        Raises:
            NotFound: it was never published. VaultDamaged: a file does not verify.
        """
        folder = Path(part["folder"])
        manifest = read_manifest(folder, key)
        stored = open_adapter(folder, key)
        return cls(str(part["object_id"]), str(part["name"]), manifest, stored)


def common_method(adapters: Sequence[OpenedAdapter]) -> Method:
    """Return how the base has to be loaded for all of these adapters; 16-bit for none.

    Raises:
        Refused: they were trained in different ways (code `base_mismatch`).
    """
    methods = {adapter.manifest.method for adapter in adapters} or {"lora"}
    if len(methods) > 1:
        raise Refused(
            f"These adapters belong to differently loaded bases ({', '.join(sorted(methods))}).",
            hint="Ask them one at a time.",
            code="base_mismatch",
        )
    method: Method = methods.pop()  # type: ignore[assignment]  # the recipe's own enum
    return method


def check_base(base: LoadedBase, adapter: OpenedAdapter) -> None:
    """Refuse an adapter that was trained on other weights than these.

    Raises:
        Refused: code `base_mismatch`.
    """
    if adapter.manifest.base.fingerprint != base.fingerprint:
        raise Refused(
            "The adapter was trained on another base than this model, bit for bit.",
            hint="Use the model it was trained on; `workbench adapter show` names it.",
            code="base_mismatch",
        )


@dataclass(repr=False)
class Sides:
    """A loaded base with its adapters; `base()` and `adapter(name)` select one for a block."""

    loaded: LoadedBase
    model: Any = field(init=False)
    _full: dict[str, StoredAdapter] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.model = self.loaded.model

    def add(self, adapter: OpenedAdapter) -> None:
        """Put an adapter beside those that are there.

        Raises:
            Refused: it belongs to another base. VaultDamaged: its tensors do not fit.
        """
        check_base(self.loaded, adapter)
        if adapter.manifest.method == "full":
            self._full[adapter.object_id] = adapter.stored
        else:
            self.model = load_adapter(self.model, adapter.stored, adapter.object_id)

    @contextmanager
    def base(self) -> Iterator[Any]:
        """Yield the model without any adapter."""
        if isinstance(self.model, PeftModel):
            with self.model.disable_adapter():
                yield self.model
        else:
            yield self.model

    @contextmanager
    def adapter(self, object_id: str) -> Iterator[Any]:
        """Yield the model with one adapter applied; fully trained weights are swapped in."""
        if object_id not in self._full:
            self.model.set_adapter(object_id)
            yield self.model
            return
        kept = {name: _narrow(tensor) for name, tensor in full_tensors(self.model).items()}
        try:
            self.become(object_id)
            yield self.model
        finally:
            load_full(self.model, kept)

    def become(self, object_id: str) -> Any:
        """Return the model with one adapter applied for good: the base's weights are not kept."""
        if object_id in self._full:
            load_full(self.model, TensorFile(self._full[object_id].tensors))
        else:
            self.model.set_adapter(object_id)
        return self.model


def _narrow(tensor: Tensor) -> Tensor:
    """Return a copy in bfloat16 if that loses nothing: bases are loaded from 16 bits."""
    narrow = tensor.bfloat16()
    return narrow if torch.equal(narrow.to(tensor.dtype), tensor) else tensor.clone()
