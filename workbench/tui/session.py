"""What the screens work on: one home and, while it is unlocked, its vault.

Screens ask for `session.vault` each time they need it and keep no reference, so that locking
takes the keys away from all of them at once. Opening a vault imports DuckDB and `cryptography`;
nothing here does so before a passphrase was typed.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from workbench.errors import VaultError, WorkbenchError, told_by_system
from workbench.vault.home import check_home, holds_vault, home_gone

if TYPE_CHECKING:
    from workbench.vault.store import Vault


class Locked(VaultError):
    """The vault was locked while something wanted to read it."""

    default_code = "locked"
    default_hint = "Unlock it with your passphrase."


@dataclass(frozen=True)
class Tour:
    """What the demo has laid ready, so that every step only needs Enter.

    Attributes:
        files: Sample files to import.
        dataset: What the imported dataset is called.
        model: The model on the shelf.
        recipe: A recipe file that suits the sample.
        adapter: What the trained adapter is called.
        export: The folder that the last step exports to; not there yet.
        kept: Whether the home stays when the demo ends.
    """

    files: tuple[Path, ...]
    dataset: str
    model: str
    recipe: Path
    adapter: str
    export: Path
    kept: bool


class Session:
    """One home and its vault.

    Attributes:
        home: The vault's folder; it may not exist yet.
        tour: Set in the demo.
        recovered: Whether the recovery key opened it last, so that a new passphrase is due.
        starter_missing: Why the new vault holds no starter model; empty where it does.
        exports: The folder that holds the last export; None before there was one.
    """

    def __init__(self, home: Path, *, vault: Vault | None = None, tour: Tour | None = None) -> None:
        self.home = home
        self.tour = tour
        self.recovered = False
        self.starter_missing = ""
        self.exports: Path | None = None
        self._vault = vault

    @property
    def is_made(self) -> bool:
        """Whether a vault stands at the home."""
        return holds_vault(self.home)

    @property
    def is_open(self) -> bool:
        """Whether the vault is unlocked."""
        return self._vault is not None

    @property
    def vault(self) -> Vault:
        """The unlocked vault.

        Raises:
            Locked: It is not unlocked, or no longer.
            NotFound: Its folder is gone (code `home_gone`).
        """
        # Read once: another thread may lock it between a look and the return.
        vault = self._vault
        if vault is None:
            raise Locked("The vault is locked.")
        if not self.is_made:
            raise home_gone(self.home)
        return vault

    def create(self, passphrase: str, kdf: Literal["standard", "light"]) -> str:
        """Make the vault, unlock it, and return its recovery key as printed; takes a second.

        Raises:
            BadInput: The passphrase is too weak, or the home is not empty.
        """
        from workbench.models.shelf import add_starter
        from workbench.vault.store import Vault

        vault, recovery_key = Vault.create(self.home, passphrase, kdf=kdf)
        self._vault = vault
        # From here on the vault stands and its recovery key can be shown this once: whatever
        # becomes of the starter model, a full disk for one, must not keep the key from its owner.
        try:
            add_starter(vault)
        except (WorkbenchError, OSError) as error:
            told = told_by_system(error) if isinstance(error, OSError) else error
            self.starter_missing = told.message if told else "The system refused it."
        return recovery_key

    def unlock(self, secret: str) -> list[str]:
        """Open the vault and register what finished meanwhile; return the new adapters' names.

        Raises:
            WrongPassphrase: No slot opens.
            Refused: The home can be entered by others.
        """
        check_home(self.home)
        from workbench.adapters.registration import register_on_opening
        from workbench.vault.secrets import read_recovery_key
        from workbench.vault.store import Vault

        vault = Vault.unlock(self.home, secret)
        self.recovered = read_recovery_key(secret) is not None
        new = [entry.name for entry in register_on_opening(vault)]
        self._vault = vault
        return new

    def replace_passphrases(self, new: str) -> None:
        """Put a new passphrase for the one that was lost.

        Raises:
            BadInput: It is too weak. Locked: The vault was locked meanwhile.
        """
        self.vault.replace_passphrases(new)
        self.recovered = False

    def lock(self) -> None:
        """Drop the keys. Background jobs have their own and go on."""
        self._vault = None
