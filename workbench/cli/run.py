"""`workbench run`: list, follow and steer background jobs.

Only `resume`, which hands keys to a job, and `sample`, which shows text, need the passphrase.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.cli.access import home_of, unlock
from workbench.cli.console import Console, table
from workbench.cli.train import show_event
from workbench.errors import DoesNotFit, JobFailed
from workbench.vault.home import check_home
from workbench.wording import duration

if TYPE_CHECKING:
    from workbench.runs.samples import Sample
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
    sampling = actions.add_parser(
        "sample",
        parents=[common],
        help="let the model answer two held-out records now; shows what it says",
        description="Asks a run that trains for a sample, waits for it, and prints what the "
        "model as it stands answers to two records of the validation split: other ones each time, "
        "its likeliest words, up to 128 tokens. Training goes on afterwards as if nothing had "
        "been. Where a dataset has no validation split, records that are trained on are asked, "
        "and that is said. The record itself is shown only with --reveal. A run keeps its latest "
        "20 samples.",
    )
    sampling.add_argument("run", metavar="R", help="a run's id, or the beginning of one")
    sampling.add_argument(
        "--taken", action="store_true", help="ask for nothing: show the samples taken so far"
    )
    sampling.add_argument(
        "--reveal", action="store_true", help="show what was asked and expected too (record text)"
    )
    sampling.set_defaults(handler=_sample)


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


def _delayed(console: Console) -> Callable[[RunState], None]:
    def tell(state: RunState) -> None:
        place = f"at step {state.step} of {state.steps}" if state.steps else "not training yet"
        console.say(f"{state.run} is {place} and has not answered yet; waiting for it.")

    return tell


def _steer(options: argparse.Namespace, console: Console, verb: str) -> None:
    from workbench.runs import steering
    from workbench.runs.listing import find_run, show_run

    home = _checked_home(options)
    folder = find_run(home, options.run)
    told = show_run(home, folder.name)
    delayed = _delayed(console)
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


def _sample(options: argparse.Namespace, console: Console) -> None:
    from workbench.runs.listing import find_run
    from workbench.runs.samples import samples_of

    folder = find_run(_checked_home(options), options.run)
    # Before the run is asked: what nobody can read need not be taken.
    vault = unlock(options)
    number = None if options.taken else _asked_sample(folder, console)
    found = [each for each in samples_of(vault, folder.name) if number in (None, each.number)]
    lines = [line for each in found for line in _sample_lines(each, reveal=options.reveal)]
    document = {
        "run": folder.name,
        "samples": [_sample_document(each, reveal=options.reveal) for each in found],
    }
    console.result(document, lines or [f"{folder.name} has no samples yet."])


def _asked_sample(folder: Path, console: Console) -> int:
    """Ask the run, wait, and return the number of its sample.

    Raises:
        JobFailed, DoesNotFit: It gave none.
    """
    from workbench.runs import steering
    from workbench.runs.state import current_state

    before = current_state(folder)
    state = steering.sample(
        folder.parent.parent, folder.name, wait_seconds=None, on_delay=_delayed(console)
    )
    if state.samples > before.samples:
        return state.samples
    code = str(state.sample.get("code", ""))
    if state.unsampled == before.unsampled:
        raise JobFailed(
            f"{state.run} ended as {state.state} before it took the sample.",
            hint=f"`workbench run sample {state.run} --taken` shows those from before.",
            code="not_sampled",
        )
    kind, why = {
        "out_of_memory": (DoesNotFit, "Memory did not suffice for a sample"),
        "disk_full": (DoesNotFit, "The disk is too full for a sample"),
    }.get(code, (JobFailed, f"{state.run} could give no sample ({code})"))
    raise kind(
        f"{why}; training goes on as if nothing had been.",
        hint=f"`workbench run show {state.run}` tells where it stands.",
        code=code or "not_sampled",
    )


def _sample_document(sample: Sample, *, reveal: bool) -> dict[str, Any]:
    return {
        "number": sample.number,
        "step": sample.step,
        "held_out": sample.held_out,
        "seconds": sample.seconds,
        "answers": [
            {
                "record": answer.record,
                **(
                    {
                        "asked": [{"role": role, "text": text} for role, text in answer.asked],
                        "expected": answer.expected,
                    }
                    if reveal
                    else {}
                ),
                "answer": answer.text,
                "tokens": answer.tokens,
                "ended": answer.ended,
            }
            for answer in sample.answers
        ],
    }


def _sample_lines(sample: Sample, *, reveal: bool) -> list[str]:
    of = "held-out records" if sample.held_out else "records that it is trained on"
    lines = [f"Sample {sample.number}, after step {sample.step}: {of}, {sample.seconds:.1f} s"]
    for answer in sample.answers:
        lines.append(f"--- record {answer.record}")
        if reveal:
            lines += [f"{role or 'text'}: {text}" for role, text in answer.asked]
            lines.append(f"expected: {answer.expected}")
        cut = "" if answer.ended else " … (cut)"
        lines.append(f"answer: {answer.text}{cut}")
    return lines
