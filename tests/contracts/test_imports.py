"""What each part of the product may pull into a process, checked in fresh interpreters.

Import-linter reads the source; these tests look at `sys.modules`, which deferred imports inside
functions and libraries cannot hide from.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import workbench

ROOT = Path(workbench.__file__).parent
HEAVY = {"torch", "transformers", "peft", "bitsandbytes"}
FRONT = {"duckdb", "textual", "pyarrow", "cryptography"}

_REPORT = """
import json, runpy, sys
code = 0
try:
    {body}
except SystemExit as leaving:
    code = leaving.code or 0
print("\\n" + json.dumps([code, sorted({{name.partition(".")[0] for name in sys.modules}})]))
"""


def modules_after(body: str) -> tuple[int, set[str]]:
    """Run `body` in a fresh interpreter; return its exit code and the top-level modules loaded."""
    done = subprocess.run(
        [sys.executable, "-c", _REPORT.format(body=body)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    code, names = json.loads(done.stdout.splitlines()[-1])
    return code, set(names)


def every_module() -> list[str]:
    names = []
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT.parent).with_suffix("").parts
        names.append(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
    return names


@pytest.mark.parametrize("option", ["--version", "--help", "help"])
def test_the_first_answers_load_nothing_heavy(option: str) -> None:
    code, loaded = modules_after(
        f"sys.argv = ['workbench', {option!r}]; "
        "from workbench.cli.main import parse, run; sys.exit(run(parse(sys.argv[1:])))"
    )
    assert code == 0
    assert "workbench" in loaded
    assert not loaded & (HEAVY | FRONT)


def test_only_the_engine_loads_torch() -> None:
    others = [
        name
        for name in every_module()
        if not name.startswith("workbench.engine") and name != "workbench.__main__"
    ]
    assert len(others) > 40
    code, loaded = modules_after(
        f"import importlib; [importlib.import_module(n) for n in {others}]"
    )
    assert code == 0
    assert {"workbench", "duckdb", "cryptography"} <= loaded
    assert not loaded & HEAVY


def test_the_engine_starts_without_torch() -> None:
    """The lock-down comes before heavy imports, so the entry point must not cause one."""
    code, loaded = modules_after("import workbench.engine.__main__")
    assert code == 0
    assert not loaded & (HEAVY | {"duckdb"})


def test_packages_say_what_they_are_and_nothing_else() -> None:
    import ast

    packages = sorted(ROOT.rglob("__init__.py"))
    assert len(packages) > 10
    for path in packages:
        body = ast.parse(path.read_text()).body
        assert len(body) == 1, path
        assert isinstance(body[0], ast.Expr), path
