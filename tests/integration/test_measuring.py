"""The probe as a locked-down job on this machine, and a run that corrects it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.fixtures.fitting import make_fit_vault
from workbench.adapters.measuring import measure_machine, measure_once
from workbench.adapters.registration import register_finished
from workbench.errors import Busy
from workbench.planning.measured import FILE_NAME, read_measurement, with_measurement
from workbench.planning.probe import probe_hardware
from workbench.recipe import Recipe
from workbench.runs.follow import follow
from workbench.runs.job import JobFolder
from workbench.runs.launch import create_run
from workbench.runs.protocol import RunSpec
from workbench.runs.training import start_training
from workbench.vault.ids import new_id

pytestmark = pytest.mark.slow


def test_this_machine_is_measured_once_and_runs_correct_it(tmp_path: Path) -> None:
    vault = make_fit_vault(tmp_path)
    phases: list[str] = []
    found = measure_machine(vault, lambda _done, _total, phase: phases.append(phase))
    assert "measuring" in phases
    assert found.figures["memory"] > 1e8
    assert found.figures["matmul_fp32"] > 1e8
    assert list(vault.runs_folder.iterdir()) == []
    assert json.loads((vault.home / FILE_NAME).read_text())["version"] == 2
    assert not measure_once(vault, probe_hardware())
    assert vault.verify().ok

    recipe = Recipe(max_steps=2, epochs=2, context=256, micro_batch=2, accumulate=1)
    started = start_training(vault, model="tiny", dataset="notes", adapter="a", recipe=recipe)
    numbers = JobFolder(started.folder).spec().numbers
    assert numbers["rates_moment"] == found.moment
    assert numbers["factor"] == 1.0
    assert numbers["predicted_seconds"] == started.plan.seconds
    assert follow(started.folder).state == "finished"
    register_finished(vault)
    model = vault.catalogue.get("model", "tiny").object_id
    learned = read_measurement(vault.home, probe_hardware())
    assert learned is not None
    seen = learned.learned.get(model, {}).get(started.plan.method, ())
    # A run of a fraction of a second may be too far off to teach anything.
    assert len(seen) <= 1
    known = with_measurement(probe_hardware(), vault.home, model)
    assert known.factors == learned_factors(seen, started.plan.method)


def learned_factors(seen: tuple[float, ...], method: str) -> dict[str, float]:
    return {method: seen[0]} if seen else {}


def test_nothing_is_measured_beside_a_job(tmp_path: Path) -> None:
    vault = make_fit_vault(tmp_path)
    spec = RunSpec(new_id("ru"), "train", "2026-01-31T12:00:00Z", "cpu")
    folder = JobFolder(create_run(vault, spec, {}))
    lock = folder.take_lock(patience=0.0)
    try:
        with pytest.raises(Busy, match="A job is at work"):
            measure_machine(vault)
        assert not measure_once(vault, probe_hardware())
    finally:
        os.close(lock)
