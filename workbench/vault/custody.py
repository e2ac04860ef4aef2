"""The custody of a vault's keys: every change to its header and its keyring is made here.

Writers hold one lock and check, inside it, that the header still verifies under their master key;
readers of either file share the lock, because a replaced file is overwritten before it goes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from workbench import durable
from workbench.errors import BadInput, NotFound, VaultError
from workbench.vault.header import MAX_SLOTS, PASSPHRASE, RECOVERY, Header, Slot
from workbench.vault.home import HEADER_NAME
from workbench.vault.ids import check_id
from workbench.vault.keyring import Keyring
from workbench.vault.locking import hold
from workbench.vault.sealed import KEY_BYTES, DataKey
from workbench.vault.secrets import (
    STANDARD,
    Argon2Settings,
    check_passphrase,
    derive,
    new_recovery_key,
)

KEYRING_NAME = "keyring"
LOCK_NAME = "locks/keys.lock"


def read_header(home: Path) -> Header:
    """Read the header of a vault's home; it is not authenticated by this.

    Raises:
        VaultDamaged: It is missing, damaged or out of bounds.
    """
    with hold(home / LOCK_NAME, shared=True):
        return Header.read(home / HEADER_NAME)


def ring_wrapping(vault_id: str, master: bytes) -> bytes:
    """Return the key that wraps the ring key."""
    return derive(master, vault_id.encode(), "ring-wrapping")


class Custody:
    """The keys of one unlocked vault."""

    def __init__(self, home: Path, vault_id: str, master: bytes) -> None:
        """Take custody; `master` has been unwrapped from the header at `home`."""
        self._home = home
        self._vault_id = vault_id
        self._master = master

    @classmethod
    def open(cls, home: Path, secret: str) -> Self:
        """Unwrap the master key with a passphrase or the recovery key.

        Raises:
            WrongPassphrase: No slot opens; nothing was touched.
            VaultDamaged: The header does not verify.
        """
        header = read_header(home)
        _, master = header.unwrap(secret)
        custody = cls(home, header.vault_id, master)
        custody._finish_rekey()
        return custody

    @property
    def vault_id(self) -> str:
        """The vault's id."""
        return self._vault_id

    # -- the keyring ---------------------------------------------------------------------------

    def keyring(self) -> Keyring:
        """Read the keyring as it is now.

        Raises:
            VaultDamaged: It does not verify.
            VaultError: Another process changed the master key (code `vault_rekeyed`).
        """
        with hold(self._home / LOCK_NAME, shared=True):
            return self._read_keyring()

    def _read_keyring(self) -> Keyring:
        wrapping = ring_wrapping(self._vault_id, self._master)
        return Keyring.read(self._home / KEYRING_NAME, self._vault_id, wrapping)

    def header(self) -> Header:
        """Read the header as it is now, and verify it.

        Raises:
            VaultError: Another process changed the master key (code `vault_rekeyed`).
        """
        header = read_header(self._home)
        self._check(header)
        return header

    def _check(self, header: Header) -> None:
        if header.vault_id != self._vault_id or not header.verifies(self._master):
            raise VaultError(
                "The vault's master key was changed since this session unlocked it.",
                hint="Unlock the vault again.",
                code="vault_rekeyed",
            )

    @contextmanager
    def _changing(self) -> Iterator[Header]:
        with hold(self._home / LOCK_NAME):
            header = Header.read(self._home / HEADER_NAME)
            self._check(header)
            # What a killed writer staged holds wrapped keys, which no deletion may leave behind.
            for name in (HEADER_NAME, KEYRING_NAME):
                durable.sweep_stages(self._home, name)
            yield header

    def _publish_keyring(self, keyring: Keyring) -> None:
        durable.replace_and_overwrite(self._home / KEYRING_NAME, keyring.encode())

    def data_keys(self) -> dict[str, DataKey]:
        """Return the keys of all objects that are not shredded, by object id."""
        keys = self.keyring().keys
        return {name: DataKey(self._vault_id, name, secret) for name, secret in keys.items()}

    def new_key(self, object_id: str) -> DataKey:
        """Make the key of a new object; it is wrapped and on disk when this returns.

        Raises:
            BadInput: The object has a key already, or this is no object id.
        """
        check_id(object_id)
        with self._changing():
            keyring = self._read_keyring()
            if object_id in keyring.keys:
                raise BadInput(f"{object_id} has a key already.", code="key_exists")
            secret = os.urandom(KEY_BYTES)
            self._publish_keyring(keyring.with_key(object_id, secret))
        return DataKey(self._vault_id, object_id, secret)

    def shred(self, object_id: str) -> bool:
        """Destroy an object's key, under a fresh ring key; False where there was none."""
        check_id(object_id)
        with self._changing():
            keyring = self._read_keyring()
            if object_id not in keyring.keys:
                return False
            wrapping = ring_wrapping(self._vault_id, self._master)
            self._publish_keyring(keyring.without_key(object_id, wrapping))
        return True

    # -- the header ----------------------------------------------------------------------------

    def _publish_slots(self, header: Header, slots: tuple[Slot, ...], master: bytes) -> None:
        if len(slots) > MAX_SLOTS:
            raise BadInput(f"A vault has at most {MAX_SLOTS} slots.", code="slots_full")
        path = self._home / HEADER_NAME
        durable.replace_and_overwrite(path, header.with_slots(slots, master).encode())

    def change_passphrase(self, old: str, new: str) -> None:
        """Put a new passphrase for the one that is given; only the header is rewritten.

        Raises:
            WrongPassphrase: `old` opens no slot.
            BadInput: `new` is too weak, or `old` is a recovery key (see `replace_passphrases`).
        """
        check_passphrase(new)
        opened, _ = self.header().unwrap(old)
        if opened.settings is None:
            raise BadInput(
                "A recovery key is not changed as a passphrase is.",
                hint="`workbench vault recover` sets a new passphrase with it.",
                code="not_a_passphrase",
            )
        slot = self._passphrase_slot(new, opened.settings)

        def replaced(slots: tuple[Slot, ...]) -> tuple[Slot, ...]:
            _check_still_there(opened, slots)
            return tuple(slot if each == opened else each for each in slots)

        self._change_slots(replaced)

    def replace_passphrases(self, new: str) -> None:
        """Put `new` for all passphrases, at the cost of the first; recovery keys stay."""
        check_passphrase(new)
        settings = (slot.settings for slot in self.header().slots)
        slot = self._passphrase_slot(new, next(filter(None, settings), STANDARD))
        self._change_slots(lambda slots: (slot, *(each for each in slots if each.kind == RECOVERY)))

    def add_passphrase(self, new: str, settings: Argon2Settings = STANDARD) -> str:
        """Add a slot for one more passphrase and return its slot id."""
        check_passphrase(new)
        slot = self._passphrase_slot(new, settings)
        self._change_slots(lambda slots: (*slots, slot))
        return slot.slot_id

    def renew_recovery_key(self) -> str:
        """Put a fresh recovery key for all earlier ones and return it as printed."""
        printed, recovery = new_recovery_key()
        slot = Slot.for_recovery_key(self._vault_id, recovery, self._master)
        self._change_slots(lambda slots: (*(each for each in slots if each.kind != RECOVERY), slot))
        return printed

    def remove_slot(self, slot_id: str) -> None:
        """Remove a slot.

        Raises:
            NotFound: There is no such slot.
            BadInput: It is the last passphrase (code `last_passphrase`).
        """

        def removed(slots: tuple[Slot, ...]) -> tuple[Slot, ...]:
            kept = tuple(each for each in slots if each.slot_id != slot_id)
            if len(kept) == len(slots):
                raise NotFound("The vault has no slot with this id.")
            if all(each.kind != PASSPHRASE for each in kept):
                raise BadInput("The last passphrase cannot be removed.", code="last_passphrase")
            return kept

        self._change_slots(removed)

    def _passphrase_slot(self, passphrase: str, settings: Argon2Settings) -> Slot:
        return Slot.for_passphrase(self._vault_id, passphrase, settings, self._master)

    def _change_slots(self, change: Callable[[tuple[Slot, ...]], tuple[Slot, ...]]) -> None:
        with self._changing() as header:
            self._publish_slots(header, change(header.slots), self._master)

    # -- the master key ------------------------------------------------------------------------

    def rekey(self, passphrase: str) -> str:
        """Change the master key and the ring key; return the new recovery key as printed.

        The slot of `passphrase` is kept under the new master key. All other slots go, because
        their passphrases are not known here. Data keys stay: an object whose own key leaked has
        to be imported anew.

        The order is what makes a crash harmless: first the keyring opens with both master keys,
        then the header changes from the old to the new one, then the keyring forgets the old.

        Raises:
            WrongPassphrase: `passphrase` opens no slot.
            BadInput: A recovery key was given, or the passphrase was changed meanwhile.
        """
        opened, _ = self.header().unwrap(passphrase)
        if opened.settings is None:
            raise BadInput(
                "Changing the master key takes a passphrase, not a recovery key.",
                code="not_a_passphrase",
            )
        master = os.urandom(KEY_BYTES)
        printed, recovery = new_recovery_key()
        slots = (
            Slot.for_passphrase(self._vault_id, passphrase, opened.settings, master),
            Slot.for_recovery_key(self._vault_id, recovery, master),
        )
        with self._changing() as header:
            # Or a passphrase that somebody just replaced would open the vault again.
            _check_still_there(opened, header.slots)
            keyring = self._read_keyring()
            wrapping = ring_wrapping(self._vault_id, master)
            self._publish_keyring(keyring.also_wrapped(wrapping))
            self._publish_slots(header, slots, master)
            self._master = master
            self._publish_keyring(keyring.under_fresh_ring(wrapping))
        return printed

    def _finish_rekey(self) -> None:
        """Forget the other master key where `rekey` was cut short, before or after its change."""
        if len(self.keyring().wraps) > 1:
            with self._changing():
                wrapping = ring_wrapping(self._vault_id, self._master)
                self._publish_keyring(self._read_keyring().under_fresh_ring(wrapping))


def _check_still_there(opened: Slot, slots: tuple[Slot, ...]) -> None:
    if opened not in slots:
        raise BadInput("The passphrase was changed meanwhile.", code="slot_gone")
