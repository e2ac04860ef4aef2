"""`workbench train`: start a run; with --wait, watch it to its end."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.cli.access import unlock
from workbench.cli.console import Console
from workbench.errors import DoesNotFit, JobFailed, UsageError
from workbench.runs.adjustments import adjustment_words
from workbench.wording import count, duration, size

if TYPE_CHECKING:
    from collections.abc import Callable

    from workbench.planning.probe import Hardware
    from workbench.runs.training import StartedRun
    from workbench.vault.store import Vault


def add_to(commands: Any, common: argparse.ArgumentParser) -> None:
    """Register the parser."""
    parser = commands.add_parser("train", parents=[common], help="fine-tune in the background")
    parser.add_argument("--model", required=True, metavar="M", help="a model on the shelf")
    parser.add_argument(
        "--dataset", required=True, action="append", metavar="D", help="a dataset of the vault"
    )
    parser.add_argument("--name", required=True, metavar="A", help="what to call the adapter")
    parser.add_argument(
        "--recipe", type=Path, metavar="F.toml", help="settings; --set goes over them"
    )
    parser.add_argument(
        "--set",
        dest="settings",
        nargs="+",
        action="extend",
        default=[],
        metavar="key=value",
        help="one setting of the recipe; `workbench help recipe` lists them",
    )
    parser.add_argument("--wait", action="store_true", help="watch; Ctrl+C detaches")
    parser.set_defaults(handler=_train)


def _train(options: argparse.Namespace, console: Console) -> None:
    from workbench import recipe
    from workbench.runs.training import start_training

    if len(options.dataset) > 1:
        raise UsageError("A run takes one dataset; import several files into one dataset instead.")
    if ":" in options.dataset[0]:
        # No dataset's name has a colon.
        raise UsageError(
            "A run takes one dataset, so there is nothing to weigh it against.",
            hint=f"Give `--dataset {options.dataset[0].partition(':')[0]}`.",
        )
    settings = recipe.load(options.recipe, options.settings)
    vault = unlock(options)
    started = start_training(
        vault,
        model=options.model,
        dataset=options.dataset[0],
        adapter=options.name,
        recipe=settings,
        measure=measuring(vault, console),
    )
    for warning in started.warnings:
        console.say(f"warning: {warning}")
    if not options.wait:
        console.result(
            {"run": started.run_id},
            [
                *started.advice,
                f"Run {started.run_id} trains in the background.",
                f"Watch it with `workbench run follow {started.run_id}`.",
            ],
        )
        return
    try:
        document = watch_training(vault, started, console)
    except KeyboardInterrupt:
        console.result(
            {"run": started.run_id, "state": "running"},
            [
                f"Detached: run {started.run_id} goes on.",
                f"Come back with `workbench run follow {started.run_id}`.",
            ],
        )
        return
    console.result(
        document,
        [
            f"Finished: loss {document['loss_first']:.3f} -> {document['loss_last']:.3f}, "
            f"{count(document['tokens'])} tokens at {document['tokens_per_second']:,.0f}/s, "
            f"peak {size(document['peak_bytes'])}.",
            f"The adapter {document['adapter']} is in the library.",
        ],
    )


def measuring(vault: Vault, console: Console) -> Callable[[Hardware], bool]:
    """Return what measures the machine before its first long run, and tells so."""

    def measure(hardware: Hardware) -> bool:
        from workbench.adapters.measuring import measure_once

        console.say("  measuring how fast this machine trains, once …")
        return measure_once(vault, hardware, console.progress)

    return measure


def watch_training(vault: Vault, started: StartedRun, console: Console) -> dict[str, Any]:
    """Follow a run to its end, register its adapter, and return the contract's fields.

    Raises:
        DoesNotFit: Memory ran out and nothing was left to make smaller.
        JobFailed: The run crashed, failed or was stopped.
    """
    from workbench.adapters.registration import register_finished
    from workbench.runs.follow import follow
    from workbench.runs.listing import show_run

    state = follow(started.folder, lambda event: show_event(event, console))
    register_finished(vault)
    if state.error.get("code") == "out_of_memory":
        raise DoesNotFit(
            f"Run {started.run_id} ran out of memory with one row at a time and every layer "
            "computed again; its checkpoints were kept.",
            hint="Train with a shorter context, a smaller rank or a smaller model; or end other "
            f"programs and go on with `workbench run resume {started.run_id}`.",
            code="out_of_memory",
        )
    if state.state != "finished":
        raise JobFailed(
            f"Run {started.run_id} ended as {state.state}; its checkpoints were kept.",
            hint=f"See `workbench run show {started.run_id}`; go on with "
            f"`workbench run resume {started.run_id}`.",
            code=f"run_{state.state}",
        )
    shown = show_run(vault.home, started.run_id)
    fields = (
        "state",
        "loss_first",
        "loss_last",
        "tokens",
        "tokens_per_second",
        "peak_bytes",
        "predicted_bytes",
        "protection",
    )
    entry = vault.catalogue.get("adapter", started.adapter_id)
    return {
        "run": started.run_id,
        "adapter": entry.name,
        **{name: shown[name] for name in fields},
    }


def _measured(event: dict[str, Any]) -> str:
    """Tell what training will read, and what was left out and why: nothing is cut silently."""
    line = "  " + ", ".join(count(event[f"{noun}s"], noun) for noun in ("record", "token", "step"))
    skipped = {**event.get("skipped", {})}
    for reason, number in event.get("validation_skipped", {}).items():
        skipped[reason] = skipped.get(reason, 0) + number
    left_out = [f"{count(n)} {reason.replace('_', ' ')}" for reason, n in skipped.items()]
    return f"{line}; left out: {', '.join(left_out)}" if left_out else line


def show_event(event: dict[str, Any], console: Console) -> None:
    """Tell one event of a run: steps move the progress line, milestones get a line."""
    try:
        _tell(event, console)
    except (KeyError, TypeError, ValueError, AttributeError):  # a field is gone, or of another kind
        console.say(f"  {event.get('type', 'something')}.")


def _tell(event: dict[str, Any], console: Console) -> None:
    kind = event["type"]
    if kind == "step":
        left = duration(event["eta_seconds"])
        console.progress(
            event["step"], event["steps"], f"training, loss {event['loss']:.3f}, {left} to go"
        )
    elif kind == "progress":
        console.progress(event["done"], event["total"], str(event["phase"]))
    elif kind == "queued":
        console.say("  waiting: another job has the device")
    elif kind == "loaded":
        console.say(f"  model loaded; {count(event['trainable'])} parameters will be trained")
    elif kind == "measured" and "steps" in event:
        console.say(_measured(event))
    elif kind == "evaluated":
        console.say(f"  step {event['step']}: held-out loss {event['loss']:.3f}")
    elif kind == "adjusted":
        console.say(f"  {adjustment_words(event)}")
    elif kind == "sampled":
        console.say(f"  step {event['step']}: sample {event['number']} taken")
    elif kind == "not_sampled":
        console.say(f"  step {event['step']}: no sample ({event['code']}); training goes on")
    elif kind == "checkpointed":
        console.say(f"  step {event['step']}: checkpoint sealed")
