"""What a run costs beside its arithmetic: `python -m tests.benchmarks.engine_overheads`.

Prints two JSON lines. `start`: seconds from the birth of the engine's process to the end of its
first optimizer step, in real runs of the demo's recipe on the starter, and the processor time that
the process had taken by then. `bookkeeping`: what events, the control file and the looks at memory
take of the starter's optimizer steps, with the run's lock held and files on a real disk.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.benchmarks.step_time import _prepare
from workbench.recipe import parse
from workbench.runs.follow import follow
from workbench.runs.state import RunState
from workbench.runs.training import start_training
from workbench.vault.store import Vault


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--steps", type=int, default=20)
    told = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        vault, _ = Vault.create(home, "a passphrase for tests only", kdf="light")
        recipe = parse({**_prepare(vault, Path(folder), "starter").to_json(), "max_steps": 1})
        starts = []
        for number in range(told.repeats):
            started = start_training(
                vault, model="starter", dataset="starter", adapter=f"a-{number}", recipe=recipe
            )
            birth = _Birth(started.folder)
            follow(started.folder, birth.told, until=_is_over, poll_seconds=0.02)
            starts.append(birth)
        print(
            json.dumps(
                {
                    "start": "starter",
                    "seconds": [round(each.seconds, 2) for each in starts],
                    "processor_seconds": [round(each.processor_seconds, 2) for each in starts],
                    "median_seconds": round(statistics.median(e.seconds for e in starts), 2),
                    "load": round(os.getloadavg()[0], 2),
                }
            ),
            flush=True,
        )
        print(json.dumps(_bookkeeping(Path(folder), told.steps)))


def _is_over(state: RunState) -> bool:
    return state.is_over


class _Birth:
    """Compares the first step's end with the birth of the process that took it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.seconds = 0.0
        self.processor_seconds = 0.0

    def told(self, event: dict[str, Any]) -> None:
        if event["type"] != "step" or self.seconds:
            return
        holder = json.loads((self._folder / "lock").read_text())
        stat = Path(f"/proc/{holder['pid']}/stat").read_text().rpartition(")")[2].split()
        tick = os.sysconf("SC_CLK_TCK")
        # proc(5): field 22 is the process's birth in ticks since the machine's.
        birth = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + int(stat[19]) / tick
        self.seconds = event["t"] - birth
        self.processor_seconds = (int(stat[11]) + int(stat[12])) / tick


@dataclass
class _Meter:
    """Adds up the time of the calls that it watches."""

    seconds: float = 0.0
    processor_seconds: float = 0.0

    def watched(self, work: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*told: Any, **more: Any) -> Any:
            wall, processor = time.perf_counter(), time.process_time()
            try:
                return work(*told, **more)
            finally:
                self.seconds += time.perf_counter() - wall
                self.processor_seconds += time.process_time() - processor

        return timed


def _bookkeeping(folder: Path, steps: int) -> dict[str, Any]:
    """Train the starter in this process, with real files; return the share that they take."""
    from importlib.resources import as_file, files

    from tests.benchmarks.contest_settings import MIXES, SEED, make_records
    from tests.fixtures.tiny import model_part
    from workbench.engine.batches import Example
    from workbench.engine.course import plan_course
    from workbench.engine.forward import Passes
    from workbench.engine.loading import load_base
    from workbench.engine.lora import attach_adapter
    from workbench.engine.optimizers import WeightUpdater
    from workbench.engine.steering import Steering
    from workbench.engine.training import Progress, Training
    from workbench.runs.job import JobFolder

    job = JobFolder(folder / "home" / "runs" / "ru-0000000000000001")
    job.path.mkdir(parents=True)
    with as_file(files("workbench").joinpath("starter", "model")) as model_folder:
        base = load_base(model_part(model_folder), method="qlora")
    recipe = parse(
        {"method": "qlora", "context": 256, "micro_batch": 8, "accumulate": 1, "max_steps": steps,
         "epochs": 100, "checkpoint_every": 0}
    )  # fmt: skip
    model = attach_adapter(base.model, recipe)
    examples = [Example.compact(*record) for record in make_records(MIXES["chat"], 200, SEED)]
    meter = _Meter()
    with job.held(), job.writer() as events:
        steering = Steering(job.requests())
        training: Any = Training(
            passes=Passes(model, base.device, base.compute),
            updater=WeightUpdater(model, kind=recipe.optimizer, weight_decay=0.0),
            course=plan_course(examples, [], recipe, pad_id=0),
            recipe=recipe,
            progress=Progress(8, 0),
            steering=steering,
            reports=events,
            save=lambda _best: None,
            sample=lambda: None,
        )
        training.rehearse(lambda _work: 1)
        for part, name in (
            (training, "_report_step"),
            (steering, "check"),
            (steering, "take_checkpoint_request"),
            (steering, "take_sample_request"),
        ):
            setattr(part, name, meter.watched(getattr(part, name)))
        wall, processor = time.perf_counter(), time.process_time()
        training.run()
        wall, processor = time.perf_counter() - wall, time.process_time() - processor
    return {
        "bookkeeping": "starter",
        "steps": steps,
        "milliseconds_per_step": round(1000 * meter.seconds / steps, 3),
        "step_milliseconds": round(1000 * wall / steps, 1),
        "percent": round(100 * meter.seconds / wall, 3),
        "percent_of_processor_time": round(100 * meter.processor_seconds / processor, 3),
        "load": round(os.getloadavg()[0], 2),
    }


if __name__ == "__main__":
    main()
