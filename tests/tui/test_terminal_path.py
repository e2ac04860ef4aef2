"""From welcome to an exported adapter in a real terminal, with the keys that the screens name.

Each screen on the way is captured and compared with the capture kept beside this file, figures and
times aside; WORKBENCH_UPDATE_SNAPSHOTS=1 renews them.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import pytest

from tests.fixtures.tmux import Terminal, has_tmux

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not has_tmux(), reason="tmux is not installed"),
]

CAPTURES = Path(__file__).parent / "captures"
PASSPHRASE = "quiet herons wade at dawn"
RECORDS = 160


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder whose path is short, and as long each time: longer ones wrap elsewhere."""
    with tempfile.TemporaryDirectory(prefix="wb-") as folder:
        yield Path(folder)


@pytest.fixture
def terminal(place: Path) -> Iterator[Terminal]:
    opened = Terminal.open(
        place,
        [sys.executable, "-I", "-m", "workbench", "--home", str(place / "home")],
        (80, 24),
        OMP_NUM_THREADS="1",
        TERM="xterm-256color",
        LANG="C.UTF-8",
    )
    yield opened
    opened.close()


def sample(folder: Path) -> Path:
    """Return a file with the first of the sample records."""
    data = files("workbench").joinpath("starter", "data", "triage.jsonl")
    whole = data.read_bytes().decode("utf-8", "ignore")
    path = folder / "notes.jsonl"
    path.write_text("\n".join(whole.splitlines()[:RECORDS]) + "\n", encoding="utf-8")
    return path


def check(name: str, shown: str, folder: Path) -> None:
    """Compare a capture with the kept one, figures and this test's own folder aside."""
    steady = shown.replace(str(folder), "/place")
    steady = re.sub(r"\b[0-9A-Z]{4}(-[0-9A-Z]{4})+-?", "KEY", steady)
    steady = re.sub(r"\d[\d,.]*(e-\d+)?", "0", steady)
    steady = re.sub(r"[ \t]+", " ", steady)
    path = CAPTURES / f"{name}.txt"
    if os.environ.get("WORKBENCH_UPDATE_SNAPSHOTS") == "1":
        path.write_text(steady, encoding="utf-8")
    assert path.read_text(encoding="utf-8") == steady, name


def test_from_welcome_to_an_exported_adapter(terminal: Terminal, place: Path) -> None:
    check("1-welcome", terminal.wait("Make the vault"), place)
    terminal.type(PASSPHRASE)
    terminal.press("Enter")
    terminal.type(PASSPHRASE)
    terminal.press("Enter")
    shown = terminal.wait("type its last group")
    check("2-recovery-key", shown, place)
    terminal.type(re.findall(r"-([0-9A-Z]{4})\s", shown)[-1])
    terminal.press("Enter")
    check("3-home", terminal.wait("Begin: bring in your data"), place)

    terminal.press("Enter")
    check("4-data", terminal.wait("a path, such as"), place)
    terminal.type(str(sample(place)))
    terminal.press("Enter")
    terminal.wait("columns instruction, input, output")
    terminal.go("C-n", "Seal the records")
    terminal.go("C-n", "On to the model")
    check("5-model", terminal.go("C-n", "Use this model"), place)
    terminal.go("C-n", "Go with what fits best")
    terminal.go("C-n", "Name of the adapter")
    terminal.press("C-n")
    terminal.wait("is in the library", 300)
    terminal.press("C-n")
    terminal.wait("Compare again", 180)
    terminal.go("C-n", "Finish")
    check("7-keep", terminal.wait("are free there"), place)
    export(terminal, place / "taken-out")
    terminal.press("C-n")
    check("9-home-again", terminal.wait("Open Playground"), place)

    names = {path.name for path in (place / "taken-out").iterdir()}
    assert {"adapter_model.safetensors", "adapter_config.json", "MANIFEST.json"} <= names
    terminal.press("C-q")
    deadline = time.monotonic() + 15
    while not terminal.is_over():
        assert time.monotonic() < deadline, "the workbench did not end"
        time.sleep(0.2)


def export(terminal: Terminal, folder: Path) -> None:
    """Go to the folder's field with Tab, name the folder, and press Export."""
    terminal.press("Tab", "Tab", "End", "C-u")
    terminal.type(str(folder))
    terminal.wait("are free there")
    terminal.press("Tab", "Tab", "Enter")
    check("8-exported", terminal.wait("Every file has the hash", 120), folder.parent)
