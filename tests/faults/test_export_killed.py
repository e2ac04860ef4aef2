"""Exports and evaluations whose front door or engine dies: nothing half made stays visible."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pytest

from tests.fixtures.libraries import Library, front_door, make_library
from workbench.adapters.library import show_adapter, verify_adapter
from workbench.adapters.registration import register_finished
from workbench.errors import JobFailed
from workbench.exports.service import export_adapter
from workbench.runs.listing import list_runs
from workbench.runs.state import RunState

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Library:
    made = make_library(tmp_path_factory.mktemp("library"))
    made.train()
    register_finished(made.vault)
    return made


def exporting(out: Path, target: str) -> str:
    """The line of a front door that exports."""
    told = f"vault, 'tuned', target={target!r}, out=Path({str(out)!r})"
    return f"from workbench.exports import service; service.export_adapter({told})"


def short_runs(library: Library) -> list[RunState]:
    return [state for state in list_runs(library.vault.home) if state.kind != "train"]


def wait_for_stage(folder: Path, *, filled: bool) -> Path:
    """Wait for the export's stage, and for the first file in it."""
    end = time.monotonic() + 90
    while time.monotonic() < end:
        for stage in folder.glob(".stage-*"):
            if not filled or any(stage.iterdir()):
                return stage
        time.sleep(0.02)
    raise AssertionError("the export never began")


def wait_until_over(library: Library) -> None:
    end = time.monotonic() + 120
    while time.monotonic() < end:
        states = short_runs(library)
        if states and all(state.is_over for state in states):
            return
        time.sleep(0.1)
    raise AssertionError("the job never ended")


@pytest.mark.parametrize("target", ["peft", "safetensors"])
def test_a_killed_engine_leaves_no_folder(library: Library, tmp_path: Path, target: str) -> None:
    program = (
        "from workbench.errors import JobFailed\n"
        "try:\n"
        f"    {exporting(tmp_path / 'out', target)}\n"
        "except JobFailed as error:\n"
        "    print(error.code)\n"
    )
    door = front_door(library.root, program)
    wait_for_stage(tmp_path, filled=True)
    (state,) = short_runs(library)
    job = library.vault.runs_folder / state.run / "lock"
    os.kill(json.loads(job.read_text())["pid"], signal.SIGKILL)
    assert door.communicate(timeout=60)[0].strip() == "crashed"
    assert door.returncode == 0
    assert list(tmp_path.iterdir()) == []
    assert short_runs(library) == []
    assert verify_adapter(library.vault, "tuned") == []


@pytest.mark.parametrize("filled", [False, True])
def test_a_killed_front_door_is_swept_at_the_next_unlock(
    library: Library, tmp_path: Path, filled: bool
) -> None:
    door = front_door(library.root, exporting(tmp_path / "out", "safetensors"))
    stage = wait_for_stage(tmp_path, filled=filled)
    assert stage.stat().st_mode & 0o777 == 0o700
    # A second front door leaves alone what a living one waits for.
    register_finished(library.vault)
    assert stage.exists()
    door.kill()
    door.communicate(timeout=30)
    wait_until_over_or_never_begun(library)
    assert not (tmp_path / "out").exists()
    register_finished(library.vault)
    left = list(tmp_path.iterdir())
    if not filled:
        # Killed before there was a job that names the stage: it is empty, and the next export to
        # this target removes it once it is surely abandoned.
        assert all(not any(stage.iterdir()) for stage in left)
        for stage in left:
            os.utime(stage, (0, 0))
    else:
        assert left == []
    assert short_runs(library) == []
    document = export_adapter(library.vault, "tuned", target="peft", out=tmp_path / "out")
    assert document["fidelity"]["top1_agreement"] == 1.0
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_an_evaluation_that_nobody_waited_for_is_noted(library: Library) -> None:
    program = (
        "from workbench.adapters.evaluating import evaluate\n"
        "evaluate(vault, 'tuned', split='validation', answers=True, max_tokens=8)\n"
    )
    door = front_door(library.root, program)
    end = time.monotonic() + 60
    while not any(state.phase == "loading" for state in short_runs(library)):
        assert time.monotonic() < end
        time.sleep(0.02)
    door.kill()
    door.communicate(timeout=30)
    wait_until_over(library)
    register_finished(library.vault)
    evaluations = show_adapter(library.vault, "tuned")["metrics"]["evaluations"]
    assert evaluations["notes/validation"]["adapter"]["loss"] > 0
    assert short_runs(library) == []
    register_finished(library.vault)


def test_an_interrupt_stops_the_job(library: Library, tmp_path: Path) -> None:
    door = front_door(library.root, exporting(tmp_path / "out", "safetensors"))
    wait_for_stage(tmp_path, filled=False)
    time.sleep(0.5)
    door.send_signal(signal.SIGINT)
    door.communicate(timeout=90)
    assert door.returncode != 0
    assert list(tmp_path.iterdir()) == []
    assert short_runs(library) == []


def wait_until_over_or_never_begun(library: Library) -> None:
    """The engine goes on without its front door, unless that died before it began."""
    if short_runs(library):
        wait_until_over(library)


def test_the_error_of_a_killed_engine_is_a_failed_job() -> None:
    from workbench.adapters.short_jobs import failure

    error = failure(RunState(run="ru-" + "0" * 16, kind="export", state="crashed"))
    assert isinstance(error, JobFailed)
    assert error.exit_code == 7
