"""What commands promise to scripts: one JSON document, an exit code, a reason."""

from __future__ import annotations

import json

import pytest

from tests.fixtures.commands import Shell
from tests.fixtures.runs import make_run
from workbench.runs import steering
from workbench.runs.job import JobFolder
from workbench.vault.store import Vault


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """A vault with one dataset, `notes`."""
    folder = tmp_path_factory.mktemp("commands")
    shell = Shell.at(folder)
    shell.json("init", "--kdf", "light")
    notes = folder / "notes.jsonl"
    rows = [{"prompt": f"question {n}", "completion": f"answer {n}"} for n in range(30)]
    notes.write_text("".join(json.dumps(row) + "\n" for row in rows))
    shell.json("dataset", "import", notes, "--name", "notes")
    return shell


def test_a_sound_dataset_is_verified(shell: Shell) -> None:
    document = shell.json("dataset", "verify", "notes")
    assert document["dataset"] == "notes"
    assert document["bad"] == []
    assert document["bytes"] > 0
    code, out, _ = shell.run("dataset", "verify", "notes")
    assert (code, "none bad" in out) == (0, True)


def test_options_are_not_abbreviated(shell: Shell) -> None:
    code, out, err = shell.run("vault", "status", "--js")
    assert (code, out) == (2, "")
    assert "--js" in err


def test_what_an_unfinished_run_needs_is_not_removed(shell: Shell) -> None:
    vault = Vault.unlock(shell.home, shell.passphrase_file.read_text())
    dataset = vault.catalogue.get("dataset", "notes").object_id
    folder = make_run(vault, objects={"dataset": dataset})
    refused = shell.json("dataset", "remove", "notes", expect=3)["error"]
    assert refused["code"] == "in_use"
    assert folder.name in refused["hint"]
    assert shell.json("dataset", "show", "notes")["rows"] == 30
    steering.stop(shell.home, folder.name)
    shell.json("dataset", "remove", "notes")


def test_a_run_whose_dataset_is_gone_says_so(shell: Shell) -> None:
    vault = Vault.unlock(shell.home, shell.passphrase_file.read_text())
    vault.new_key("ds-00000000000000aa")
    folder = make_run(vault, objects={"dataset": "ds-00000000000000aa"})
    vault.shred("ds-00000000000000aa")
    with JobFolder(folder).held(), JobFolder(folder).writer() as writer:
        writer.write("paused", step=0)
    refused = shell.json("run", "resume", folder.name, expect=3)["error"]
    assert refused["code"] == "run_orphaned"
    assert "run stop" in refused["hint"]


def test_no_run_of_an_open_home_is_shown_or_steered(shell: Shell) -> None:
    shell.home.chmod(0o755)
    try:
        for action in ("list", "show", "follow", "pause", "resume", "stop", "checkpoint"):
            words = ("run", action) if action == "list" else ("run", action, "ru-1")
            assert shell.json(*words, expect=6)["error"]["code"] == "open_home", action
    finally:
        shell.home.chmod(0o700)
