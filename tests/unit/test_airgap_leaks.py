"""What crashes print, and what children inherit: neither may carry private data."""

from __future__ import annotations

import subprocess
import sys

import pytest

from workbench.airgap.environment import HYGIENE, child_environment
from workbench.airgap.leaks import describe
from workbench.runs.values import is_code

CRASHES = {
    "main": "raise ValueError(secret)",
    "chained": """
try:
    raise KeyError(secret)
except KeyError as error:
    raise RuntimeError(secret) from error""",
    "noted": "error = ValueError(secret); error.add_note(secret); raise error",
    "group": "raise ExceptionGroup(secret, [ValueError(secret)])",
    "thread": """
import threading
def work(): raise ValueError(secret)
thread = threading.Thread(target=work, name=secret); thread.start(); thread.join()""",
    "cleanup": """
class Loud:
    def __init__(self): self.text = secret
    def __del__(self): raise ValueError(self.text)
loud = Loud(); del loud""",
}


@pytest.mark.parametrize("name", CRASHES)
def test_a_crash_tells_type_and_place_only(name: str) -> None:
    script = f"""
from workbench.airgap.leaks import guard_tracebacks
guard_tracebacks()
secret = "".join(["CAN", "ARY-", "7f3a"])
{CRASHES[name]}
"""
    done = subprocess.run([sys.executable, "-I", "-c", script], capture_output=True, text=True)
    assert "CANARY-7f3a" not in done.stdout + done.stderr
    assert "details are withheld" in done.stderr
    assert "Error at " in done.stderr or "ExceptionGroup at " in done.stderr


def test_a_description_is_made_of_codes() -> None:
    kind = type("Söme Error with\x1b[31m", (Exception,), {"__module__": "a b/c"})
    with pytest.raises(Exception, match="secret") as caught:
        raise kind("secret")
    told = describe(caught.value)
    assert all(is_code(value) for value in told.values()), told
    assert told["place"].startswith("test_airgap_leaks:")
    assert all(is_code(value) for value in describe(ValueError("never raised")).values())


def test_our_own_frame_is_named_before_a_librarys() -> None:
    with pytest.raises(TypeError) as caught:
        child_environment({1: "a number is no name"})  # type: ignore[dict-item]
    assert describe(caught.value)["place"].startswith("workbench.airgap.environment:")


def test_children_inherit_no_secrets_and_no_ways_out() -> None:
    source = {
        "WORKBENCH_PASSPHRASE": "x",
        "WORKBENCH_PASSPHRASE_FILE": "x",
        "https_proxy": "x",
        "ALL_PROXY": "x",
        "HF_TOKEN": "x",
        "GITHUB_TOKEN": "x",
        "OPENAI_API_KEY": "x",
        "AWS_SECRET_ACCESS_KEY": "x",
        "HF_ENDPOINT": "x",
        "LD_PRELOAD": "x",
        "PYTHONPATH": "x",
        "HF_HUB_OFFLINE": "0",
        "PATH": "/usr/bin",
        "OMP_NUM_THREADS": "3",
        "CUDA_VISIBLE_DEVICES": "1",
        "LD_LIBRARY_PATH": "/usr/local/cuda/lib64",
        "TOKENIZERS_PARALLELISM": "true",
    }
    kept = {
        "PATH": "/usr/bin",
        "OMP_NUM_THREADS": "3",
        "CUDA_VISIBLE_DEVICES": "1",
        "LD_LIBRARY_PATH": "/usr/local/cuda/lib64",
    }
    assert child_environment(source) == kept | HYGIENE
    assert HYGIENE["TOKENIZERS_PARALLELISM"] == "false"


def test_what_libraries_log_is_withheld() -> None:
    script = """
import asyncio, logging
from workbench.airgap.leaks import guard_logging
guard_logging()
async def main():
    async def fail():
        raise ValueError("CANARY-7f3a")
    task = asyncio.get_running_loop().create_task(fail())
    await asyncio.sleep(0.01)
    del task
asyncio.run(main())
logging.getLogger("some.library").error("CANARY-7f3a")
"""
    done = subprocess.run([sys.executable, "-I", "-c", script], capture_output=True, text=True)
    assert "CANARY" not in done.stdout + done.stderr
    assert "ValueError at" in done.stderr
