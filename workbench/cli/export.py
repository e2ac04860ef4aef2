"""`workbench export`: take an adapter or a merged model out, with proof of what it is."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from workbench.cli.access import unlock
from workbench.cli.console import Console
from workbench.wording import count, size


def add_to(commands: Any, common: argparse.ArgumentParser) -> None:
    """Register the parser."""
    parser = commands.add_parser("export", parents=[common], help="take a result out")
    parser.add_argument("name", metavar="A", help="an adapter of the library")
    parser.add_argument(
        "--to",
        required=True,
        metavar="peft|safetensors",
        dest="target",
        help="the adapter alone (peft), or merged into its base (safetensors)",
    )
    parser.add_argument(
        "--out", required=True, type=Path, metavar="DIR", help="a new folder, in the clear"
    )
    parser.add_argument(
        "--base",
        choices=("exact", "original"),
        default="exact",
        help="merge into the base as it was trained on (exact) or into the original weights",
    )
    parser.set_defaults(handler=_export)


def _export(options: argparse.Namespace, console: Console) -> None:
    from workbench.exports.service import export_adapter

    document = export_adapter(
        unlock(options),
        options.name,
        target=options.target,
        out=options.out.absolute(),
        base=options.base,
        progress=console.progress,
    )
    total = sum(item["bytes"] for item in document["files"])
    agreement = document["fidelity"]["top1_agreement"]
    console.result(
        document,
        [
            f"Wrote {count(len(document['files']), 'file')}, {size(total)}, to {options.out}.",
            f"Fidelity: {agreement:.1%} of next words as the adapter chose them.",
        ],
    )
