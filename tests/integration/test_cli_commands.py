"""What commands promise to scripts: one JSON document, an exit code, a reason."""

from __future__ import annotations

import argparse
import errno
import json
import os
from pathlib import Path

import pytest

from tests.fixtures.commands import Shell
from tests.fixtures.runs import make_run
from workbench.cli.console import Console
from workbench.cli.main import Command, run
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


def test_a_refusal_says_what_to_do_next(shell: Shell, tmp_path: Path) -> None:
    empty, no_config = tmp_path / "empty.csv", tmp_path / "config.json"
    empty.touch()
    no_config.write_text('{"model_type": "llama"}')
    for code, words in (
        (3, ("dataset", "import", empty, "--name", "x")),
        (3, ("dataset", "import", tmp_path, "--name", "x")),
        (3, ("dataset", "import", tmp_path / "absent.csv", "--name", "x")),
        (2, ("dataset", "import", empty, "--name", "x", "--map", "prompt")),
        (2, ("dataset", "import", empty, "--name", "x", "--split", "test=2")),
        (3, ("plan", "--config", no_config)),
        (3, ("plan", "--config", tmp_path)),
        (2, ("plan", "--config", no_config, "--memory", "24")),
        (2, ("chat", "--prompt", "hello")),
        (3, ("adapter", "show", "absent")),
    ):
        error = shell.json(*words, expect=code)["error"]
        assert set(error) == {"code", "message", "hint"}
        assert error["hint"], words


@pytest.mark.parametrize(
    ("number", "expected"),
    [(errno.ENOSPC, (5, "disk_full")), (errno.EROFS, (3, "no_access")), (errno.EIO, (70, None))],
)
def test_what_the_system_refuses_has_its_own_exit_code(
    number: int, expected: tuple[int, str | None], capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(options: argparse.Namespace, console: Console) -> None:
        raise OSError(number, os.strerror(number), "/home/Jane Doe")

    command = Command(argparse.Namespace(handler=refuse), Console(as_json=True))
    assert run(command) == expected[0]
    out = capsys.readouterr().out
    assert json.loads(out)["error"]["code"] == (expected[1] or "internal")
    assert "Jane" not in out


def test_an_interrupted_command_still_prints_its_one_document(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def interrupt(options: argparse.Namespace, console: Console) -> None:
        raise KeyboardInterrupt

    run(Command(argparse.Namespace(handler=interrupt), Console(as_json=True)))
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "interrupted"


@pytest.mark.parametrize("name", ["", "../x", "a\nb", "\x1b[31mred", "-x", "x" * 101])
def test_what_is_no_name_names_no_adapter(shell: Shell, name: str) -> None:
    words = ("train", "--model", "absent", "--dataset", "absent", f"--name={name}")
    assert shell.json(*words, expect=2)["error"]["code"] == "bad_name"
