"""Which home a command works on, and how it gets the passphrase: never from an argument."""

from __future__ import annotations

import argparse
import getpass
import os
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from workbench.errors import Refused, UsageError
from workbench.vault.home import check_home, default_home

if TYPE_CHECKING:
    from workbench.vault.store import Vault

_LONGEST_SECRET = 4096


def home_of(options: argparse.Namespace) -> Path:
    """Return the home from --home, WORKBENCH_HOME or the platform's user data folder."""
    return home_named(getattr(options, "home", None))


def home_named(named: str | None) -> Path:
    """Return the home that `--home` named, or without it the default one.

    Raises:
        UsageError: It lies in the home of a user whom this machine does not know.
    """
    try:
        return Path(named).expanduser().absolute() if named else default_home()
    except RuntimeError as error:
        raise UsageError(
            "The home is named after a user whom this machine does not know.",
            hint="Name it by its whole path, in --home or WORKBENCH_HOME.",
            code="unknown_user",
        ) from error


def unlock(options: argparse.Namespace) -> Vault:
    """Open the vault and register what runs finished since it was last open.

    Raises:
        BadInput: There is no vault at this home.
        WrongPassphrase: No slot opens.
    """
    from workbench.adapters.registration import register_on_opening
    from workbench.vault.store import Vault

    home = home_of(options)
    # Before anybody types a passphrase for it.
    check_home(home)
    vault = Vault.unlock(home, read_secret(options, "Passphrase: "))
    register_on_opening(vault)
    return vault


def read_secret(options: argparse.Namespace, prompt: str, *, confirm: bool = False) -> str:
    """Return the passphrase from --passphrase-fd, WORKBENCH_PASSPHRASE_FILE or the terminal.

    Raises:
        Refused: The file can be read by others.
        UsageError: There is no terminal to ask on, or the two entries differ.
    """
    descriptor = getattr(options, "passphrase_fd", None)
    if descriptor is not None:
        try:
            with os.fdopen(os.dup(descriptor), "rb") as source:
                return _decoded(source.read(_LONGEST_SECRET + 1))
        except OSError as error:
            raise UsageError(
                f"The passphrase cannot be read from descriptor {descriptor}.",
                hint="Open it in the calling shell, e.g. `--passphrase-fd 3 3<file`.",
            ) from error
    named = os.environ.get("WORKBENCH_PASSPHRASE_FILE")
    if named:
        return _from_file(Path(named))
    hint = "Give --passphrase-fd N, or a 0600 file in WORKBENCH_PASSPHRASE_FILE."
    return ask_secret(prompt, confirm=confirm, hint=hint)


def ask_secret(prompt: str, *, confirm: bool, hint: str) -> str:
    """Ask on the terminal, twice with `confirm`.

    Raises:
        UsageError: There is no terminal to ask on, or the two entries differ.
    """
    if not sys.stdin.isatty():
        raise UsageError(
            "A passphrase is needed and there is no terminal to ask on.",
            hint=hint,
            code="no_passphrase",
        )
    secret = getpass.getpass(prompt)
    if confirm and getpass.getpass("Again: ") != secret:
        raise UsageError("The two entries differ; nothing was changed.")
    return secret


def _from_file(path: Path) -> str:
    try:
        with path.open("rb") as source:
            mode = os.fstat(source.fileno()).st_mode
            if stat.S_IMODE(mode) & 0o077:
                raise Refused(
                    f"The passphrase file {path} can be read by others.",
                    hint=f"Close it with `chmod 600 {path}`, or use --passphrase-fd.",
                    code="open_passphrase_file",
                )
            return _decoded(source.read(_LONGEST_SECRET + 1))
    except OSError as error:
        raise UsageError(
            f"The passphrase file {path} cannot be read ({error.strerror}).",
            hint="Check WORKBENCH_PASSPHRASE_FILE.",
        ) from error


def _decoded(data: bytes) -> str:
    if len(data) > _LONGEST_SECRET:
        raise UsageError("The passphrase is longer than 4096 bytes.")
    try:
        secret = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UsageError("The passphrase is not valid UTF-8.") from error
    # One line feed is what editors and `echo` add; anything else belongs to the passphrase.
    return secret.removesuffix("\n").removesuffix("\r")
