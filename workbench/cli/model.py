"""`workbench model`: the shelf of base models."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

from workbench.cli.access import unlock
from workbench.cli.console import Console, table
from workbench.errors import VaultDamaged
from workbench.wording import count, size


def add_to(commands: Any, common: argparse.ArgumentParser) -> None:
    """Register the parsers."""
    group = commands.add_parser("model", parents=[common], help="the base-model shelf")
    actions = group.add_subparsers(metavar="ACTION", required=True)
    add = actions.add_parser("add", parents=[common], help="check a folder and put it on the shelf")
    add.add_argument(
        "folder", type=Path, metavar="DIR", help="holds config.json and the .safetensors files"
    )
    add.add_argument("--name", required=True, metavar="M", help="what to call the model")
    add.add_argument(
        "--weights",
        choices=("copy", "reference"),
        default="copy",
        help="copy the weights into the vault's home, or refer to where they lie",
    )
    add.set_defaults(handler=_add)
    listing = actions.add_parser("list", parents=[common], help="the models on the shelf")
    listing.set_defaults(handler=_list)
    for name, handler, text in (
        ("show", _show, "facts about one model"),
        ("verify", _verify, "hash every file again"),
        ("remove", _remove, "take a model off the shelf"),
    ):
        action = actions.add_parser(name, parents=[common], help=text)
        action.add_argument("name", metavar="M", help="a model on the shelf")
        if handler is _remove:
            action.add_argument(
                "--force", action="store_true", help="even when adapters were trained on it"
            )
        action.set_defaults(handler=handler)


def _lines(document: dict[str, Any]) -> list[str]:
    return [
        f"{document['model']}: {document['family']}, {count(document['parameters'])} parameters, "
        f"{document['layers']} layers, context {count(document['context'])}, "
        f"{size(document['bytes'])}",
        f"sha256 {document['sha256']}",
        _template_line(document["chat_template"]),
        *(f"  ignored {item['name']}: {item['reason']}" for item in document.get("ignored", [])),
    ]


def _template_line(template: dict[str, Any]) -> str:
    if template["source"] == "own":
        return "chat template: the model's own"
    return f"chat template: the model has none; {template['name']} was chosen"


def _add(options: argparse.Namespace, console: Console) -> None:
    from workbench.models.shelf import add_model, show_model

    vault = unlock(options)
    add_model(
        vault,
        options.folder.absolute(),
        options.name,
        weights=options.weights,
        progress=console.progress,
    )
    document = show_model(vault, options.name)
    console.result(document, _lines(document))


def _list(options: argparse.Namespace, console: Console) -> None:
    from workbench.models.shelf import list_models, model_facts
    from workbench.planning.choosing import weigh
    from workbench.planning.probe import probe_hardware
    from workbench.runs.experience import with_experience

    vault = unlock(options)
    hardware = with_experience(probe_hardware(), vault)
    rows, models, lacking = [], [], []
    for told in list_models(vault):
        entry = vault.catalogue.get("model", told["object_id"])
        weighed = weigh(entry.name, model_facts(entry), hardware)
        models.append({**told, "qlora": weighed.to_json()})
        fits = "yes" if weighed.has_room else "only just" if weighed.fits else "no"
        sizes = [count(told["parameters"]), count(told["context"]), size(told["bytes"])]
        rows.append([told["model"], told["family"], *sizes, fits])
        if not weighed.fits:
            lacking.append(
                f"{entry.name} does not fit here: QLoRA needs at least {size(weighed.needs)} of "
                f"{size(weighed.of)}. {weighed.lacking()}"
            )
    console.result(
        {"models": models},
        [
            *table(rows, ("MODEL", "FAMILY", "PARAMETERS", "CONTEXT", "SIZE", "QLORA FITS")),
            *([""] if lacking else []),
            *lacking,
        ]
        if rows
        else ["No models yet. Put one on the shelf with `workbench model add DIR --name NAME`."],
    )


def _show(options: argparse.Namespace, console: Console) -> None:
    from workbench.models.shelf import show_model

    document = show_model(unlock(options), options.name)
    console.result(document, _lines(document))


def _verify(options: argparse.Namespace, console: Console) -> int:
    from workbench.models.shelf import verify_model

    check = verify_model(unlock(options), options.name, progress=console.progress)
    console.result(
        {**asdict(check), "ok": not check.bad},
        [
            f"{count(check.files, 'file')}, {size(check.bytes)}: {len(check.bad)} changed",
            *check.bad,
        ],
    )
    return VaultDamaged.exit_code if check.bad else 0


def _remove(options: argparse.Namespace, console: Console) -> None:
    from workbench.models.shelf import remove_model
    from workbench.runs.listing import check_unneeded

    vault = unlock(options)
    check_unneeded(vault.home, vault.catalogue.get("model", options.name).object_id)
    remove_model(vault, options.name, force=options.force)
    console.result({"removed": options.name}, [f"Removed {options.name} from the shelf."])
