"""`workbench demo`: the whole path in a throw-away home, with the starter model and sample data."""

from __future__ import annotations

import argparse
import json
import os
import secrets
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.resources import as_file, files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.cli.console import Console
from workbench.cli.dataset import import_document
from workbench.cli.train import measuring, watch_training
from workbench.errors import BadInput
from workbench.wording import count, duration, size

if TYPE_CHECKING:
    from workbench.vault.store import Vault

DATASET = "triage"
UNSEEN = "triage-unseen"
MODEL = "starter"
ADAPTER = "triage-adapter"
# An answer in the taught form has about 30 tokens; the base, which never learnt it, would go on.
_ANSWER_TOKENS = 48
_BESIDE = (".export", ".passphrase")  # of a home that is kept
_ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def add_to(commands: Any, common: argparse.ArgumentParser) -> None:
    """Register the parser."""
    parser = commands.add_parser(
        "demo", parents=[common], help="the whole path on sample data, in minutes"
    )
    parser.add_argument("--headless", action="store_true", help="print the result as JSON")
    parser.add_argument(
        "--keep", type=Path, metavar="DIR", help="keep the home in DIR, its passphrase beside it"
    )
    parser.set_defaults(handler=_demo)


@dataclass(frozen=True)
class _Place:
    home: Path
    export: Path
    passphrase_file: Path | None


@contextmanager
def _place(keep: Path | None) -> Iterator[_Place]:
    """Yield where the demo works; without `keep`, all of it is gone afterwards."""
    if keep is not None:
        home = keep.absolute()
        if home.exists() and any(home.iterdir()):
            raise BadInput(
                f"{home} exists and is not empty.", hint="Name a folder that does not exist yet."
            )
        export, passphrase = (home.with_name(home.name + each) for each in _BESIDE)
        for beside in (export, passphrase):
            if beside.exists():
                raise BadInput(
                    f"{beside} exists already.", hint="Remove it, or name another folder."
                )
        yield _Place(home, export, passphrase)
        return
    before = {number: signal.getsignal(number) for number in _ENDINGS}
    for number in _ENDINGS[1:]:
        # Also whoever ends the demo from outside, or closes its terminal, leaves nothing behind.
        signal.signal(number, signal.default_int_handler)
    root = Path(tempfile.mkdtemp(prefix="workbench-demo-"))
    try:
        yield _Place(root / "home", root / "export", None)
    finally:
        # Ending the run takes seconds. Somebody who presses Ctrl+C again meanwhile, or the signal
        # that follows a closed terminal, must not end the clearing up instead.
        for number in _ENDINGS:
            signal.signal(number, signal.SIG_IGN)
        try:
            _end_runs(root / "home")
        finally:
            shutil.rmtree(root, ignore_errors=True)
            for number, handler in before.items():
                signal.signal(number, handler)


def _end_runs(home: Path) -> None:
    """End what would go on without its home: jobs outlive their front door."""
    from workbench.runs.listing import list_runs
    from workbench.runs.steering import stop

    for state in list_runs(home):
        if not state.is_over:
            stop(home, state.run, grace_seconds=1, term_seconds=5)


def _demo(options: argparse.Namespace, console: Console) -> int:
    on_terminal = sys.stdin.isatty() and sys.stdout.isatty()
    if on_terminal and not options.headless and not console.as_json:
        return _show_on_screen(options, console)
    console.as_json = True
    began = time.monotonic()
    with _place(options.keep) as place:
        document = _Walk(place, console).run()
    document["seconds"] = round(time.monotonic() - began, 1)
    console.result(document, [])
    return 0


def _show_on_screen(options: argparse.Namespace, console: Console) -> int:
    """Open the screens on the demo's home, everything laid ready for the Enter key."""
    from workbench.tui.session import Session, Tour
    from workbench.tui.start import open_ui

    with _place(options.keep) as place, as_file(files("workbench").joinpath("starter")) as starter:
        walk = _Walk(place, console)
        vault = walk.make_vault()
        data = walk.facts["data"]
        tour = Tour(
            files=tuple(starter / name for name in data["train"]),
            dataset=DATASET,
            model=MODEL,
            recipe=starter / "recipe.toml",
            adapter=ADAPTER,
            export=place.export,
            kept=options.keep is not None,
        )
        code = open_ui(Session(place.home, vault=vault, tour=tour))
    if options.keep:
        console.say(f"The home is kept at {place.home}, its passphrase in {place.passphrase_file}.")
    else:
        console.say("All of the demo was deleted again; `workbench demo --keep DIR` keeps it.")
    return code


class _Walk:
    """One walk along the path: every step tells what it does and returns its part of the result."""

    def __init__(self, place: _Place, console: Console) -> None:
        self._place = place
        self._console = console
        self._starter = files("workbench").joinpath("starter")
        self.facts = json.loads(self._starter.joinpath("starter.json").read_text("utf-8"))

    def run(self) -> dict[str, Any]:
        """Walk the path; return the contract's fields but the time it took."""
        vault = self.make_vault()
        dataset = self._import_data(vault)
        trained, plan = self._train(vault)
        evaluation = self._evaluate(vault)
        export = self._export(vault)
        document = {
            "home": str(self._place.home),
            "dataset": dataset,
            "plan": plan,
            "run": trained,
            "adapter": trained["adapter"],
            "loss_first": trained["loss_first"],
            "loss_last": trained["loss_last"],
            "evaluation": evaluation,
            "export": export,
        }
        if self._place.passphrase_file is not None:
            document["passphrase_file"] = str(self._place.passphrase_file)
        return document

    def _say(self, line: str) -> None:
        self._console.say(line)

    def make_vault(self) -> Vault:
        """Make the vault, and put the starter model on its shelf."""
        from workbench.models.shelf import add_starter
        from workbench.vault.store import Vault

        self._say("1  A vault with a random passphrase, and the starter model on the shelf.")
        passphrase = secrets.token_urlsafe(24)
        kept = self._place.passphrase_file
        if kept is not None:
            kept.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(kept, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w", encoding="ascii") as out:
                out.write(passphrase + "\n")
        vault, _ = Vault.create(self._place.home, passphrase, kdf="light")
        add_starter(vault, MODEL)
        return vault

    def _import_data(self, vault: Vault) -> dict[str, Any]:
        from workbench.datasets.importing import import_files

        self._say("2  Sample data: checked, sealed, split.")
        data = self.facts["data"]
        with as_file(self._starter) as folder:
            report = import_files(
                vault,
                [folder / name for name in data["train"]],
                DATASET,
                splits={"validation": 0.05, "test": 0.1},
            )
            import_files(vault, [folder / data["held_out_unseen"]], UNSEEN, splits={"test": 1.0})
        self._say(
            f"   {count(report.rows)} records taken, {count(report.duplicates)} duplicates and "
            f"{count(report.rejected)} faulty rows left out and listed."
        )
        return import_document(report)

    def _train(self, vault: Vault) -> tuple[dict[str, Any], dict[str, Any]]:
        from workbench import recipe
        from workbench.runs.training import start_training

        with as_file(self._starter.joinpath("recipe.toml")) as path:
            settings = recipe.load(path)
        self._say("3  A plan for this machine, and training in a locked-down process.")
        started = start_training(
            vault,
            model=MODEL,
            dataset=DATASET,
            adapter=ADAPTER,
            recipe=settings,
            measure=measuring(vault, self._console),
        )
        for advice in started.advice:
            self._say(f"   {advice}")
        takes = started.plan.seconds
        self._say(
            f"   The plan predicts a peak of {size(started.plan.predicted.total)}"
            + (f", and {duration(takes)} of training." if takes else ".")
        )
        trained = watch_training(vault, started, self._console)
        self._say(
            f"   Loss {trained['loss_first']:.2f} -> {trained['loss_last']:.2f} at "
            f"{trained['tokens_per_second']:,.0f} tokens a second, "
            f"peak {size(trained['peak_bytes'])}."
        )
        return trained, started.plan.to_json()

    def _evaluate(self, vault: Vault) -> dict[str, Any]:
        self._say("4  Base and adapter answer notes that training never saw.")
        document = self._compare(vault, DATASET)
        document["unseen"] = self._compare(vault, UNSEEN)
        for name, part in (("held-out notes", document), ("unseen key words", document["unseen"])):
            base, tuned = part["base"], part["adapter"]
            self._say(
                f"   {name}: loss {base['loss']:.2f} -> {tuned['loss']:.2f}; answers in the taught "
                f"form {base['format_rate']:.0%} -> {tuned['format_rate']:.0%}; fields right "
                f"{tuned['field_accuracy']:.0%} (always the commonest: "
                f"{part['majority']['field_accuracy']:.0%})."
            )
        return document

    def _compare(self, vault: Vault, dataset: str) -> dict[str, Any]:
        from workbench.adapters.evaluating import evaluate
        from workbench.evaluation.answers import AnswerFormat, majority_baseline, score_answers

        form = AnswerFormat.from_json(self.facts["task"])
        document = evaluate(
            vault, ADAPTER, dataset=dataset, answers=True, max_tokens=_ANSWER_TOKENS
        )
        # Record text stays here: the result carries what was counted, never the answers.
        answers = document.pop("answers")
        wanted = [answer["text"] for answer in answers["references"]]
        for side in ("base", "adapter"):
            given = [answer["text"].strip() for answer in answers[side]]
            document[side].update(asdict(score_answers(form, given, wanted)))
        taught = self._training_answers(vault)
        document["majority"] = asdict(majority_baseline(form, taught, wanted))
        return document

    def _training_answers(self, vault: Vault) -> Sequence[str]:
        from workbench.datasets.store import SealedDataset
        from workbench.runs.training import dataset_path

        entry = vault.catalogue.get("dataset", DATASET)
        with SealedDataset.open(dataset_path(vault, entry), vault.key(entry.object_id)) as opened:
            return [record.messages[-1].content for record in opened.records("train")]

    def _export(self, vault: Vault) -> dict[str, Any]:
        from workbench.exports.service import export_adapter

        self._say("5  The adapter merged into its base, written out and compared.")
        out = self._place.export
        document = export_adapter(vault, ADAPTER, target="safetensors", out=out)
        fidelity = document["fidelity"]
        self._say(
            f"   {len(document['files'])} files; the export agrees with the adapter on "
            f"{fidelity['top1_agreement']:.1%} of next tokens."
        )
        return {"folder": str(out), "target": "safetensors", **document}
