"""The tracer as a process of its own: `python -I -m workbench.engine.referee` for `plan --trace`.

It reads one JSON document from the standard input, locks itself down, imports torch, traces, and
prints one JSON document. It opens no file of anybody's and writes none.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from typing import Any

from workbench.airgap.landlock import LandlockPaths
from workbench.airgap.leaks import guard_tracebacks
from workbench.airgap.lockdown import Policy, lock_down
from workbench.engine.libraries import import_libraries
from workbench.engine.quiet import settle
from workbench.errors import WorkbenchError
from workbench.models import confined

CPU_SECONDS = 900


def main() -> None:
    """Answer one request: `config`, `recipe`, `device` and `bf16`."""
    guard_tracebacks()
    for kind, most in ((resource.RLIMIT_CPU, CPU_SECONDS), (resource.RLIMIT_CORE, 0)):
        resource.setrlimit(kind, (most, most))
    settle()
    try:
        request = json.loads(sys.stdin.buffer.read())
        lock_down(Policy(landlock=LandlockPaths()))
        import_libraries()
        told = _traced(request)
    except WorkbenchError as error:
        told = confined.told(error)
    sys.stdout.buffer.write(json.dumps(told).encode())


def _traced(request: dict[str, Any]) -> dict[str, Any]:
    import torch

    from workbench.engine.tracing import trace
    from workbench.recipe import parse

    began = time.monotonic()
    found = trace(
        request["config"],
        parse(request["recipe"]),
        device=request["device"],
        compute=torch.bfloat16 if request["bf16"] else torch.float32,
    )
    return {**found.to_json(), "seconds": round(time.monotonic() - began, 1)}


if __name__ == "__main__":
    main()
