"""`workbench audit`: the sealed, chained log of what was done."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any

from workbench.cli.access import unlock
from workbench.cli.console import Console
from workbench.durable import publish_bytes
from workbench.errors import BadInput, UsageError, VaultDamaged
from workbench.wording import count

_FAULTS = {
    "": "unbroken",
    "entry": "BROKEN: the next entry was changed, taken out, doubled or moved",
    "end": "BROKEN: its end is not the one that was vouched for; entries may have been cut off",
    "key": "BROKEN: another key than the given one signed it",
}


def add_to(commands: Any, common: argparse.ArgumentParser) -> None:
    """Register the parsers."""
    group = commands.add_parser("audit", parents=[common], help="the log of what was done")
    actions = group.add_subparsers(metavar="ACTION", required=True)
    for name, handler, text in (
        ("list", _list, "every entry"),
        ("verify", _verify, "check the chain and its signed head"),
        ("head", _head, "one line to note elsewhere: it fixes all entries so far"),
        ("export", _export, "write the log, its signature and the public key to a file"),
    ):
        action = actions.add_parser(name, parents=[common], help=text)
        if handler is _export:
            action.add_argument(
                "--out", type=Path, required=True, metavar="FILE", help="a new file, in the clear"
            )
        if handler is _verify:
            action.add_argument(
                "--file",
                type=Path,
                metavar="FILE",
                help="check an exported log instead; needs no vault",
            )
            action.add_argument(
                "--public-key",
                metavar="KEY",
                help="the key that signed it, noted elsewhere (hexadecimal)",
            )
        action.set_defaults(handler=handler)


def _list(options: argparse.Namespace, console: Console) -> None:
    entries = [dict(entry.to_json()) for entry in unlock(options).audit.entries()]
    lines = [f"{e['time']}  {e['event']}  {json.dumps(e['detail'])}" for e in entries]
    console.result({"entries": entries}, lines or ["The log is empty."])


def _verify(options: argparse.Namespace, console: Console) -> int:
    from workbench.vault.audit_chain import verify_export

    if options.public_key is not None and options.file is None:
        raise UsageError("--public-key goes with --file: the vault knows its own key.")
    if options.file is not None:
        try:
            with options.file.open(encoding="utf-8", errors="replace") as lines:
                check = verify_export(lines, options.public_key)
        except OSError as error:
            raise BadInput(
                f"{options.file} cannot be read ({error.strerror}).",
                hint="Name a file that `workbench audit export` wrote.",
            ) from error
    else:
        check = unlock(options).audit.verify()
    said = f"{count(check.entries, 'entry', 'entries')}, {_FAULTS[check.fault]}"
    console.result(
        {"entries": check.entries, "ok": check.ok, "head": check.head, "fault": check.fault},
        [said, f"head {check.head}"],
    )
    return 0 if check.ok else VaultDamaged.exit_code


def _head(options: argparse.Namespace, console: Console) -> None:
    head = unlock(options).audit.head()
    console.result({"head": head}, [head])


def _export(options: argparse.Namespace, console: Console) -> None:
    if os.path.lexists(options.out):
        raise BadInput(
            f"{options.out} is there already; nothing was written.",
            hint="Name a new file.",
            code="out_exists",
        )
    lines = "\n".join(unlock(options).audit.export()) + "\n"
    try:
        publish_bytes(options.out.absolute(), lines.encode())
    except OSError as error:
        raise BadInput(
            f"{options.out} cannot be written ({error.strerror}).",
            hint="Name a file in a folder that exists and that you may write to.",
        ) from error
    console.result({"file": str(options.out)}, [f"Wrote the log to {options.out}."])
