"""Predicted against real peaks of evaluations and exports: `python -m tests.benchmarks.job_memory`.

For the starter model and for a Llama of 110M random parameters, trains a short adapter by each
method, then evaluates it (scored alone, and with answers) and exports it (as an adapter, and
merged both ways), one job at a time in a home of its own. Prints one JSON line a job: the bytes
that `workbench.planning.after_training` foretells, those that the job reports as its peak, and
their ratio. Memory does not depend on what else the machine does, so none of it is repeated.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

from tests.benchmarks.step_time import CASES, _prepare
from workbench.adapters.evaluating import evaluate
from workbench.adapters.registration import register_finished
from workbench.exports.contract import PROBED_RECORDS
from workbench.exports.service import export_adapter
from workbench.models.shelf import model_facts
from workbench.planning.after_training import (
    BUILT_IN_POSITIONS,
    Trained,
    evaluation_need,
    export_need,
)
from workbench.planning.budget import budget_of
from workbench.planning.probe import probe_hardware
from workbench.recipe import parse
from workbench.runs.follow import follow
from workbench.runs.training import start_training
from workbench.vault.store import Vault

METHODS = ("qlora", "lora", "full")
_ANSWER_TOKENS, _RECORDS = 16, 16
JOBS = ("score", "answer", "peft", "merged-exact", "merged-original")


def main() -> None:
    """Run each job in turn and print how its prediction did."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", nargs="*", choices=CASES, default=list(CASES))
    parser.add_argument("--methods", nargs="*", choices=METHODS, default=["qlora", "lora"])
    parser.add_argument("--jobs", nargs="*", choices=JOBS, default=list(JOBS))
    told = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        vault, _ = Vault.create(place / "home", "a passphrase for tests only", kdf="light")
        for case in told.cases:
            recipe = _prepare(vault, place, case)
            for method in told.methods:
                changes = {"method": method, "max_steps": 1, "accumulate": 1, "micro_batch": 1}
                name = f"{case}-{method}"
                started = start_training(
                    vault, model=case, dataset=case, adapter=name,
                    recipe=parse({**recipe.to_json(), **changes}),
                )  # fmt: skip
                ended = follow(started.folder, lambda event: None, poll_seconds=0.05)
                if ended.state != "finished":
                    raise SystemExit(f"training {ended.state}: {ended.error}")
                register_finished(vault)
                for job in told.jobs:
                    if method == "full" and job == "peft":
                        continue
                    real = _run(vault, place, case, name, job)
                    told_before = _predicted(vault, case, name, job)
                    line = {"case": case, "method": method, "job": job}
                    line |= {"predicted_bytes": told_before, "real_bytes": real}
                    print(json.dumps({**line, "ratio": round(told_before / real, 3)}), flush=True)


def _predicted(vault: Vault, case: str, adapter: str, job: str) -> int:
    """Return what the planner says of the job from the model's facts and the records' length."""
    base = vault.catalogue.get("model", case)
    record = vault.catalogue.get("adapter", adapter).record
    data = vault.catalogue.get("dataset", case).record
    trained = Trained(record["method"], int(record["parameters"]))
    facts, budget = model_facts(base), budget_of(probe_hardware())
    mean = data["tokens"][base.name] // data["splits"]["train"]
    if job in ("score", "answer"):
        tokens = _ANSWER_TOKENS if job == "answer" else 0
        return evaluation_need(facts, trained, budget, longest=mean, answer_tokens=tokens).total
    held_out = any(data["splits"].get(split, 0) for split in ("validation", "test"))
    positions = PROBED_RECORDS * mean // 2 if held_out else BUILT_IN_POSITIONS
    merged = job.startswith("merged")
    return export_need(facts, trained, budget, merged=merged, positions=positions).total


def _run(vault: Vault, place: Path, case: str, adapter: str, job: str) -> int:
    """Run the job and return the peak that it reports."""
    if job in ("score", "answer"):
        split = "test" if case == "starter" else "train"
        document = evaluate(
            vault,
            adapter,
            split=split,
            answers=job == "answer",
            max_tokens=_ANSWER_TOKENS,
            limit=_RECORDS,
        )
    else:
        target, _, base = job.partition("-")
        document = export_adapter(
            vault,
            adapter,
            target="safetensors" if target == "merged" else target,
            out=place / f"{adapter}-{job}",
            base=base or "exact",
        )
    return int(document["peak_bytes"])


if __name__ == "__main__":
    main()
