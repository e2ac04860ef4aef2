"""The vault: a home folder with its keys, its catalogue and its audit log.

Locks are taken in the order catalogue, keys, audit. The master key lives in this process while
the vault is unlocked, and Python cannot wipe it: an unlocked vault trusts the machine it is on.
"""

from __future__ import annotations

import os
import secrets as randomness
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, Self

from workbench import durable
from workbench.errors import BadInput, NotFound, Refused
from workbench.vault import scrub
from workbench.vault.audit import AuditLog, create_log
from workbench.vault.catalogue import Catalogue, create_catalogue
from workbench.vault.custody import (
    KEYRING_NAME,
    Custody,
    read_header,
    ring_wrapping,
)
from workbench.vault.header import Header, Slot
from workbench.vault.home import HEADER_NAME, check_home
from workbench.vault.keyring import Keyring
from workbench.vault.sealed import JSON, KEY_BYTES, DataKey
from workbench.vault.secrets import (
    SETTINGS,
    STANDARD,
    Argon2Settings,
    check_passphrase,
    new_recovery_key,
)

FOLDERS = ("datasets", "models", "adapters", "runs", "locks")


def status(home: Path) -> dict[str, JSON]:
    """Return what can be said of a vault without its passphrase, unauthenticated.

    Raises:
        NotFound, Refused: As `check_home`.
        VaultDamaged: The header cannot be read.
    """
    check_home(home)
    header = read_header(home)
    slots: list[JSON] = []
    for slot in header.slots:
        costs: Mapping[str, JSON] = vars(slot.settings) if slot.settings else {}
        slots.append({"id": slot.slot_id, "kind": slot.kind, **costs})
    return {
        "home": str(home),
        "vault_id": header.vault_id,
        "created": header.created,
        "audit_public_key": header.audit_public_key,
        "slots": slots,
    }


class Vault:
    """An unlocked vault: `create`, `unlock` and `recover` return one.

    Attributes:
        home: The home folder.
        vault_id: 32 hexadecimal digits.
        catalogue: The sealed list of its objects.
        audit: Its audit log, which also signs for it.
    """

    def __init__(self, home: Path, custody: Custody, keyring: Keyring) -> None:
        """For the class methods; `keyring` has been opened by `custody`."""
        self.home = home
        self.vault_id = custody.vault_id
        self._custody = custody
        self.audit = AuditLog(home, self.vault_id, keyring.audit, keyring.signing)
        root_key = DataKey(self.vault_id, "catalogue", keyring.catalogue)
        self.catalogue = Catalogue(home, root_key, custody.data_keys)

    def __repr__(self) -> str:
        return f"Vault({str(self.home)!r})"

    @classmethod
    def create(
        cls, home: Path, passphrase: str, *, kdf: Literal["standard", "light"] = "standard"
    ) -> tuple[Self, str]:
        """Make a vault at `home`, which is missing or an empty folder; it appears all at once.

        Returns:
            The unlocked vault, and the recovery key as it is to be printed, once.

        Raises:
            BadInput: A vault or anything else stands there, or the passphrase is too weak.
            Refused: The folder that stands there cannot be replaced.
        """
        check_passphrase(passphrase)
        home = home.absolute()
        _make_room(home)
        vault_id, master = randomness.token_hex(16), os.urandom(KEY_BYTES)
        keyring = Keyring.new(vault_id, ring_wrapping(vault_id, master))
        printed, recovery = new_recovery_key()
        slots = (
            Slot.for_passphrase(vault_id, passphrase, SETTINGS[kdf], master),
            Slot.for_recovery_key(vault_id, recovery, master),
        )
        _keep_files_private()
        try:
            with durable.staged_folder(home) as stage:
                vault = cls(stage, Custody(stage, vault_id, master), keyring)
                for name in FOLDERS:
                    durable.make_private_folder(stage / name)
                durable.publish_bytes(stage / KEYRING_NAME, keyring.encode())
                create_catalogue(vault.catalogue)
                create_log(vault.audit)
                vault.audit.append("vault_created", {"kdf": kdf})
                now = datetime.now(UTC).isoformat(timespec="seconds")
                header = Header(vault_id, now, vault.audit.public_key, ())
                encoded = header.with_slots(slots, master).encode()
                durable.publish_bytes(stage / HEADER_NAME, encoded)
        except FileExistsError:
            raise _taken(home) from None
        return cls(home, Custody(home, vault_id, master), keyring), printed

    @classmethod
    def unlock(cls, home: Path, secret: str) -> Self:
        """Open the vault at `home` with a passphrase or the recovery key.

        Raises:
            NotFound: There is no vault.
            Refused: Others can enter the home folder.
            WrongPassphrase: No slot opens; nothing was touched.
            VaultDamaged: The header or the keyring does not verify.
        """
        home = home.absolute()
        check_home(home)
        custody = Custody.open(home, secret)
        _keep_files_private()
        return cls(home, custody, custody.keyring())

    @classmethod
    def recover(cls, home: Path, recovery_key: str, new_passphrase: str) -> Self:
        """Open the vault with its recovery key and put `new_passphrase` for all passphrases.

        The recovery key stays valid. Raises as `unlock`, and BadInput for a weak passphrase.
        """
        check_passphrase(new_passphrase)
        vault = cls.unlock(home, recovery_key)
        vault.replace_passphrases(new_passphrase)
        return vault

    # -- keys ----------------------------------------------------------------------------------

    def new_key(self, object_id: str) -> DataKey:
        """Make the key of a new object; it is wrapped and on disk when this returns.

        Raises:
            BadInput: The object has a key already, or this is no object id.
        """
        return self._custody.new_key(object_id)

    def key(self, object_id: str) -> DataKey:
        """Return the key of an object.

        Raises:
            NotFound: There is none, or it was shredded.
        """
        try:
            return self._custody.data_keys()[object_id]
        except KeyError:
            raise NotFound(f"The vault holds no key of {object_id}.") from None

    def key_ids(self) -> list[str]:
        """Return the ids of all objects that have a key, sorted."""
        return sorted(self._custody.data_keys())

    def shred(self, object_id: str) -> None:
        """Destroy an object's key: what it sealed can never be read again, wherever it lies.

        Shred first, then remove the files and the catalogue's entry: a crash between them leaves
        only unreadable remains. An object without key is left as it is.
        """
        if self._custody.shred(object_id):
            self.audit.append("key_shredded", {"object": object_id})

    def change_passphrase(self, old: str, new: str) -> None:
        """Put a new passphrase for `old`; only the header is rewritten.

        Raises:
            WrongPassphrase: `old` opens no slot.
            BadInput: `new` is too weak, or `old` is a recovery key.
        """
        self._custody.change_passphrase(old, new)
        self.audit.append("passphrase_changed")

    def replace_passphrases(self, new: str) -> None:
        """Put `new` for all passphrases, after the recovery key opened; BadInput if it is weak."""
        self._custody.replace_passphrases(new)
        self.audit.append("passphrase_recovered")

    def add_passphrase(self, new: str, *, settings: Argon2Settings = STANDARD) -> str:
        """Add one more passphrase and return its slot's id."""
        slot_id = self._custody.add_passphrase(new, settings)
        self.audit.append("slot_added", {"slot": slot_id})
        return slot_id

    def remove_slot(self, slot_id: str) -> None:
        """Remove a slot; raises NotFound, or BadInput for the last passphrase."""
        self._custody.remove_slot(slot_id)
        self.audit.append("slot_removed", {"slot": slot_id})

    def renew_recovery_key(self) -> str:
        """Put a fresh recovery key for the old one and return it as printed."""
        printed = self._custody.renew_recovery_key()
        self.audit.append("recovery_key_renewed")
        return printed

    def rekey(self, passphrase: str) -> str:
        """Change the master key; other slots go. Return the new recovery key as printed.

        Raises:
            WrongPassphrase: `passphrase` opens no slot.
        """
        printed = self._custody.rekey(passphrase)
        self.audit.append("master_key_changed")
        return printed

    # -- folders -------------------------------------------------------------------------------

    @property
    def datasets_folder(self) -> Path:
        """Sealed datasets, one DuckDB file each."""
        return self.home / "datasets"

    @property
    def models_folder(self) -> Path:
        """Base models, one folder each."""
        return self.home / "models"

    @property
    def adapters_folder(self) -> Path:
        """Sealed adapters, one folder each."""
        return self.home / "adapters"

    @property
    def runs_folder(self) -> Path:
        """Background jobs, one folder each."""
        return self.home / "runs"

    @property
    def locks_folder(self) -> Path:
        """Lock files, which are never removed."""
        return self.home / "locks"

    def verify(self, progress: Callable[[int, int, str], None] | None = None) -> scrub.VerifyReport:
        """Check every byte that the vault seals; see `workbench.vault.scrub`.

        Args:
            progress: Called with objects done, objects in all, and what is being checked.
        """
        return scrub.verify(self.home, self._custody, self.catalogue, self.audit, progress)


def _make_room(home: Path) -> None:
    durable.make_private_folder(home.parent)
    if not home.exists():
        return
    try:
        home.rmdir()
    except OSError:
        raise _taken(home) from None


def _taken(home: Path) -> BadInput | Refused:
    if (home / HEADER_NAME).exists():
        return BadInput(
            f"A vault stands at {home} already; it was not touched.",
            hint="Use it, or choose another folder with `--home`.",
            code="vault_exists",
        )
    if home.is_dir() and not any(home.iterdir()):
        return Refused(
            f"The folder {home} cannot be replaced by a vault.",
            hint=f"Choose one below: {home}/vault",
        )
    return BadInput(
        f"{home} is in use for something else.",
        hint="Choose a new folder with `--home`.",
        code="home_not_empty",
    )


def _keep_files_private() -> None:
    # From here on no file of this process is born readable by others, whichever library makes it
    # (DuckDB creates its files and its log by the umask).
    os.umask(0o077)
