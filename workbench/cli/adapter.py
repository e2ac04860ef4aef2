"""`workbench adapter`: the library."""

from __future__ import annotations

import argparse
from typing import Any

from workbench.cli.access import unlock
from workbench.cli.console import Console, table
from workbench.errors import VaultDamaged
from workbench.wording import size


def add_to(commands: Any, common: argparse.ArgumentParser) -> None:
    """Register the parsers."""
    group = commands.add_parser("adapter", parents=[common], help="what was trained")
    actions = group.add_subparsers(metavar="ACTION", required=True)
    listing = actions.add_parser("list", parents=[common], help="the adapters in the library")
    listing.set_defaults(handler=_list)
    for name, handler, text in (
        ("show", _show, "facts about one adapter"),
        ("verify", _verify, "read and check its sealed files"),
        ("remove", _remove, "shred an adapter's key and delete it"),
    ):
        action = actions.add_parser(name, parents=[common], help=text)
        action.add_argument("name", metavar="A", help="an adapter of the library")
        action.set_defaults(handler=handler)
    tag = actions.add_parser("tag", parents=[common], help="tags and a note, to find it by")
    tag.add_argument("name", metavar="A", help="the adapter")
    tag.add_argument("--add", nargs="+", default=[], metavar="TAG", help="tags to put on it")
    tag.add_argument("--remove", nargs="+", default=[], metavar="TAG", help="tags to take off")
    tag.add_argument("--note", metavar="TEXT", help="in place of the note before; empty: none")
    tag.set_defaults(handler=_tag)
    compare = actions.add_parser("compare", parents=[common], help="two adapters side by side")
    compare.add_argument("first", metavar="A", help="one adapter")
    compare.add_argument("second", metavar="B", help="the other")
    compare.set_defaults(handler=_compare)


def _list(options: argparse.Namespace, console: Console) -> None:
    from workbench.adapters.library import list_adapters

    found = list_adapters(unlock(options))
    rows = [
        [
            d["adapter"],
            d["base"]["name"],
            d["method"],
            str(d["rank"]),
            size(d["bytes"]),
            ", ".join(d["tags"]),
        ]
        for d in found
    ]
    console.result(
        {"adapters": found},
        table(rows, ("ADAPTER", "BASE", "METHOD", "RANK", "SIZE", "TAGS"))
        if rows
        else ["The library is empty. Train an adapter with `workbench train`."],
    )


def _show(options: argparse.Namespace, console: Console) -> None:
    from workbench.adapters.library import show_adapter

    document = show_adapter(unlock(options), options.name)
    console.result(document, [f"{name}: {value}" for name, value in document.items()])


def _verify(options: argparse.Namespace, console: Console) -> int:
    from workbench.adapters.library import verify_adapter

    bad = list(verify_adapter(unlock(options), options.name))
    console.result(
        {"adapter": options.name, "ok": not bad, "bad": bad},
        [f"{options.name}: " + ("sound" if not bad else "damaged"), *bad],
    )
    return VaultDamaged.exit_code if bad else 0


def _remove(options: argparse.Namespace, console: Console) -> None:
    from workbench.adapters.library import remove_adapter

    remove_adapter(unlock(options), options.name)
    console.result({"removed": options.name}, [f"Removed {options.name}; its key was shredded."])


def _tag(options: argparse.Namespace, console: Console) -> None:
    from workbench.adapters.annotating import note_adapter, tag_adapter

    vault = unlock(options)
    tags = tag_adapter(vault, options.name, add=options.add, remove=options.remove)
    if options.note is not None:
        note_adapter(vault, options.name, options.note)
    console.result(
        {"adapter": options.name, "tags": tags},
        [f"{options.name}: {', '.join(tags) or 'no tags'}"],
    )


def _compare(options: argparse.Namespace, console: Console) -> None:
    from workbench.adapters.comparing import compare_adapters

    document = compare_adapters(unlock(options), options.first, options.second)
    lines = [
        f"{'the same' if document['same_base'] else 'different'} base, "
        f"{'the same' if document['same_dataset'] else 'different'} dataset"
    ]
    for part in ("facts", "recipe", "metrics"):
        rows = [[key, *map(str, pair)] for key, pair in document[part].items()]
        if rows:
            lines += ["", *table(rows, (part.upper(), *document["adapters"]))]
    console.result(document, lines)
