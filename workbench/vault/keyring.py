"""The keyring: one small file with every data key, sealed under a ring key.

The ring key is wrapped by the master key and stands in the same file. A deletion rewrites the
file without the key of the deleted object and under a fresh ring key, so nothing in the new file,
and no later ring key, opens a remnant of the old one. While the master key is being changed the
ring key is wrapped twice, by the old and by the new one, so that a crash at any point leaves a
keyring that the header's master key opens.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from workbench.errors import VaultDamaged, VaultError
from workbench.vault import formats
from workbench.vault.checked import encode_checked, read_checked
from workbench.vault.sealed import JSON, KEY_BYTES, DataKey, open_blob, seal_blob, to_json_bytes


@dataclass(frozen=True, repr=False)
class Keyring:
    """The opened keyring.

    Attributes:
        vault_id: The vault that it belongs to.
        ring: The 32-byte ring key.
        wraps: The ring key as wrapped by the master key (twice during its change).
        audit, signing, catalogue: 32-byte secrets of the audit log's seal, of its Ed25519
            signature and of the catalogue's root; the vault keeps them for its whole life.
        keys: Object id -> 32-byte data key.
    """

    vault_id: str
    ring: bytes
    wraps: tuple[bytes, ...]
    audit: bytes
    signing: bytes
    catalogue: bytes
    keys: dict[str, bytes]

    @classmethod
    def new(cls, vault_id: str, wrapping: bytes) -> Self:
        """Return an empty keyring with fresh secrets; `wrapping` is derived from the master key."""
        ring, audit, signing, catalogue = (os.urandom(KEY_BYTES) for _ in range(4))
        wraps = (_wrap(vault_id, wrapping, ring),)
        return cls(vault_id, ring, wraps, audit, signing, catalogue, {})

    def with_key(self, object_id: str, secret: bytes) -> Self:
        """Return this keyring with one more key."""
        return self._changed({**self.keys, object_id: secret}, self.ring, self.wraps)

    def without_key(self, object_id: str, wrapping: bytes) -> Self:
        """Return this keyring without a key, under a fresh ring key."""
        keys = {name: key for name, key in self.keys.items() if name != object_id}
        ring = os.urandom(KEY_BYTES)
        return self._changed(keys, ring, (_wrap(self.vault_id, wrapping, ring),))

    def under_fresh_ring(self, wrapping: bytes) -> Self:
        """Return this keyring under a fresh ring key that only `wrapping` opens."""
        return self.without_key("", wrapping)

    def also_wrapped(self, wrapping: bytes) -> Self:
        """Return this keyring so that a second master key's `wrapping` opens it too."""
        wraps = (*self.wraps, _wrap(self.vault_id, wrapping, self.ring))
        return self._changed(self.keys, self.ring, wraps)

    def _changed(self, keys: dict[str, bytes], ring: bytes, wraps: tuple[bytes, ...]) -> Self:
        return type(self)(
            self.vault_id, ring, wraps, self.audit, self.signing, self.catalogue, keys
        )

    def encode(self) -> bytes:
        """Return the bytes of the keyring's file."""
        contents: dict[str, JSON] = {
            "audit": self.audit.hex(),
            "signing": self.signing.hex(),
            "catalogue": self.catalogue.hex(),
            "keys": {name: key.hex() for name, key in self.keys.items()},
        }
        sealed = seal_blob(
            DataKey(self.vault_id, "keyring", self.ring), formats.KEYRING, to_json_bytes(contents)
        )
        wraps = [wrap.hex() for wrap in self.wraps]
        return encode_checked({"format": formats.KEYRING, "wraps": wraps, "sealed": sealed.hex()})

    @classmethod
    def read(cls, path: Path, vault_id: str, wrapping: bytes) -> Self:
        """Read and open the keyring's file.

        Raises:
            VaultDamaged: It is missing or damaged, or belongs to another vault.
            VaultError: The master key was changed since `wrapping` was derived (`vault_rekeyed`).
        """
        fields = read_checked(path)
        try:
            wraps = tuple(bytes.fromhex(wrap) for wrap in fields["wraps"])
            sealed = bytes.fromhex(fields["sealed"])
        except (KeyError, TypeError, ValueError):
            raise VaultDamaged("keyring is not a keyring.") from None
        ring = next((key for wrap in wraps if (key := _unwrap(vault_id, wrapping, wrap))), None)
        if ring is None:
            raise VaultError(
                "The keyring does not open with this vault's master key.",
                hint="If its key was changed meanwhile, unlock again; if not, restore a backup.",
                code="vault_rekeyed",
            )
        contents = json.loads(
            open_blob(DataKey(vault_id, "keyring", ring), formats.KEYRING, sealed)
        )
        audit, signing, catalogue = (
            bytes.fromhex(contents[name]) for name in ("audit", "signing", "catalogue")
        )
        keys = {name: bytes.fromhex(key) for name, key in contents["keys"].items()}
        return cls(vault_id, ring, wraps, audit, signing, catalogue, keys)


def _wrap(vault_id: str, wrapping: bytes, ring: bytes) -> bytes:
    return seal_blob(DataKey(vault_id, "ring", wrapping), formats.KEYRING, ring)


def _unwrap(vault_id: str, wrapping: bytes, wrap: bytes) -> bytes | None:
    try:
        return open_blob(DataKey(vault_id, "ring", wrapping), formats.KEYRING, wrap)
    except VaultDamaged:
        return None
