"""`workbench plan`: what fits here, or on a card of a given size."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from workbench.cli.access import home_of, unlock
from workbench.cli.console import Console, table
from workbench.errors import BadInput, UsageError
from workbench.wording import duration, size

_LARGEST_CONFIG = 1 << 20


def add_to(commands: Any, common: argparse.ArgumentParser) -> None:
    """Register the parser."""
    parser = commands.add_parser(
        "plan", parents=[common], help="which method, rank and context fit the memory"
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--model", metavar="M", help="a model on the shelf")
    source.add_argument(
        "--config", type=Path, metavar="CONFIG.json", help="a model's config; needs no vault"
    )
    parser.add_argument("--dataset", metavar="D", help="take lengths and amounts from this dataset")
    parser.add_argument(
        "--memory", metavar="24GiB", help="plan for a card of this size, not for this machine"
    )
    parser.add_argument(
        "--method",
        choices=("auto", "qlora", "lora", "full"),
        default="auto",
        help="what is trained; auto: what fits best (default)",
    )
    for name, text in (
        ("--rank", "size of the adapter"),
        ("--context", "longest record in tokens"),
        ("--micro-batch", "rows that pass through the model together"),
        ("--recomputed-layers", "layers computed twice, to save memory"),
    ):
        parser.add_argument(name, type=int, metavar="N", help=f"{text}; chosen when not given")
    parser.add_argument(
        "--explain", action="store_true", help="say why, number by number, and what else would do"
    )
    parser.add_argument(
        "--trace",
        action="store_true",
        help="run two steps of the proposal without weights and compare; takes up to a minute",
    )
    parser.set_defaults(handler=_plan)


def read_config(path: Path) -> dict[str, Any]:
    """Return a model's config.json.

    Raises:
        BadInput: The file cannot be read, is too large, or holds no JSON object.
    """
    try:
        with path.open("rb") as source:
            data = source.read(_LARGEST_CONFIG + 1)
    except OSError as error:
        raise BadInput(
            f"{path} cannot be read ({error.strerror}).",
            hint="Name the config.json of a model's folder.",
        ) from error
    try:
        config = json.loads(data) if len(data) <= _LARGEST_CONFIG else None
    except (ValueError, RecursionError):
        config = None
    if not isinstance(config, dict):
        raise BadInput(
            f"{path} is not a model's config.json.",
            hint="Use config.json as the model's publisher gives it out.",
            code="bad_config",
        )
    return config


def _plan(options: argparse.Namespace, console: Console) -> None:
    from workbench.models.facts import facts_from_config
    from workbench.models.shelf import model_facts, model_folder
    from workbench.planning.after_training import after_training, unmanageable
    from workbench.planning.measured import with_measurement
    from workbench.planning.planner import make_plan, settled
    from workbench.planning.probe import probe_hardware
    from workbench.planning.tracing import trace
    from workbench.recipe import Recipe, parse_memory

    memory = None if options.memory is None else parse_memory(options.memory)
    if options.method == "full" and options.rank is not None:
        raise UsageError(
            "Full fine-tuning has no adapter, and so no rank.",
            hint="Leave --rank out, or choose --method qlora or lora.",
        )
    rows, hardware = None, probe_hardware()
    if options.config is not None:
        if options.dataset:
            raise UsageError("--dataset goes with --model: a sealed dataset needs the vault.")
        config = read_config(options.config)
        facts = facts_from_config(config)
        hardware = with_measurement(hardware, home_of(options))
    else:
        from workbench.runs.experience import with_experience

        vault = unlock(options)
        base = vault.catalogue.get("model", options.model)
        facts = model_facts(base)
        config = read_config(model_folder(vault, base.object_id) / "config.json")
        hardware = with_experience(hardware, vault, base.object_id)
        if options.dataset:
            from workbench.runs.training import measure_lengths

            rows = measure_lengths(vault, base, vault.catalogue.get("dataset", options.dataset))
    plan = make_plan(
        facts,
        hardware if memory is None else memory,
        dataset=rows,
        method=options.method,
        rank=options.rank,
        context=options.context,
        micro_batch=options.micro_batch,
        recomputed_layers=options.recomputed_layers,
    )
    document = plan.to_json()
    if plan.chosen is not None:
        after = unmanageable(facts, plan.chosen, plan.budget)
        document["advice"] += [note.text for note in after]
        document["advice_codes"] += [note.code for note in after]
        document["after"] = after_training(facts, plan.chosen, plan.budget)
    if options.explain:
        from workbench.planning.explaining import explain

        document["explanation"] = list(explain(facts, plan, rows))
    lines = _lines(document)
    if options.trace:
        chosen = plan.chosen or plan.candidates[0]
        document["trace"] = trace(config, settled(Recipe(), chosen), chosen, plan.budget)
        lines += ["", *_compared(document["trace"], chosen.predicted.to_json())]
    console.result(document, lines)


def _compared(traced: dict[str, Any], predicted: dict[str, int]) -> list[str]:
    """Return the table of a trace; what is at work in a layer is not divided any further."""
    parts = traced["parts"]
    rows = []
    for name, ours, theirs in (
        ("weights", ("weights",), ("weights", "constants")),
        ("adapters", ("adapters",), ("adapters",)),
        ("gradients", ("gradients",), ("gradients",)),
        ("optimizer", ("optimizer",), ("optimizer",)),
        (
            "activations, workspace",
            ("activations", "workspace"),
            ("activations", "stream", "workspace", "other"),
        ),
        ("logits", ("logits",), ("logits",)),
    ):
        amounts = (
            sum(predicted[each] for each in ours),
            sum(parts.get(each, 0) for each in theirs),
        )
        rows.append([name, *(size(amount) for amount in amounts)])
    rows.append(["in all", size(traced["predicted_bytes"]), size(traced["peak_bytes"])])
    return [
        *table(rows, ("PART", "PREDICTED", "TRACED")),
        "",
        f"The trace is fullest at {_MOMENTS.get(traced['moment'], 'another moment')}; the "
        f"prediction differs by {100 * traced['difference']:+.1f} %. Both leave out what the "
        "device or the program takes besides.",
    ]


_MOMENTS = {
    "forward": "the forward pass",
    "loss": "the loss",
    "backward": "the backward pass",
    "update": "the update",
}


def _lines(document: dict[str, Any]) -> list[str]:
    rows = []
    for number, candidate in enumerate(document["candidates"]):
        seconds = candidate["seconds"]
        rows.append(
            [
                "*" if number == document["choice"] else "",
                candidate["method"],
                str(candidate["rank"]),
                str(candidate["context"]),
                f"{candidate['micro_batch']}x{candidate['accumulate']}",
                f"{candidate['recomputed_layers']}{' offload' if candidate['offload'] else ''}",
                size(candidate["predicted"]["total"]),
                "yes" if candidate["fits"] else "no",
                duration(seconds) if seconds else "",
            ]
        )
    header = ("", "METHOD", "RANK", "CONTEXT", "BATCH", "RECOMPUTED", "MEMORY", "FITS", "TIME")
    explained = document.get("explanation", [])
    told = [*document.get("advice", []), *([""] if explained else []), *explained]
    return [*table(rows, header), "", *told]
