"""The child in which a stranger's tokenizer and chat template run: how it starts and is bounded.

It gets a limit on computing time and on address space, writes nothing to a file, leaves no core
dump, and hands back an error as codes and sentences of ours.
"""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Mapping
from typing import Any

from workbench.errors import BadInput, Refused, WorkbenchError

MEMORY_BYTES = 3 << 30
# The tokenizer's own threads would each take their share of the address space.
ENVIRONMENT: Mapping[str, str] = {
    "PATH": os.defpath,
    "LANG": "C.UTF-8",
    "TOKENIZERS_PARALLELISM": "false",
    "RAYON_NUM_THREADS": "1",
}


def command(module: str, *words: str) -> list[str]:
    """Return the command that runs a module of ours, whatever lies in the working folder."""
    return [sys.executable, "-I", "-m", module, *words]


def limit(cpu_seconds: int) -> None:
    """Bound this process for good; it is killed when it has computed for so long."""
    for kind, most in (
        (resource.RLIMIT_CPU, cpu_seconds),
        (resource.RLIMIT_AS, MEMORY_BYTES),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(kind, (most, most))


def told(error: WorkbenchError) -> dict[str, Any]:
    """Return an error as plain JSON values."""
    return {
        "error": error.message,
        "hint": error.hint,
        "code": error.code,
        "refused": isinstance(error, Refused),
    }


def raise_told(reply: Mapping[str, Any]) -> None:
    """Raise the error that a child told; nothing happens where it told none.

    Raises:
        BadInput: What the child could not take. Refused: What it may not.
    """
    if "error" in reply:
        kind = Refused if reply.get("refused") else BadInput
        raise kind(
            str(reply["error"]), hint=str(reply.get("hint", "")), code=str(reply.get("code", ""))
        )
