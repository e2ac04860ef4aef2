"""Predicted against real training time on this machine: `python -m tests.benchmarks.step_time`.

For the starter model with the demo's recipe, and for a Llama of 110M random parameters, measures
the machine, starts a real run in a home of its own, and prints one JSON line with the seconds that
were predicted before it, those that its steps took, and their ratio. Other work on the machine
stretches the run and the measurement alike only while it lasts, so everything is repeated, and the
load stands beside each line. On a machine that is not idle `--processor` compares processor time
instead, on one thread: what the measurement's blocks took of it, and what the run's steps took.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from dataclasses import replace
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from workbench.adapters.measuring import measure_machine
from workbench.datasets.importing import import_files
from workbench.models.shelf import add_model, add_starter
from workbench.planning.measured import Measurement, keep_measurement
from workbench.recipe import Recipe, load, parse
from workbench.runs.follow import follow
from workbench.runs.training import start_training
from workbench.vault.store import Vault

CASES = ("starter", "llama-110m")
_WORDS = ("patient", "reports", "pain", "since", "Monday", "asks", "for", "the", "new", "account")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--cases", nargs="*", choices=CASES, default=list(CASES))
    parser.add_argument("--steps", type=int, default=0, help="0: the demo's, 5 of the large model")
    parser.add_argument("--processor", action="store_true", help="compare processor time")
    told = parser.parse_args()
    if told.processor:
        os.environ["OMP_NUM_THREADS"] = "1"
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        vault, _ = Vault.create(home, "a passphrase for tests only", kdf="light")
        for case in told.cases:
            recipe = _prepare(vault, Path(folder), case)
            # Evaluations are no steps.
            changes: dict[str, Any] = {"evaluate_every": 100_000, "checkpoint_every": 100_000}
            if told.steps:
                changes["max_steps"] = told.steps
            recipe = parse({**recipe.to_json(), **changes})
            for number in range(told.repeats):
                compare = _compare(vault, case, recipe, number, processor=told.processor)
                print(json.dumps(compare), flush=True)


def _prepare(vault: Vault, folder: Path, case: str) -> Recipe:
    """Put the model on the shelf and its data into the vault; return the recipe."""
    if case == "starter":
        add_starter(vault, case)
        with as_file(files("workbench").joinpath("starter")) as starter:
            names = json.loads((starter / "starter.json").read_text())["data"]["train"]
            import_files(
                vault,
                [starter / name for name in names],
                case,
                splits={"validation": 0.05, "test": 0.1},
            )
            return load(starter / "recipe.toml")
    add_model(vault, _write_large(folder / "large"), case)
    lines = []
    for number in range(400):
        words = [_WORDS[(number * 7 + n * n) % len(_WORDS)] for n in range(10 + number % 20)]
        lines.append({"prompt": f"{number} " + " ".join(words), "completion": " ".join(words[:8])})
    notes = folder / "notes.jsonl"
    notes.write_text("".join(json.dumps(line) + "\n" for line in lines))
    import_files(vault, [notes], case, splits={})
    told = {"method": "qlora", "context": 256, "micro_batch": 4, "accumulate": 2, "max_steps": 5}
    return parse(told)


def _write_large(folder: Path) -> Path:
    """Write a Llama of 12 layers of width 768 with random weights and a vocabulary of 32,000."""
    import torch
    import transformers

    from tests.fixtures.tiny_jobs import SPECIAL
    from tests.fixtures.tiny_models import MARKED, byte_tokenizer, write_tokenizer

    write_tokenizer(folder, byte_tokenizer(SPECIAL), template=MARKED, eos_token="<eos>")
    config = transformers.LlamaConfig(
        vocab_size=32_000, hidden_size=768, intermediate_size=2048, num_hidden_layers=12,
        num_attention_heads=12, num_key_value_heads=12, max_position_embeddings=1024,
        tie_word_embeddings=True, bos_token_id=None, eos_token_id=1, pad_token_id=0,
    )  # fmt: skip
    torch.manual_seed(0)
    model: Any = transformers.LlamaForCausalLM(config).to(torch.bfloat16)
    model.save_pretrained(str(folder))
    return folder


def _compare(
    vault: Vault, case: str, recipe: Recipe, number: int, *, processor: bool
) -> dict[str, Any]:
    """Measure the machine, train, and return what was predicted and what came of it."""
    measured = measure_machine(vault)
    if processor:
        keep_measurement(vault.home, _of_processor(measured))
    before = os.getloadavg()[0]
    started = start_training(
        vault, model=case, dataset=case, adapter=f"{case}-{number}", recipe=recipe
    )
    meter = _Meter(started.folder)
    state = follow(started.folder, meter.told, poll_seconds=0.02)
    predicted, real = started.plan.seconds or 0.0, state.seconds or 0.0
    if processor:
        real = meter.seconds * state.step / max(1, meter.steps)
    return {
        "case": case,
        "state": state.state,
        "steps": state.step,
        "predicted_seconds": round(predicted, 1),
        "real_seconds": round(real, 1),
        "ratio": round(predicted / real, 3) if real else None,
        "threads_measured": measured.threads,
        "load_before": round(before, 2),
        "load_after": round(os.getloadavg()[0], 2),
    }


def _of_processor(measured: Measurement) -> Measurement:
    """Return the measurement with the processor's time in place of the clock's."""
    points = []
    for point in measured.points:
        times = {"seconds": point["processor_seconds"]}
        if "update_seconds" in point:
            times["update_seconds"] = point["update_processor_seconds"]
        points.append({**point, **times})
    return replace(measured, points=tuple(points))


class _Meter:
    """Reads the job's processor time at its first step and at each one after."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._first: tuple[int, float] | None = None
        self.steps, self.seconds = 0, 0.0

    def told(self, event: dict[str, Any]) -> None:
        if event["type"] != "step":
            return
        holder = json.loads((self._folder / "lock").read_text())
        stat = Path(f"/proc/{holder['pid']}/stat").read_text().rpartition(")")[2].split()
        spent = (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")
        if self._first is None:
            self._first = event["step"], spent
        self.steps, self.seconds = event["step"] - self._first[0], spent - self._first[1]


if __name__ == "__main__":
    main()
