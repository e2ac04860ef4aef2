"""What commands promise to scripts: one JSON document, an exit code, a reason."""

from __future__ import annotations

import argparse
import errno
import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fixtures.commands import Shell
from tests.fixtures.runs import make_run
from tests.fixtures.tiny_models import LLAMA_CONFIG, write_model
from workbench.__main__ import main
from workbench.cli import demo
from workbench.cli.console import Console
from workbench.cli.main import Command, _parser, run
from workbench.models.facts import facts_from_config
from workbench.runs import steering
from workbench.runs.job import JobFolder
from workbench.vault.store import Vault

TWO_TRILLION = {"hidden_size": 16384, "intermediate_size": 53248, "num_hidden_layers": 700}


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
    [
        (errno.ENOSPC, (5, "disk_full")),
        (errno.EROFS, (3, "no_access")),
        (errno.EIO, (3, "gone")),
        (errno.EBADF, (70, None)),
    ],
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


def test_the_shelf_says_what_a_model_needs_that_does_not_fit(shell: Shell, tmp_path: Path) -> None:
    shell.json("model", "add", write_model(tmp_path / "source"), "--name", "small")
    (small,) = shell.json("model", "list")["models"]
    assert small["qlora"]["fits"]
    assert small["qlora"]["card_bytes"] is None
    assert small["qlora"]["needs_bytes"] <= small["qlora"]["of_bytes"]
    # The shelf is made to believe that it is one of two trillion parameters.
    vault = Vault.unlock(shell.home, shell.passphrase_file.read_text())
    entry = vault.catalogue.get("model", "small")
    giant = facts_from_config({**LLAMA_CONFIG, **TWO_TRILLION})
    vault.catalogue.put(
        "model", entry.object_id, entry.name, {**entry.record, "facts": giant.to_json()}
    )
    (large,) = shell.json("model", "list")["models"]
    assert not large["qlora"]["fits"]
    assert large["qlora"]["card_bytes"] is None
    _, out, _ = shell.run("model", "list")
    assert "With rows of 64 tokens, no card of 141 GB or less holds it." in out


def test_a_name_that_is_almost_right_is_met_with_the_right_one(shell: Shell) -> None:
    shell.json("dataset", "import", _lines_of(shell), "--name", "referrals")
    error = shell.json("dataset", "show", "referals", expect=3)["error"]
    assert "called referals" in error["message"]
    assert "Did you mean referrals?" in error["hint"]


def _lines_of(shell: Shell) -> Path:
    path = shell.home.parent / "referrals.jsonl"
    path.write_text('{"prompt": "which ward?", "completion": "four"}\n' * 3)
    return path


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (("plan", "--config", "c", "--rank", "abc"), "--rank takes a whole number, not abc"),
        (("plan", "--config", "c", "--method", "dora"), "Did you mean lora?"),
        (("banana",), "banana is no command; there are demo, doctor"),
        (("vault", "verfy"), "Did you mean verify?"),
        (("train", "--model", "m"), "Missing: --dataset, --name."),
        (("plan",), "Missing: --model or --config."),
        (("evaluate", "a", "--show", "-3"), "--show: -3 is less than 0"),
        (("evaluate", "a", "--show", "x"), "'x' is not a whole number"),
        (("dataset", "preview", "d", "--count", "0"), "0 is less than 1"),
        (("audit", "verify", "--public-key", "00"), "goes with --file"),
        (("chat", "--model", "m", "--prompt", " "), "question is empty"),
        (("train", "--model", "m", "--dataset", "d:2", "--name", "a"), "takes one dataset"),
    ],
)
def test_a_wrong_word_is_told_plainly(shell: Shell, words: tuple[str, ...], part: str) -> None:
    error = shell.json(*words, expect=2)["error"]
    assert part in error["message"]
    assert error["hint"]


@pytest.mark.parametrize(
    "words", [("run", "list"), ("run", "pause", "ru-1"), ("dataset", "list"), ("audit", "head")]
)
def test_a_home_that_is_not_there_is_named(
    shell: Shell, tmp_path: Path, words: tuple[str, ...]
) -> None:
    absent = tmp_path / "absent"
    error = shell.json("--home", absent, *words, expect=3)["error"]
    assert error["code"] == "no_vault"
    assert str(absent) in error["message"]
    assert "workbench init" in error["hint"]
    assert not absent.exists()


def test_a_home_of_an_unknown_user_is_wrong_usage(shell: Shell) -> None:
    error = shell.json("--home", "~nobody-knows-them/home", "run", "list", expect=2)["error"]
    assert error["code"] == "unknown_user"


def test_the_exported_log_replaces_no_file(shell: Shell, tmp_path: Path) -> None:
    place = tmp_path / "log.jsonl"
    shell.json("audit", "export", "--out", place)
    before = place.read_bytes()
    assert before
    assert shell.json("audit", "export", "--out", place, expect=3)["error"]["code"] == "out_exists"
    assert place.read_bytes() == before


def _options(parser: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.Action]]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for below in action.choices.values():
                yield from _options(below)
        else:
            yield parser.prog, action


def test_every_option_of_every_command_says_what_it_is() -> None:
    silent = {f"{prog} {action.dest}" for prog, action in _options(_parser()) if not action.help}
    assert not silent


def test_a_kept_demo_makes_the_folders_above_it(tmp_path: Path) -> None:
    above = tmp_path / "not" / "yet"
    place = demo._Place(above / "home", above / "home.export", above / "home.passphrase")
    demo._Walk(place, Console(as_json=True)).make_vault()
    assert (above / "home").is_dir()
    assert (above / "home.passphrase").stat().st_mode & 0o777 == 0o600


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


def test_an_error_that_nobody_reads_ends_quietly(shell: Shell) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        for words in (["--json", "nonsense"], ["--version"]):
            done = subprocess.run(
                shell.command(words), stdout=writing, stderr=subprocess.PIPE, timeout=60
            )
            assert (done.returncode, done.stderr) == (1, b"")
    finally:
        os.close(writing)


@pytest.mark.parametrize(("closed", "prints"), [("<&-", True), (">&-", False)])
def test_a_caller_may_have_closed_its_streams(shell: Shell, closed: str, prints: bool) -> None:
    line = f'exec "$@" {closed}'
    done = subprocess.run(
        ["sh", "-c", line, "sh", *shell.command(["--json", "run", "list"])],
        env=shell.variables(),
        capture_output=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert (b'"runs"' in done.stdout) == prints


def test_ctrl_c_that_a_library_turns_into_its_own_error_is_still_ctrl_c(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def loads_a_library(*_: object) -> None:
        try:
            os.kill(os.getpid(), signal.SIGINT)
        except KeyboardInterrupt:
            raise ImportError("half loaded") from None

    command = Command(argparse.Namespace(handler=loads_a_library), Console(as_json=True))
    assert run(command) == 130
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "interrupted"


def test_ctrl_c_while_the_parsers_load_leaves_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(_: object) -> Command:
        raise KeyboardInterrupt

    monkeypatch.setattr("workbench.cli.main.parse", interrupted)
    assert main(["--json", "run", "list"]) == 130
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "interrupted"
