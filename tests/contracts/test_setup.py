"""The two commands' set-up: what it says when something it needs is missing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
TOOLS = [
    "awk",
    "bash",
    "cat",
    "cksum",
    "date",
    "df",
    "dirname",
    "env",
    "flock",
    "grep",
    "mv",
    "printf",
    "rm",
    "tail",
    "tee",
]


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A checkout with nothing installed."""
    copy = tmp_path / "clone"
    copy.mkdir()
    shutil.copytree(PROJECT / "packaging", copy / "packaging", ignore=_not_the_recipe)
    shutil.copy(PROJECT / "pyproject.toml", copy)
    return copy


def _not_the_recipe(_: str, names: list[str]) -> set[str]:
    return {"starter", "__pycache__"} & set(names)


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """A PATH that holds the shell's tools and no Python."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in TOOLS:
        found = shutil.which(name)
        assert found is not None, name
        (folder / name).symlink_to(found)
    return folder


def demo(clone: Path, path: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": path, "HOME": str(clone), "PIP_CONFIG_FILE": os.devnull, **variables}
    return subprocess.run(
        [clone / "packaging" / "demo", "--headless"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_no_python(clone: Path, tools: Path) -> None:
    done = demo(clone, str(tools))
    assert done.returncode == 1
    assert "No Python from 3.11 on was found." in done.stderr
    assert not (clone / ".venv").exists()
    assert done.stdout == ""


def test_no_disk(clone: Path, tools: Path) -> None:
    (tools / "df").unlink()
    (tools / "df").write_text("#!/bin/sh\necho Filesystem\necho /dev/full 1000000 0 204800 99% /\n")
    (tools / "df").chmod(0o755)
    done = demo(clone, str(tools), WORKBENCH_PYTHON=sys.executable)
    assert done.returncode == 1
    assert "Not enough disk: 200 MiB are free" in done.stderr
    assert not (clone / ".venv").exists()


@pytest.mark.slow
def test_no_index_and_a_half_made_venv(clone: Path, tools: Path) -> None:
    half = clone / ".venv" / "lib"
    half.mkdir(parents=True)
    unreachable = {"PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_RETRIES": "0"}
    done = demo(clone, str(tools), WORKBENCH_PYTHON=sys.executable, **unreachable)
    assert done.returncode == 1
    assert "An unfinished .venv was found" in done.stderr
    assert "no package index was reachable" in done.stderr
    assert not half.exists() or not (clone / ".venv" / ".workbench-ready").exists()
    again = demo(clone, str(tools), WORKBENCH_PYTHON=sys.executable, **unreachable)
    assert "An unfinished .venv was found" in again.stderr


def test_a_finished_venv_is_used_at_once(clone: Path, tools: Path) -> None:
    ready = clone / ".venv" / "bin"
    ready.mkdir(parents=True)
    (ready / "workbench").write_text('#!/bin/sh\necho "ran $*"\n')
    (ready / "workbench").chmod(0o755)
    pins = [clone / "packaging" / name for name in ("pins.txt", "pins-test.txt")]
    content = b"".join(path.read_bytes() for path in [*pins, clone / "pyproject.toml"])
    wanted = subprocess.run(["cksum"], input=content, capture_output=True, check=True).stdout
    (clone / ".venv" / ".workbench-ready").write_text(f"demo {wanted.decode().strip()}\n")
    done = demo(clone, str(tools))
    assert (done.returncode, done.stdout) == (0, "ran demo --headless\n")
    # Changed pins make the stamp stale, and the set-up starts.
    pins[0].write_text(pins[0].read_text() + "# changed\n")
    assert "No Python" in demo(clone, str(tools)).stderr
