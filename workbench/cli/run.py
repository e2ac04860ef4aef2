"""`workbench run`: list, follow and steer background jobs. Only `resume` needs the passphrase."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.cli.access import home_of, unlock
from workbench.cli.console import Console, table
from workbench.cli.train import show_event
from workbench.vault.home import check_home
from workbench.wording import duration

if TYPE_CHECKING:
    from workbench.runs.state import RunState


def add_to(commands: Any, common: argparse.ArgumentParser) -> None:
    """Register the parsers."""
    group = commands.add_parser("run", parents=[common], help="background jobs")
    actions = group.add_subparsers(metavar="ACTION", required=True)
    listing = actions.add_parser("list", parents=[common], help="every run, newest first")
    listing.set_defaults(handler=_list)
    for name, handler, text in (
        ("show", _show, "where a run stands"),
        ("follow", _follow, "watch a run; Ctrl+C detaches"),
        ("pause", _pause, "checkpoint and free the device"),
        ("resume", _resume, "go on from the last checkpoint"),
        ("stop", _stop, "checkpoint and end the run"),
        ("checkpoint", _checkpoint, "write a checkpoint now"),
    ):
        action = actions.add_parser(name, parents=[common], help=text)
        action.add_argument("run", metavar="R", help="a run's id, or the beginning of one")
        action.set_defaults(handler=handler)


def _checked_home(options: argparse.Namespace) -> Path:
    home = home_of(options)
    check_home(home)
    return home


def _list(options: argparse.Namespace, console: Console) -> None:
    from workbench.runs.listing import list_runs

    home = _checked_home(options)
    found = [state.to_json() for state in list_runs(home)]
    rows = [
        [
            d["run"],
            d["kind"],
            d["state"],
            f"{d['step']}/{d['steps']}" if d["steps"] else "",
            f"{d['loss']:.3f}" if d["loss"] is not None else "",
        ]
        for d in found
    ]
    console.result(
        {"runs": found},
        table(rows, ("RUN", "KIND", "STATE", "STEP", "LOSS"))
        if rows
        else ["No runs yet. Start one with `workbench train`."],
    )


def _lines(document: dict[str, Any]) -> list[str]:
    lines = [f"{document['run']}: {document['kind']}, {document['state']}"]
    if document["steps"]:
        loss, eta = document["loss"], document["eta_seconds"]
        lines.append(
            f"step {document['step']} of {document['steps']}"
            + (f", loss {loss:.3f}" if loss is not None else "")
            + (f", {duration(eta)} to go" if eta and document["state"] == "running" else "")
        )
    if document["state"] in ("pausing", "stopping"):
        verb = "pause" if document["state"] == "pausing" else "stop"
        lines.append(
            f"It was asked to {verb} and does so when the work at hand can be left: "
            f"`workbench run follow {document['run']}` waits for it."
        )
    if document["state"] in ("crashed", "paused"):
        lines.append(f"Go on with `workbench run resume {document['run']}`.")
    return lines


def _show(options: argparse.Namespace, console: Console) -> None:
    from workbench.runs.listing import show_run

    document = show_run(_checked_home(options), options.run)
    console.result(document, _lines(document))


def _follow(options: argparse.Namespace, console: Console) -> None:
    from workbench.runs.follow import follow
    from workbench.runs.listing import find_run, show_run

    home = _checked_home(options)
    folder = find_run(home, options.run)
    try:
        follow(folder, lambda event: show_event(event, console))
    except KeyboardInterrupt:
        console.say("Detached: the run goes on.")
    document = show_run(home, folder.name)
    console.result(document, _lines(document))


def _steer(options: argparse.Namespace, console: Console, verb: str) -> None:
    from workbench.runs import steering
    from workbench.runs.listing import find_run, show_run

    home = _checked_home(options)
    folder = find_run(home, options.run)
    told = show_run(home, folder.name)

    def delayed(state: RunState) -> None:
        place = f"at step {state.step} of {state.steps}" if state.steps else "not training yet"
        console.say(f"{state.run} is {place} and has not answered yet; waiting for it.")

    if verb == "pause":
        steering.pause(home, folder.name, on_delay=delayed)
    elif verb == "stop":
        steering.stop(home, folder.name, on_delay=delayed)
    else:
        steering.checkpoint(home, folder.name, on_delay=delayed)
    document = show_run(home, folder.name)
    lines = _lines(document)
    if verb == "checkpoint" and document["checkpoints"] == told["checkpoints"]:
        lines.append("The checkpoint is not written yet; the run was asked and will write it.")
    console.result(document, lines)


def _pause(options: argparse.Namespace, console: Console) -> None:
    _steer(options, console, "pause")


def _stop(options: argparse.Namespace, console: Console) -> None:
    _steer(options, console, "stop")


def _checkpoint(options: argparse.Namespace, console: Console) -> None:
    _steer(options, console, "checkpoint")


def _resume(options: argparse.Namespace, console: Console) -> None:
    from workbench.runs.listing import find_run, show_run
    from workbench.runs.steering import resume

    home = _checked_home(options)
    folder = find_run(home, options.run)
    resume(unlock(options), folder.name)
    document = show_run(home, folder.name)
    console.result(document, _lines(document))
