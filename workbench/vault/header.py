"""The vault's header: slots that each wrap the master key, under a MAC by the master key.

AES-GCM does not commit to its key: a crafted wrapping can open under two keys. The MAC, made with
a key derived from the master key over all that stands in the header, settles which one is meant.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets as randomness
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from workbench.errors import VaultDamaged, WrongPassphrase
from workbench.vault import formats
from workbench.vault.checked import encode_checked, read_checked
from workbench.vault.sealed import JSON, KEY_BYTES, DataKey, open_blob, seal_blob, to_json_bytes
from workbench.vault.secrets import (
    SALT_BYTES,
    Argon2Settings,
    derive,
    derive_from_passphrase,
    read_recovery_key,
)

MAX_SLOTS = 8
PASSPHRASE = "passphrase"  # noqa: S105  (the name of a kind of slot)
RECOVERY = "recovery"


@dataclass(frozen=True)
class Slot:
    """One way to the master key.

    Attributes:
        slot_id: 8 hexadecimal digits.
        kind: "passphrase" or "recovery".
        salt: 16 random bytes.
        settings: Argon2id's cost; None for a recovery key, which is random enough by itself.
        wrapped: The sealed master key.
    """

    slot_id: str
    kind: str
    salt: bytes = field(repr=False)
    settings: Argon2Settings | None
    wrapped: bytes = field(repr=False)

    def to_json(self) -> dict[str, JSON]:
        """Return the slot as it stands in the header."""
        kdf: dict[str, JSON] = {"name": "hkdf-sha256"}
        if self.settings is not None:
            kdf = {"name": "argon2id", **vars(self.settings)}
        return {
            "id": self.slot_id,
            "kind": self.kind,
            "kdf": kdf,
            "salt": self.salt.hex(),
            "wrapped": self.wrapped.hex(),
        }

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Self:
        """Read a slot and check its bounds; raises ValueError, KeyError or VaultDamaged."""
        kdf = dict(fields["kdf"])
        name = kdf.pop("name")
        if (fields["kind"], name) not in {(PASSPHRASE, "argon2id"), (RECOVERY, "hkdf-sha256")}:
            raise ValueError("unknown kind of slot")
        settings = None
        if name == "argon2id":
            settings = Argon2Settings(**kdf)
            settings.check()
        salt = bytes.fromhex(fields["salt"])
        if len(salt) != SALT_BYTES:
            raise ValueError("salt of a wrong length")
        return cls(fields["id"], fields["kind"], salt, settings, bytes.fromhex(fields["wrapped"]))

    def open(self, vault_id: str, kek: bytes) -> bytes | None:
        """Return the master key, or None where `kek` is not the key of this slot."""
        try:
            master = open_blob(self._key(vault_id, self.slot_id, kek), formats.HEADER, self.wrapped)
        except VaultDamaged:
            return None
        return master if len(master) == KEY_BYTES else None

    @staticmethod
    def _key(vault_id: str, slot_id: str, kek: bytes) -> DataKey:
        return DataKey(vault_id, f"slot-{slot_id}", kek)

    @classmethod
    def for_passphrase(
        cls, vault_id: str, passphrase: str, settings: Argon2Settings, master: bytes
    ) -> Self:
        """Wrap the master key under a passphrase and a fresh salt."""
        salt = os.urandom(SALT_BYTES)
        kek = derive_from_passphrase(passphrase, salt, settings)
        return cls._wrap(vault_id, PASSPHRASE, salt, settings, kek, master)

    @classmethod
    def for_recovery_key(cls, vault_id: str, recovery: bytes, master: bytes) -> Self:
        """Wrap the master key under the 32 bytes of a recovery key."""
        salt = os.urandom(SALT_BYTES)
        kek = derive(recovery, salt, "recovery-slot")
        return cls._wrap(vault_id, RECOVERY, salt, None, kek, master)

    @classmethod
    def _wrap(
        cls,
        vault_id: str,
        kind: str,
        salt: bytes,
        settings: Argon2Settings | None,
        kek: bytes,
        master: bytes,
    ) -> Self:
        slot_id = randomness.token_hex(4)
        wrapped = seal_blob(cls._key(vault_id, slot_id, kek), formats.HEADER, master)
        return cls(slot_id, kind, salt, settings, wrapped)


@dataclass(frozen=True)
class Header:
    """What vault.json says.

    Attributes:
        vault_id: 32 hexadecimal digits, part of every seal.
        created: ISO time, UTC.
        audit_public_key: Ed25519 public key of the audit log's signatures, hexadecimal.
        slots: The ways to the master key.
        mac: HMAC-SHA256 by the master key over the rest, hexadecimal.
    """

    vault_id: str
    created: str
    audit_public_key: str
    slots: tuple[Slot, ...]
    mac: str = ""

    def _body(self) -> dict[str, JSON]:
        return {
            "format": formats.HEADER,
            "vault_id": self.vault_id,
            "created": self.created,
            "audit_public_key": self.audit_public_key,
            "slots": [slot.to_json() for slot in self.slots],
        }

    def _mac_by(self, master: bytes) -> str:
        key = derive(master, self.vault_id.encode(), "header-mac")
        return hmac.new(key, to_json_bytes(self._body()), hashlib.sha256).hexdigest()

    def verifies(self, master: bytes) -> bool:
        """Whether the header was made by a holder of `master`."""
        return hmac.compare_digest(self.mac, self._mac_by(master))

    def with_slots(self, slots: tuple[Slot, ...], master: bytes) -> Header:
        """Return this header with other slots, under a MAC by `master`."""
        header = replace(self, slots=slots)
        return replace(header, mac=header._mac_by(master))

    def encode(self) -> bytes:
        """Return the bytes of vault.json."""
        return encode_checked({**self._body(), "mac": self.mac})

    @classmethod
    def read(cls, path: Path) -> Header:
        """Read vault.json; nothing is known to be authentic before `unwrap`.

        Raises:
            VaultDamaged: It is missing, damaged, of another format, or out of bounds.
        """
        fields = read_checked(path)
        try:
            if fields["format"] != formats.HEADER:
                raise VaultDamaged(
                    "This vault has a format that this version does not know.",
                    hint="Open it with the version that made it, or a newer one.",
                    code="vault_format",
                )
            slots = tuple(Slot.from_json(slot) for slot in fields["slots"])
            if not 1 <= len(slots) <= MAX_SLOTS:
                raise ValueError("number of slots out of bounds")
            texts = [fields[name] for name in ("vault_id", "created", "audit_public_key", "mac")]
            vault_id, created, public_key, mac = (str(text) for text in texts)
        except (KeyError, TypeError, ValueError):
            raise VaultDamaged(
                f"{path.name} is not the header of a vault.",
                hint="Restore this file from a backup of the home folder.",
            ) from None
        return cls(vault_id, created, public_key, slots, mac)

    def unwrap(self, secret: str) -> tuple[Slot, bytes]:
        """Return the slot that opens with a passphrase or a recovery key, and the master key.

        Raises:
            WrongPassphrase: No slot opens.
            VaultDamaged: A slot opens, but the header's MAC does not verify.
        """
        recovery = read_recovery_key(secret)
        for slot in self.slots:
            if recovery is not None:
                kek = derive(recovery, slot.salt, "recovery-slot")
            elif slot.settings is not None:
                kek = derive_from_passphrase(secret, slot.salt, slot.settings)
            else:
                continue
            master = slot.open(self.vault_id, kek)
            if master is None:
                continue
            if not self.verifies(master):
                raise VaultDamaged(
                    "The vault's header was changed by someone without its keys.",
                    hint="Restore vault.json from a backup of the home folder.",
                )
            return slot, master
        raise WrongPassphrase(
            "The passphrase or recovery key does not open this vault; nothing was changed.",
            hint="Try again, or use the printed recovery key: `workbench vault recover`.",
        )
