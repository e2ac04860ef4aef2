"""A run that is killed again and again ends with the same bits as one that never was."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.tiny_runs import TinyRun, Workplace, adapter_digest, make_workplace
from workbench.runs.job import JobFolder

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]

KILLS = 10
# Enough checkpoints and evaluations that kills hit them, and each resume gets a little further.
COURSE: dict[str, Any] = {"max_steps": 40, "evaluate_every": 5, "checkpoint_every": 2}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    return make_workplace(tmp_path_factory.mktemp("kills") / "home")


@pytest.fixture(scope="module")
def expected(place: Workplace) -> str:
    run = place.new_run(1, **COURSE)
    run.launch()
    run.finish()
    return adapter_digest(run)


def _wait_until_dead(run: TinyRun) -> None:
    job = JobFolder(run.folder)
    end = time.monotonic() + 30
    while job.is_alive():
        assert time.monotonic() < end
        time.sleep(0.01)


def _kill(run: TinyRun, pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    _wait_until_dead(run)


def _sequence(run: TinyRun) -> int:
    events = run.events()
    return int(events[-1]["seq"]) if events else 0


def test_ten_kills_at_random_moments_change_no_bit(place: Workplace, expected: str) -> None:
    """After loading, at any moment: in steps, checkpoints, evaluations, and while resuming."""
    seed = int(os.environ.get("WORKBENCH_TEST_SEED", "0")) or random.randrange(1, 1 << 30)
    draw = random.Random(seed)
    run = place.new_run(2, **COURSE)
    places = []
    for number in range(KILLS):
        before = _sequence(run)
        pid = run.launch()
        run.wait("loading", after=before)
        # Every third kill comes while the run is still coming back; the others a few steps later.
        if number % 3 != 2:
            _wait_for_steps(run, draw.randint(1, 3), after=before)
        time.sleep(draw.uniform(0.0, 0.2))
        _kill(run, pid)
        places.append(run.types()[-1])
        assert "finished" not in places, f"seed {seed}: it ended before it was killed {places}"
    run.launch()
    run.finish()
    assert adapter_digest(run) == expected, f"seed {seed}: killed after {places}"
    assert not list(run.folder.rglob(".stage-*"))


def _wait_for_steps(run: TinyRun, count: int, *, after: int) -> None:
    end = time.monotonic() + 120
    while True:
        new = [event for event in run.events() if event["seq"] > after]
        if sum(event["type"] == "step" for event in new) >= count:
            return
        assert not any(event["type"] == "failed" for event in new), new[-1]
        assert time.monotonic() < end
        time.sleep(0.002)


def _kill_when(run: TinyRun, seen: Callable[[], bool]) -> None:
    pid = run.launch()
    end = time.monotonic() + 120
    while not seen():
        assert time.monotonic() < end, run.types()[-5:]
        time.sleep(0.0005)
    _kill(run, pid)


def test_killed_while_a_checkpoint_is_written(place: Workplace, expected: str) -> None:
    run = place.new_run(3, **COURSE)
    folder = run.folder / "checkpoints"
    for _ in range(2):
        with contextlib.suppress(ProcessLookupError):
            _kill_when(run, lambda: any(folder.glob(".stage-*")) or "finished" in run.types())
    run.launch()
    run.finish()
    assert adapter_digest(run) == expected


def test_killed_while_the_adapter_is_published(place: Workplace, expected: str) -> None:
    run = place.new_run(4, **COURSE)
    folder = Path(place.home / "adapters" / run.adapter)
    _kill_when(run, folder.exists)
    run.launch()
    run.finish()
    assert adapter_digest(run) == expected


def test_pause_frees_the_process_and_resume_goes_on(place: Workplace, expected: str) -> None:
    run = place.new_run(5, **COURSE)
    run.launch()
    run.wait("step")
    asked = time.monotonic()
    run.ask("pause")
    paused = run.wait("paused")
    _wait_until_dead(run)
    assert time.monotonic() - asked < 10
    run.ask("resume")
    run.launch()
    assert run.wait("resumed", after=paused["seq"])["step"] == paused["step"]
    run.finish(after=paused["seq"])
    assert adapter_digest(run) == expected


def test_a_terminated_run_stops_in_order(place: Workplace) -> None:
    run = place.new_run(6, **{**COURSE, "max_steps": 5000})
    pid = run.launch()
    run.wait("step")
    os.kill(pid, signal.SIGTERM)
    assert run.wait("stopped", "failed")["type"] == "stopped"
    assert adapter_digest(run)


def test_a_crash_tells_its_place_and_not_its_message(place: Workplace) -> None:
    run = place.new_run(7, **COURSE)
    (run.folder / "spec.sealed").write_bytes(b"patient letter" * 10)
    run.launch()
    failed = run.wait("failed")
    assert failed["code"] == "vault_damaged"
    assert failed["place"].startswith("workbench.")
    assert b"patient" not in (run.folder / "events.jsonl").read_bytes()
    assert b"patient" not in (run.folder / "engine.log").read_bytes()


def test_two_runs_take_turns(place: Workplace) -> None:
    first, second = place.new_run(8, **COURSE), place.new_run(9, **COURSE)
    first.launch()
    first.wait("loading")
    second.launch()
    assert second.wait("queued", "loading")["type"] == "queued"
    ended = first.finish()["t"]
    second.finish()
    assert second.last("loading")["t"] >= ended
    assert adapter_digest(first) == adapter_digest(second)
