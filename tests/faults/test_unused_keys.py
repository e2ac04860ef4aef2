"""A front door that dies while it makes a run leaves no keys behind for ever."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.libraries import PASSPHRASE
from tests.fixtures.runs import make_run
from tests.fixtures.tiny_jobs import write_llama
from workbench.adapters import short_jobs
from workbench.adapters.registration import register_finished, sweep_unused_keys
from workbench.adapters.short_jobs import ShortJob, run_job
from workbench.datasets.importing import import_files
from workbench.errors import Busy
from workbench.models.shelf import add_model
from workbench.recipe import Recipe
from workbench.runs import launch, training
from workbench.runs.job import JobFolder
from workbench.runs.steering import remove_run
from workbench.runs.training import start_training
from workbench.vault.ids import new_id
from workbench.vault.store import Vault

pytestmark = pytest.mark.faults


@pytest.fixture(scope="module")
def vault(tmp_path_factory: pytest.TempPathFactory) -> Vault:
    """A vault with the model `tiny` and the dataset `notes`."""
    folder = tmp_path_factory.mktemp("keys")
    vault, _ = Vault.create(folder / "home", PASSPHRASE, kdf="light")
    add_model(vault, write_llama(folder / "source"), "tiny")
    path = folder / "notes.jsonl"
    rows = [{"prompt": f"Question {n}", "completion": "An answer"} for n in range(8)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    import_files(vault, [path], "notes", splits={})
    return vault


def _train(vault: Vault) -> None:
    start_training(vault, model="tiny", dataset="notes", adapter="a", recipe=Recipe())


def _chat(vault: Vault) -> None:
    run_job(vault, ShortJob("generate", {}, {}))


def _die(*_: Any, **__: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _killed(start: Callable[[Vault], None], vault: Vault, where: tuple[Any, str]) -> None:
    """Start a job in a child that is killed where it calls this function."""
    child = os.fork()
    if child == 0:
        try:
            setattr(*where, _die)
            start(vault)
        finally:  # a forked child must never return into the test runner
            os._exit(0)
    _, outcome = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(outcome) == -signal.SIGKILL


@pytest.mark.parametrize(
    ("start", "where", "made"),
    [
        (_train, (training, "create_run"), ["ad", "ru"]),
        (_train, (launch, "seal_blob"), ["ad", "ru"]),
        (_chat, (short_jobs, "create_run"), ["ru"]),
    ],
    ids=["train", "train-folder-staged", "chat"],
)
def test_keys_of_a_run_that_never_came_to_be_are_gone_after_the_next_unlock(
    vault: Vault, start: Callable[[Vault], None], where: tuple[Any, str], made: list[str]
) -> None:
    keys, runs = set(vault.key_ids()), set(vault.runs_folder.iterdir())
    _killed(start, vault, where)
    left = set(vault.key_ids()) - keys
    assert sorted(key[:2] for key in left) == made
    register_finished(Vault.unlock(vault.home, PASSPHRASE))
    assert set(vault.key_ids()) == keys
    assert set(vault.runs_folder.iterdir()) == runs
    shredded = [e.detail["object"] for e in vault.audit.entries() if e.event == "key_shredded"]
    assert left <= set(shredded)


def test_a_run_that_is_being_made_keeps_its_keys(
    vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, reached, going_on = launch.create_run, threading.Event(), threading.Event()
    folders: list[Path] = []

    def slow(*args: Any) -> Path:
        reached.set()
        assert going_on.wait(60)
        folders.append(real(*args))
        return folders[0]

    monkeypatch.setattr(training, "create_run", slow)
    monkeypatch.setattr(training, "launch", lambda *_, **__: 0)
    keys = set(vault.key_ids())
    starter = threading.Thread(target=_train, args=(Vault.unlock(vault.home, PASSPHRASE),))
    starter.start()
    assert reached.wait(60)
    made = set(vault.key_ids()) - keys
    assert len(made) == 2
    with pytest.raises(Busy):
        sweep_unused_keys(vault)
    register_finished(Vault.unlock(vault.home, PASSPHRASE))  # another front door
    assert made <= set(vault.key_ids())
    going_on.set()
    starter.join(60)
    register_finished(vault)
    assert made <= set(vault.key_ids())
    assert {folders[0].name, JobFolder(folders[0]).spec().objects["adapter"]} == made
    # Removed before it made its adapter, it leaves a key that nothing uses.
    remove_run(vault, folders[0].name)
    register_finished(vault)
    assert set(vault.key_ids()) == keys


def test_what_a_damaged_run_may_need_is_kept(vault: Vault) -> None:
    folder = make_run(vault)
    adapter = new_id("ad")
    vault.new_key(adapter)
    JobFolder(folder).spec_file.write_text("{")
    assert sweep_unused_keys(vault) == []
    assert {folder.name, adapter} <= set(vault.key_ids())
    remove_run(vault, folder.name)
    assert sweep_unused_keys(vault) == [adapter]
