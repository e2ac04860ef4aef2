"""Jobs that die, disks that fill up, files that are torn: what a run's readers make of it."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.runs import FAKE_ENGINE, make_run, make_vault, start
from workbench.errors import DoesNotFit, Refused
from workbench.runs import steering
from workbench.runs.follow import follow
from workbench.runs.job import JobFolder
from workbench.runs.launch import launch
from workbench.runs.listing import show_run
from workbench.runs.protocol import EventTail, EventWriter
from workbench.runs.state import current_state
from workbench.vault.store import Vault

pytestmark = pytest.mark.faults


@pytest.fixture(scope="module")
def vault(tmp_path_factory: pytest.TempPathFactory) -> Vault:
    return make_vault(tmp_path_factory.mktemp("faults"))


@pytest.mark.parametrize("torn", [0, 1])
def test_a_killed_job_is_crashed_and_goes_on(vault: Vault, torn: int) -> None:
    folder = make_run(vault, steps=6, step_ms=10, die_at=4, torn=torn)
    start(vault, folder)
    state = follow(folder, timeout_seconds=20)
    assert (state.state, state.step, state.is_resumable) == ("crashed", 3, True)
    shown = show_run(vault.home, folder.name)
    assert (shown["state"], shown["resumable"], shown["alive"]) == ("crashed", True, False)
    steering.resume(vault, folder.name, module=FAKE_ENGINE)
    told: list[dict[str, Any]] = []
    assert follow(folder, told.append, timeout_seconds=20).state == "finished"
    assert [event["seq"] for event in told] == list(range(1, len(told) + 1))


def test_killed_at_random_moments_every_time_it_comes_back(vault: Vault) -> None:
    draw = random.Random(7)
    folder = make_run(vault, steps=200, step_ms=10)
    pid = start(vault, folder)
    for _ in range(10):
        time.sleep(draw.uniform(0.0, 0.3))
        os.killpg(pid, signal.SIGKILL)
        assert follow(folder, timeout_seconds=20).state == "crashed"
        pid = steering.resume(vault, folder.name, module=FAKE_ENGINE)
        assert current_state(folder).state in ("starting", "running")
    assert follow(folder, timeout_seconds=30).state == "finished"


def test_a_job_that_cannot_even_start_is_crashed(vault: Vault, tmp_path: Path) -> None:
    folder = make_run(vault)
    broken = tmp_path / "broken.py"
    broken.write_text("import no_such_module_anywhere\n")
    launch(folder, [vault.key(folder.name)], module=broken)
    assert follow(folder, timeout_seconds=20).state == "crashed"
    assert "no_such_module" in JobFolder(folder).log_file.read_text()


def test_unknown_events_are_passed_over(vault: Vault) -> None:
    folder = make_run(vault, steps=3, strange=1)
    start(vault, folder)
    assert follow(folder, timeout_seconds=20).state == "finished"


def test_a_full_disk_is_told_once_there_is_space_and_spoils_no_other_line(vault: Vault) -> None:
    folder = make_run(vault, steps=5, full_at=3)
    start(vault, folder)
    state = follow(folder, timeout_seconds=20)
    assert (state.state, state.error["code"]) == ("failed", "disk")
    assert state.error["error_type"] == "OSError"
    assert state.step == 2
    lines = JobFolder(folder).events_file.read_bytes().split(b"\n")
    events = EventTail(JobFolder(folder).events_file).poll()
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert len(lines) - 1 == len(events) + 1, "one torn line and nothing else was lost"


def test_writing_after_every_possible_torn_length(tmp_path: Path) -> None:
    reference = tmp_path / "whole"
    with EventWriter(reference) as writer:
        writer.write("started", pid=1)
        writer.write("step", step=1, loss=0.5)
    whole = reference.read_bytes()
    for length in range(len(whole) + 1):
        path = tmp_path / f"cut-{length}"
        path.write_bytes(whole[:length])
        complete = whole[:length].count(b"\n") + (
            length in (whole.index(b"\n"), len(whole) - 1)  # only the line feed is missing
        )
        with EventWriter(path) as writer:
            assert writer.write("resumed", step=0)["seq"] == complete + 1
        events = EventTail(path).poll()
        assert [event["seq"] for event in events] == list(range(1, complete + 2))


def test_a_launch_onto_a_full_disk_says_so_and_frees_the_run(
    vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_run(vault)

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("workbench.runs.protocol.os.write", full)
        with pytest.raises(DoesNotFit) as caught:
            start(vault, folder)
    assert (caught.value.code, caught.value.exit_code) == ("disk", 5)
    assert not JobFolder(folder).is_alive()
    start(vault, folder)
    assert follow(folder, timeout_seconds=20).state == "finished"


def test_a_run_of_a_newer_version_is_refused_not_misread(vault: Vault) -> None:
    folder = make_run(vault, steps=1)
    start(vault, folder)
    follow(folder, timeout_seconds=20)
    with JobFolder(folder).events_file.open("ab") as file:
        file.write(b'{"v":2,"seq":9,"t":1.0,"type":"rewound"}\n')
    for read in (current_state, follow):
        with pytest.raises(Refused) as caught:
            read(folder)
        assert caught.value.code == "newer_format"
        assert caught.value.hint
