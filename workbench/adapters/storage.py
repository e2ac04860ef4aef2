"""How an adapter lies on the disk: two sealed files in a folder of its own.

`adapter.sealed` holds the bytes of `adapter_model.safetensors` in chunks, with peft's
configuration in its sealed meta; `manifest.sealed` holds the manifest. The weights are published
first and the manifest last, so a folder with a manifest is complete; publishing again (a run that
was killed in between and resumed) replaces both. Free of torch: the engine and the library share
this module.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.adapters.manifest import AdapterManifest
from workbench.durable import make_private_folder
from workbench.errors import NotFound, VaultDamaged
from workbench.vault import formats
from workbench.vault.ranged import SealedBytes
from workbench.vault.sealed import DataKey, SealedFile, read_sealed, write_sealed

ADAPTER_FILE = "adapter.sealed"
MANIFEST_FILE = "manifest.sealed"
CHUNK_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True)
class SealedAdapter:
    """What was sealed: the size and SHA-256 of the plaintext safetensors file."""

    bytes: int
    sha256: str


@dataclass(frozen=True, repr=False)
class StoredAdapter:
    """An adapter: peft's configuration, and the bytes of its safetensors file where they lie.

    After a full fine-tuning these bytes are a whole model, so they are read in parts.
    """

    config: dict[str, Any]
    tensors: SealedBytes | bytes
    sha256: str

    def parts(self) -> Iterator[bytes]:
        """Yield the bytes of the safetensors file in order."""
        return iter([self.tensors]) if isinstance(self.tensors, bytes) else self.tensors.parts()


class _Measured:
    """Cuts a stream into chunks of one size while counting and hashing it."""

    def __init__(self, parts: Iterable[bytes]) -> None:
        self._parts = parts
        self._hash = hashlib.sha256()
        self.bytes = 0

    def __iter__(self) -> Iterator[bytes]:
        held = bytearray()
        for part in self._parts:
            self._hash.update(part)
            self.bytes += len(part)
            view = memoryview(part)
            while len(held) + len(view) >= CHUNK_BYTES:
                room = CHUNK_BYTES - len(held)
                yield bytes(held) + bytes(view[:room])
                held.clear()
                view = view[room:]
            held += view
        if held:
            yield bytes(held)

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()


def seal_adapter(
    folder: Path,
    key: DataKey,
    *,
    config: Mapping[str, Any],
    tensors: bytes | Iterable[bytes],
    manifest: AdapterManifest,
) -> SealedAdapter:
    """Seal weights and manifest into `folder`, which is made when absent.

    Args:
        folder: `HOME/adapters/<object id>`.
        key: The adapter's data key.
        config: The content of peft's `adapter_config.json`.
        tensors: The bytes of `adapter_model.safetensors`, whole or as a stream of parts.
        manifest: The manifest; its `bytes` and `sha256` are filled in here.
    """
    make_private_folder(folder)
    measured = _Measured([tensors] if isinstance(tensors, bytes) else tensors)
    write_sealed(
        folder / ADAPTER_FILE, key, formats.ADAPTER, iter(measured), {"config": dict(config)}
    )
    complete = manifest.with_weights(measured.bytes, measured.sha256)
    write_manifest(folder, key, complete)
    return SealedAdapter(bytes=measured.bytes, sha256=measured.sha256)


def write_manifest(folder: Path, key: DataKey, manifest: AdapterManifest) -> None:
    """Seal `manifest` into `folder`, replacing the one that was there."""
    body = json.dumps(manifest.to_json(), sort_keys=True).encode()
    write_sealed(folder / MANIFEST_FILE, key, formats.MANIFEST, [body], {})


def read_manifest(folder: Path, key: DataKey) -> AdapterManifest:
    """Open the manifest in `folder`.

    Raises:
        NotFound: the adapter was never published.
        VaultDamaged: the file does not verify.
    """
    body = _open(folder / MANIFEST_FILE, key, formats.MANIFEST).read()
    try:
        return AdapterManifest.from_json(json.loads(body))
    except ValueError as error:
        raise VaultDamaged(
            "An adapter's manifest is not readable.", hint="Run `workbench vault verify`."
        ) from error


def open_adapter(folder: Path, key: DataKey) -> StoredAdapter:
    """Check every byte of the weights against the manifest; they are read again when wanted.

    Raises:
        NotFound: the adapter was never published.
        VaultDamaged: a file does not verify, or the weights are not those of the manifest.
    """
    manifest = read_manifest(folder, key)
    sealed = _open(folder / ADAPTER_FILE, key, formats.ADAPTER)
    digest = hashlib.sha256()
    for chunk in sealed.chunks():
        digest.update(chunk)
    config = sealed.meta.get("config")
    if digest.hexdigest() != manifest.sha256 or not isinstance(config, dict):
        raise VaultDamaged(
            "An adapter's weights are not the ones its manifest names.",
            hint="If its run was interrupted while publishing, resume the run.",
            code="adapter_mismatch",
        )
    return StoredAdapter(config=config, tensors=SealedBytes(sealed), sha256=manifest.sha256)


def is_published(folder: Path) -> bool:
    """Tell whether `folder` holds a complete adapter (its manifest is written last)."""
    return (folder / MANIFEST_FILE).is_file() and (folder / ADAPTER_FILE).is_file()


def _open(path: Path, key: DataKey, form: str) -> SealedFile:
    if not path.is_file():
        raise NotFound(
            "The adapter has no published weights.",
            hint="`workbench run list` shows whether its run has finished.",
        )
    return read_sealed(path, key, form)
