"""A needle in private data stands nowhere on the machine, whatever happens to the jobs."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import signal
import stat
import subprocess
import time
from importlib.resources import files
from pathlib import Path

import pytest

from tests.fixtures.commands import Shell
from workbench.airgap.canary import Finding, Needle, scan, scan_bytes
from workbench.models.codec import TextCodec
from workbench.runs import steering

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]

TEXT = "quagmire-heliotrope-7193-obelisk"


@pytest.fixture(scope="module")
def needle() -> Needle:
    folder = Path(str(files("workbench").joinpath("starter/model")))
    tokens = TextCodec.open(folder).encode_text(TEXT).ids
    return Needle(TEXT, tuple(tokens[2:-2]))


def records(count: int) -> str:
    lines = []
    for number in range(count):
        note = f"Note {number}: the caller {TEXT} asked about account {number * 37}."
        answer = f"Call {TEXT} back about {number}."
        lines.append(json.dumps({"prompt": note, "completion": answer}))
    # A row that is rejected, so that its text might end up in a report.
    return "\n".join([*lines, f'{{"prompt": "{TEXT}", "completion": ', ""])


def touched_since(moment: float, *roots: Path) -> list[Path]:
    """Return the regular files below `roots` that were written after `moment`."""
    found = []
    for root in roots:
        for folder, _, names in os.walk(root):
            for name in names:
                path = Path(folder, name)
                with contextlib.suppress(OSError):
                    status = path.lstat()
                    if stat.S_ISREG(status.st_mode) and status.st_mtime >= moment:
                        found.append(path)
    return found


def on_a_terminal(shell: Shell, *words: str) -> bytes:
    """Run a command on a pseudo-terminal and return every byte that it wrote there."""
    leader, follower = pty.openpty()
    child = subprocess.Popen(
        shell.command(words),
        env=shell.variables(),
        stdin=follower,
        stdout=follower,
        stderr=follower,
    )
    os.close(follower)
    written = bytearray()
    with contextlib.suppress(OSError):  # EIO: the last process has closed its side
        while chunk := os.read(leader, 65536):
            written += chunk
    os.close(leader)
    assert child.wait(timeout=120) == 0, bytes(written)
    return bytes(written)


def test_the_needle_is_found_nowhere(tmp_path: Path, needle: Needle) -> None:
    began = time.time()
    source = tmp_path / "source"
    temporary = tmp_path / "temporary"
    source.mkdir()
    temporary.mkdir()
    shell = Shell.at(tmp_path, TMPDIR=str(temporary))
    (source / "notes.jsonl").write_text(records(64))

    def look() -> list[Finding]:
        everywhere = touched_since(began, Path("/tmp"), Path("/dev/shm"), Path("/var/tmp"))
        ours = [path for path in everywhere if source not in path.parents]
        assert any(shell.home in path.parents for path in ours)
        return [*scan(ours, needle), *scan_bytes(bytes(shell.transcript), needle, "output")]

    shell.json("init", "--kdf", "light")
    shell.json("model", "add", str(files("workbench").joinpath("starter/model")), "--name", "m")
    written = on_a_terminal(
        shell, "dataset", "import", str(source / "notes.jsonl"), "--name", "d", "--as", "completion"
    )
    assert b"bad_json" in written
    shell.transcript += written + on_a_terminal(
        shell, "dataset", "preview", "d", "--masks", "--model", "m"
    )
    assert look() == []

    words = ["train", "--model", "m", "--dataset", "d", "--name", "a", "--set", "method=qlora"]
    words += ["max_steps=40", "epochs=40", "checkpoint_every=2", "context=256", "micro_batch=1"]
    run = shell.json(*words)["run"]
    events = shell.home / "runs" / run / "events.jsonl"

    def wait_for(kind: str) -> None:
        deadline = time.monotonic() + 120
        while f'"type":"{kind}"' not in events.read_text():
            assert time.monotonic() < deadline, events.read_text()[-2000:]
            time.sleep(0.05)

    wait_for("checkpointed")
    # Asked without the command, whose purpose is to show what the model says.
    sampled = steering.sample(shell.home, run)
    assert sampled.samples == 1, sampled.sample
    assert len(list((shell.home / "runs" / run / "samples").iterdir())) == 1
    assert look() == []  # while the job is at work
    shown = shell.json("run", "show", run)
    os.kill(shown["pid"], signal.SIGKILL)
    deadline = time.monotonic() + 30
    while shell.json("run", "show", run)["state"] != "crashed":
        assert time.monotonic() < deadline
    assert look() == []
    shell.json("run", "resume", run)
    shell.transcript += on_a_terminal(shell, "run", "follow", run)
    assert shell.json("run", "show", run)["state"] == "finished"
    shell.transcript += on_a_terminal(shell, "evaluate", "a", "--split", "train")
    assert shell.json("vault", "verify")["bad"] == []
    assert look() == []


def test_a_leak_would_be_seen(tmp_path: Path, needle: Needle) -> None:
    """The same look at a job's home into which somebody wrote the records."""
    leak = tmp_path / "home" / "engine.log"
    leak.parent.mkdir()
    leak.write_text(records(1))
    assert {finding.form for finding in scan([tmp_path], needle)} >= {"utf-8"}
    assert touched_since(time.time() - 60, tmp_path) == [leak]
