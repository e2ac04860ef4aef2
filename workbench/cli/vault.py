"""`workbench init` and `workbench vault`: keys and scrub."""

from __future__ import annotations

import argparse
from typing import Any

from workbench.cli.access import ask_secret, home_of, read_secret, unlock
from workbench.cli.console import Console
from workbench.errors import VaultDamaged
from workbench.vault.home import check_home
from workbench.wording import count, size

_RECOVERY_ADVICE = (
    "Write this recovery key down and keep it away from this machine. It is shown once, and it",
    "opens the vault when every passphrase is lost; without both, the data is gone for good.",
)


def add_to(commands: Any, common: argparse.ArgumentParser) -> None:
    """Register the parsers."""
    init = commands.add_parser("init", parents=[common], help="make the vault")
    init.add_argument(
        "--kdf",
        choices=("standard", "light"),
        default="standard",
        help="cost of a passphrase guess: 256 MiB (standard) or 64 MiB (light) of memory",
    )
    init.set_defaults(handler=_init)

    group = commands.add_parser(
        "vault", parents=[common], help="its keys, and a check of all of it"
    )
    actions = group.add_subparsers(metavar="ACTION", required=True)
    for name, handler, text in (
        ("status", _status, "what is here; needs no passphrase"),
        ("passphrase", _passphrase, "change the passphrase"),
        ("rekey", _rekey, "replace the master key and the keyring's"),
        ("recover", _recover, "set a new passphrase with the recovery key"),
        ("verify", _verify, "read and check every sealed byte"),
    ):
        action = actions.add_parser(name, parents=[common], help=text)
        if handler in (_passphrase, _recover):
            action.add_argument(
                "--new-passphrase-fd",
                type=int,
                metavar="N",
                help="read the new passphrase from this descriptor",
            )
        action.set_defaults(handler=handler)


def _init(options: argparse.Namespace, console: Console) -> None:
    from workbench.vault.store import Vault

    home = home_of(options)
    secret = read_secret(options, "New passphrase: ", confirm=True)
    vault, recovery_key = Vault.create(home, secret, kdf=options.kdf)
    console.result(
        {"vault_id": vault.vault_id, "recovery_key": recovery_key},
        [
            f"A vault was made at {home}.",
            "",
            f"    {recovery_key}",
            "",
            *_RECOVERY_ADVICE,
        ],
    )


def _status(options: argparse.Namespace, console: Console) -> None:
    from workbench.vault.store import status

    home = home_of(options)
    check_home(home)
    document = dict(status(home))
    console.result(document, [f"{name}: {value}" for name, value in document.items()])


def _new_secret(options: argparse.Namespace) -> str:
    fresh = argparse.Namespace(passphrase_fd=options.new_passphrase_fd)
    if options.new_passphrase_fd is None:
        # A file in the environment names the passphrase in force, never the new one.
        return ask_secret("New passphrase: ", confirm=True, hint="Give --new-passphrase-fd N.")
    return read_secret(fresh, "New passphrase: ")


def _passphrase(options: argparse.Namespace, console: Console) -> None:
    from workbench.vault.store import Vault

    home = home_of(options)
    check_home(home)
    old = read_secret(options, "Passphrase: ")
    vault = Vault.unlock(home, old)
    vault.change_passphrase(old, _new_secret(options))
    console.result({"changed": True}, ["The passphrase was changed; the data was not touched."])


def _rekey(options: argparse.Namespace, console: Console) -> None:
    from workbench.vault.store import Vault

    home = home_of(options)
    check_home(home)
    secret = read_secret(options, "Passphrase: ")
    recovery_key = Vault.unlock(home, secret).rekey(secret)
    console.result(
        {"changed": True, "recovery_key": recovery_key},
        [
            "The master key was replaced, and with it the recovery key:",
            "",
            f"    {recovery_key}",
            "",
            *_RECOVERY_ADVICE,
        ],
    )


def _recover(options: argparse.Namespace, console: Console) -> None:
    from workbench.vault.store import Vault

    home = home_of(options)
    check_home(home)
    key = read_secret(options, "Recovery key: ")
    Vault.recover(home, key, _new_secret(options))
    console.result({"changed": True}, ["The new passphrase opens the vault now."])


def _verify(options: argparse.Namespace, console: Console) -> int:
    vault = unlock(options)
    report = vault.verify(progress=console.progress)
    bad = list(report.bad)
    console.result(
        {"objects": report.objects, "bytes": report.bytes, "bad": bad},
        [f"{count(report.objects, 'object')}, {size(report.bytes)}: {len(bad)} damaged", *bad],
    )
    return VaultDamaged.exit_code if bad else 0
