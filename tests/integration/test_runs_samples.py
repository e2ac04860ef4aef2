"""Samples from the front doors' side: asked for, kept, read again, checked, removed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fixtures.commands import Shell
from tests.fixtures.runs import make_run, make_vault, start
from tests.fixtures.vaults import PASSPHRASE
from workbench.errors import BadInput, VaultDamaged
from workbench.runs import steering
from workbench.runs.follow import follow
from workbench.runs.job import JobFolder
from workbench.runs.samples import KEPT, Answer, Sample, SampleFolder, samples_of
from workbench.runs.state import current_state
from workbench.vault.store import Vault


@pytest.fixture(scope="module")
def vault(tmp_path_factory: pytest.TempPathFactory) -> Vault:
    return make_vault(tmp_path_factory.mktemp("samples"))


@pytest.fixture
def shell(vault: Vault, tmp_path: Path) -> Shell:
    found = Shell.at(tmp_path, PASSPHRASE)
    found.home = vault.home
    return found


def sample(number: int) -> Sample:
    answer = Answer(3, (("user", "Who?"),), "The nurse", "The \ud800 nurse", 2, True)
    return Sample(number, 10 * number, True, 0.25, (answer,))


def running(vault: Vault, *, mute: int = 0) -> Path:
    folder = make_run(vault, steps=4000, step_ms=10, mute=mute)
    start(vault, folder)
    follow(folder, until=lambda state: state.step > 0, timeout_seconds=20, poll_seconds=0.02)
    return folder


def test_a_run_is_asked_twice_and_answers_twice(vault: Vault) -> None:
    folder = running(vault)
    for number in (1, 2):
        state = steering.sample(vault.home, folder.name)
        assert (state.samples, state.state) == (number, "running")
    assert [found.number for found in samples_of(vault, folder.name)] == [1, 2]
    steering.stop(vault.home, folder.name)
    with pytest.raises(BadInput) as caught:
        steering.sample(vault.home, folder.name)
    assert caught.value.code == "not_running"
    assert len(samples_of(vault, folder.name)) == 2, "they outlive the job"
    steering.remove_run(vault, folder.name)
    assert not folder.exists()


def test_a_sample_that_cannot_be_had_is_told_and_not_waited_for(vault: Vault) -> None:
    folder = running(vault, mute=1)
    state = steering.sample(vault.home, folder.name)
    assert (state.samples, state.unsampled, state.sample["code"]) == (0, 1, "out_of_memory")
    steering.stop(vault.home, folder.name)
    other = make_run(vault, kind="evaluate")
    with pytest.raises(BadInput) as caught:
        steering.sample(vault.home, other.name)
    assert caught.value.code == "not_training"


def test_the_latest_are_kept_and_read_as_they_were_written(vault: Vault) -> None:
    job = JobFolder(make_run(vault))
    folder = SampleFolder(job.samples_folder, vault.key(job.run))
    assert folder.read() == []
    for number in range(1, KEPT + 4):
        folder.write(sample(number))
    assert folder.numbers() == list(range(4, KEPT + 4))
    assert folder.read()[-1] == sample(KEPT + 3)
    foreign = SampleFolder(job.samples_folder, vault.key(JobFolder(make_run(vault)).run))
    with pytest.raises(VaultDamaged):
        foreign.read()


def test_a_changed_sample_is_found_by_the_whole_vaults_check(vault: Vault) -> None:
    job = JobFolder(make_run(vault))
    SampleFolder(job.samples_folder, vault.key(job.run)).write(sample(1))
    assert vault.verify().bad == []
    (file,) = job.samples_folder.iterdir()
    body = bytearray(file.read_bytes())
    body[len(body) // 2] ^= 1
    file.write_bytes(body)
    assert vault.verify().bad == [str(file.relative_to(vault.home))]
    with pytest.raises(VaultDamaged):
        samples_of(vault, job.run)
    file.unlink()


def test_the_command_shows_the_answer_and_the_record_only_when_asked_to(
    vault: Vault, shell: Shell
) -> None:
    folder = running(vault)
    shown = shell.json("run", "sample", folder.name)
    assert shown["run"] == folder.name
    (taken,) = shown["samples"]
    assert (taken["number"], taken["held_out"]) == (1, True)
    assert taken["answers"][0]["answer"].startswith("Ward 1 of step")
    assert not {"asked", "expected"} & taken["answers"][0].keys()
    code, out, _ = shell.run("run", "sample", folder.name, "--taken")
    assert code == 0
    assert "answer: Ward 2 of step" in out
    assert "Which ward" not in out
    code, out, _ = shell.run("run", "sample", folder.name, "--taken", "--reveal")
    assert code == 0
    assert "user: Which ward has bed 2?" in out
    assert "expected: Ward 2" in out
    assert current_state(folder).samples == 1, "--taken asks for nothing"
    steering.stop(vault.home, folder.name)
    assert shell.json("run", "sample", folder.name, expect=3)["error"]["code"] == "not_running"


def test_the_command_needs_the_passphrase_before_it_asks(vault: Vault, shell: Shell) -> None:
    folder = running(vault, mute=1)
    shell.passphrase_file.write_text("another one entirely")
    assert shell.json("run", "sample", folder.name, expect=4)["error"]["code"] == "wrong_passphrase"
    assert current_state(folder).unsampled == 0
    shell.passphrase_file.write_text(PASSPHRASE)
    refused = shell.json("run", "sample", folder.name, expect=5)["error"]
    assert refused["code"] == "out_of_memory"
    assert "training goes on" in refused["message"]
    steering.stop(vault.home, folder.name)
