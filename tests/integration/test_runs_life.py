"""Runs from launch to ending, with a scripted job in place of the engine."""

from __future__ import annotations

import itertools
import json
import os
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.runs import FAKE_ENGINE, make_run, make_vault, start
from workbench.cli.run import _lines as run_lines
from workbench.errors import BadInput, Busy, NotFound
from workbench.runs import steering
from workbench.runs.follow import follow
from workbench.runs.job import JobFolder, Process
from workbench.runs.launch import launch
from workbench.runs.listing import list_runs, show_run
from workbench.runs.state import RunState, current_state
from workbench.vault.formats import SPEC
from workbench.vault.sealed import open_blob
from workbench.vault.store import Vault


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Vault:
    return make_vault(tmp_path_factory.mktemp("runs"))


@pytest.fixture
def vault(shared: Vault) -> Iterator[Vault]:
    yield shared
    for path in shared.runs_folder.iterdir():
        steering.stop(shared.home, path.name, grace_seconds=0.2, term_seconds=0.5)
        steering.remove_run(shared, path.name)


def finish(folder: Path, seconds: float = 20) -> Any:
    """Wait for the job's end."""
    return follow(folder, timeout_seconds=seconds, poll_seconds=0.02)


def wait_for_step(folder: Path, step: int = 1) -> None:
    """Wait until the job counts."""
    state = follow(folder, until=lambda s: s.step >= step, timeout_seconds=20, poll_seconds=0.02)
    assert state.step >= step, state


def test_a_run_from_launch_to_end(vault: Vault) -> None:
    folder = make_run(vault, steps=3, lockdown=1)
    assert current_state(folder).state == "starting"
    pid = start(vault, folder)
    told: list[dict[str, Any]] = []
    state = follow(folder, told.append, timeout_seconds=20)
    assert state.state == "finished"
    assert [event["seq"] for event in told] == list(range(1, len(told) + 1))
    assert state.pid == pid
    assert state.counts == {"keys": 1, "own": True, "trainable": 8}
    assert state.protection["seccomp"]["state"] == "active"
    assert (state.loss_first, state.step, state.tokens) == (4.0, 3, 30)
    # Attaching again is replaying from zero.
    again: list[dict[str, Any]] = []
    assert follow(folder, again.append) == state
    assert again == told
    assert show_run(vault.home, folder.name[:9])["state"] == "finished"
    assert [s.run for s in list_runs(vault.home)] == [folder.name]


def test_the_folder_is_private_and_its_plain_files_name_nothing(vault: Vault) -> None:
    folder = make_run(vault, steps=1)
    start(vault, folder)
    finish(folder)
    for path in (folder, *folder.rglob("*")):
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode == (0o700 if path.is_dir() else 0o600), (path, oct(mode))
    sealed = JobFolder(folder).sealed_spec_file.read_bytes()
    assert b"recipe" not in sealed
    assert json.loads(open_blob(vault.key(folder.name), SPEC, sealed)) == {"recipe": {"rank": 8}}


def test_the_job_outlives_its_launcher_and_gets_keys_by_the_pipe_alone(vault: Vault) -> None:
    folder = make_run(vault, steps=2000, step_ms=10)
    key = vault.key(folder.name)
    script = f"""
import sys
from pathlib import Path
sys.path.insert(0, {str(Path.cwd())!r})
from workbench.runs.launch import launch
from workbench.vault.sealed import DataKey
key = DataKey({key.vault_id!r}, {key.object_id!r}, bytes.fromhex({key.secret.hex()!r}))
print(launch(Path({str(folder)!r}), [key], module=Path({str(FAKE_ENGINE)!r})))
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        env={**os.environ, "WORKBENCH_PASSPHRASE": "hunter2", "HTTPS_PROXY": "http://x"},
    )
    assert done.returncode == 0, done.stderr
    pid = int(done.stdout)
    wait_for_step(folder)
    assert os.getsid(pid) == pid != os.getsid(0)
    arguments = Path(f"/proc/{pid}/cmdline").read_bytes()
    environment = Path(f"/proc/{pid}/environ").read_bytes()
    wire = key.to_wire()
    for hidden in (key.secret, *(str(value).encode() for value in wire.values())):
        if hidden.decode("latin-1") not in (key.vault_id, key.object_id):
            assert hidden not in arguments + environment
    assert b"hunter2" not in environment
    assert b"HTTPS_PROXY" not in environment
    assert b"HF_HUB_OFFLINE=1" in environment
    assert b"-I\0" in arguments


def test_a_module_planted_in_the_working_folder_does_not_run(
    vault: Vault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_run(vault, steps=1)
    for place in (tmp_path, folder):
        (place / "json.py").write_text(f"open({str(tmp_path / 'planted')!r}, 'w')\n")
    monkeypatch.chdir(tmp_path)
    start(vault, folder)
    assert finish(folder).state == "finished"
    assert not (tmp_path / "planted").exists()


def test_pause_frees_the_job_and_resume_goes_on_from_the_checkpoint(vault: Vault) -> None:
    folder = make_run(vault, steps=30, step_ms=10)
    start(vault, folder)
    wait_for_step(folder, 2)
    began = time.monotonic()
    paused = steering.pause(vault.home, folder.name)
    assert paused.state == "paused"
    assert time.monotonic() - began < 10
    assert paused.is_resumable
    assert 2 <= paused.step < 30
    with pytest.raises(BadInput) as caught:
        steering.pause(vault.home, folder.name)
    assert caught.value.code == "not_running"
    steering.resume(vault, folder.name, module=FAKE_ENGINE)
    told: list[dict[str, Any]] = []
    assert follow(folder, told.append, timeout_seconds=20).state == "finished"
    steps = [event["step"] for event in told if event["type"] == "step"]
    assert steps == list(range(1, 31)), "no step was done twice or left out"
    assert [event["seq"] for event in told] == list(range(1, len(told) + 1))


def test_a_late_answer_is_told_while_it_is_waited_for(
    vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steering, "_DELAY_SECONDS", 0.3)
    folder = make_run(vault, steps=5000, step_ms=10, deaf=1)
    start(vault, folder)
    wait_for_step(folder)
    told: list[RunState] = []
    state = steering.pause(vault.home, folder.name, wait_seconds=0.8, on_delay=told.append)
    assert state.state == "pausing"
    assert [each.state for each in told] == ["pausing"]
    assert told[0].step >= 1
    assert "run follow" in run_lines(show_run(vault.home, folder.name))[-1]


def test_a_checkpoint_is_made_on_demand(vault: Vault) -> None:
    folder = make_run(vault, steps=500, step_ms=10)
    start(vault, folder)
    wait_for_step(folder)
    state = steering.checkpoint(vault.home, folder.name)
    assert (state.checkpoints, state.state) == (1, "running")
    assert steering.checkpoint(vault.home, folder.name).checkpoints == 2


def test_stop_ends_for_good(vault: Vault) -> None:
    folder = make_run(vault, steps=500, step_ms=10)
    start(vault, folder)
    wait_for_step(folder)
    assert steering.stop(vault.home, folder.name).state == "stopped"
    lock = JobFolder(folder).take_lock(patience=5.0)  # as of a process that is about to go
    try:
        with pytest.raises(BadInput) as caught:
            steering.resume(vault, folder.name, module=FAKE_ENGINE)
    finally:
        os.close(lock)
    assert caught.value.code == "not_resumable"
    assert steering.stop(vault.home, folder.name).state == "stopped"


def test_a_stop_that_is_not_answered_is_asked_for_and_shown(vault: Vault) -> None:
    folder = make_run(vault, steps=1000, step_ms=10, deaf=1)
    start(vault, folder)
    wait_for_step(folder)
    assert steering.stop(vault.home, folder.name, grace_seconds=0).state == "stopping"


@pytest.mark.parametrize("stubborn", [0, 1])
def test_a_deaf_job_gets_signals(vault: Vault, stubborn: int) -> None:
    folder = make_run(vault, steps=1000, step_ms=10, deaf=1, stubborn=stubborn)
    pid = start(vault, folder)
    wait_for_step(folder)
    state = steering.stop(vault.home, folder.name, grace_seconds=0.2, term_seconds=0.5)
    assert state.state == "stopped"
    assert Process.of(pid) is None or not JobFolder(folder).is_alive()


def test_a_paused_run_can_be_stopped_without_a_process(vault: Vault) -> None:
    folder = make_run(vault, steps=500, step_ms=10)
    start(vault, folder)
    wait_for_step(folder)
    steering.pause(vault.home, folder.name)
    assert steering.stop(vault.home, folder.name).state == "stopped"


def test_a_later_owner_of_the_process_number_is_never_signalled(vault: Vault) -> None:
    folder = JobFolder(make_run(vault, steps=1))
    bystander = subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True
    )
    try:
        real = Process.of(bystander.pid)
        assert real is not None
        # The lock is held by somebody, and names the bystander's number with another start.
        with folder.held():
            forged = {"pid": bystander.pid, "start": real.start - 1}
            folder.lock_file.write_text(json.dumps(forged))
            state = steering.stop(vault.home, folder.run, grace_seconds=0.1, term_seconds=0.2)
        assert bystander.poll() is None
        assert state.state == "stopping"
        # The right start time, but the lock is free.
        folder.lock_file.write_text(json.dumps({"pid": real.pid, "start": real.start}))
        steering.stop(vault.home, folder.run, grace_seconds=0.1, term_seconds=0.2)
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_one_process_works_on_a_run(vault: Vault) -> None:
    folder = make_run(vault, steps=500, step_ms=10)
    start(vault, folder)
    wait_for_step(folder)
    for _ in range(20):
        assert JobFolder(folder).is_alive()
    with pytest.raises(Busy):
        JobFolder(folder).take_lock(patience=0.1)
    with pytest.raises(Busy):
        steering.resume(vault, folder.name, module=FAKE_ENGINE)
    with pytest.raises(Busy):
        steering.remove_run(vault, folder.name)
    assert current_state(folder).state == "running"


def test_two_jobs_on_one_device_take_turns_in_order(vault: Vault) -> None:
    folders = []
    for _ in range(3):
        folders.append(make_run(vault, device="cuda-0", queue=1, steps=20, step_ms=10))
        start(vault, folders[-1])
        follow(folders[-1], until=lambda s: s.state != "starting", timeout_seconds=20)
    elsewhere = make_run(vault, device="cuda-1", queue=1, steps=1)
    start(vault, elsewhere)
    assert finish(elsewhere).state == "finished"
    spans = []
    for folder in folders:
        told: list[dict[str, Any]] = []
        assert follow(folder, told.append, timeout_seconds=30).state == "finished"
        began = next(event["t"] for event in told if event["type"] == "started")
        spans.append((began, told[-1]["t"]))
    assert spans == sorted(spans)
    for (_, ended), (began, _) in itertools.pairwise(spans):
        assert began >= ended, "two jobs had the device at once"


def test_a_queued_job_can_be_stopped_and_a_killed_holder_frees_the_device(vault: Vault) -> None:
    holder = make_run(vault, device="cuda-0", queue=1, steps=3000, step_ms=10)
    pid = start(vault, holder)
    wait_for_step(holder)
    queued, following = (make_run(vault, device="cuda-0", queue=1, steps=2) for _ in range(2))
    for folder in (queued, following):
        start(vault, folder)
        state = follow(folder, until=lambda s: s.state == "queued", timeout_seconds=20)
        assert state.state == "queued"
    assert state.position == 2
    assert steering.stop(vault.home, queued.name).state == "stopped"
    os.kill(pid, 9)
    assert finish(following).state == "finished"
    assert current_state(holder).state == "crashed"
    assert not list((vault.home / "locks").glob("ticket-*"))


def test_removing_shreds_the_key_and_a_follower_is_told(vault: Vault) -> None:
    folder = make_run(vault, steps=1)
    start(vault, folder)
    finish(folder)
    caught: list[BaseException] = []

    def watch() -> None:
        try:
            follow(folder, until=lambda state: False, poll_seconds=0.02)
        except NotFound as error:
            caught.append(error)

    watcher = threading.Thread(target=watch)
    watcher.start()
    time.sleep(0.2)
    steering.remove_run(vault, folder.name)
    watcher.join(10)
    assert [getattr(error, "code", "") for error in caught] == ["run_gone"]
    assert folder.name not in vault.key_ids()
    with pytest.raises(NotFound):
        show_run(vault.home, folder.name)


def test_a_run_is_made_whole_or_not_at_all(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> bytes:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("workbench.runs.launch.seal_blob", fail)
    with pytest.raises(OSError, match="No space"):
        make_run(vault)
    assert list(vault.runs_folder.iterdir()) == []


def test_launching_what_is_not_there(vault: Vault) -> None:
    with pytest.raises(NotFound):
        launch(vault.runs_folder / "ru-0000000000000000", [])
