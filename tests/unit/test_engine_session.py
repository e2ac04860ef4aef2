"""The engine's first moments: nothing heavy before the lock-down, keys only through the pipe."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from workbench.engine.session import read_keys
from workbench.errors import VaultDamaged
from workbench.vault.sealed import DataKey


def _pipe(content: bytes) -> int:
    reading, writing = os.pipe()
    os.write(writing, content)
    os.close(writing)
    return reading


def test_keys_arrive_through_the_pipe_which_is_closed() -> None:
    key = DataKey("va-1", "ru-1", b"k" * 32)
    descriptor = _pipe(json.dumps({"keys": {"ru-1": key.to_wire()}}).encode())
    assert read_keys(descriptor) == {"ru-1": key}
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


@pytest.mark.parametrize("content", [b"", b"[]", b'{"keys": 3}', b'{"keys": {"a": {}}}', b"\xff"])
def test_a_broken_list_of_keys_is_refused_without_quoting_it(content: bytes) -> None:
    with pytest.raises(VaultDamaged) as caught:
        read_keys(_pipe(content))
    assert caught.value.__cause__ is None
    assert content == b"" or content.decode("latin-1") not in str(caught.value)


def _in_fresh_python(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-I", "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_nothing_heavy_is_imported_before_the_lock_down() -> None:
    heavy = ["torch", "transformers", "peft", "bitsandbytes", "duckdb", "numpy", "pyarrow"]
    code = (
        "import sys, workbench.engine.__main__\n"
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    assert _in_fresh_python(code).strip() == "[]"


@pytest.mark.slow
def test_libraries_come_without_the_compiler_and_without_a_notice() -> None:
    code = (
        "import sys\n"
        "from workbench.engine.quiet import settle; settle()\n"
        "from workbench.engine.libraries import import_libraries; import_libraries()\n"
        "import torch\n"
        "print('torch._inductor.compile_fx' in sys.modules, torch.compile.__module__)"
    )
    assert _in_fresh_python(code).strip() == "False torch"


def test_a_job_without_its_folder_fails_in_one_line(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-I", "-m", "workbench.engine", str(tmp_path / "ru-x"), "--keys-fd", "0"],
        capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode != 0
    assert "details are withheld" in done.stderr
    assert str(tmp_path) not in done.stderr
