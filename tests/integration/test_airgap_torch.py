"""The heavy libraries have to load and compute inside the lock-down."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from workbench.airgap.environment import child_environment

SCRIPT = """
import json
from workbench.airgap.landlock import LandlockPaths
from workbench.airgap.lockdown import Policy, lock_down
protection = lock_down(Policy(landlock=LandlockPaths(), strict=True))
import torch, transformers, peft, bitsandbytes
linear = bitsandbytes.nn.Linear4bit(64, 64, quant_type="nf4", compute_dtype=torch.float32)
linear = linear.to("cpu")
out = linear(torch.ones(2, 64)).sum()
pid_of_worker = torch.multiprocessing.Queue()
print(json.dumps({"layers": protection.to_json(), "finite": bool(torch.isfinite(out))}))
"""


@pytest.mark.slow
def test_the_engines_libraries_work_under_every_layer() -> None:
    done = subprocess.run(
        [sys.executable, "-I", "-c", SCRIPT],
        capture_output=True,
        text=True,
        timeout=240,
        env=child_environment(),
    )
    assert done.returncode == 0, done.stderr[-2000:]
    answer = json.loads(done.stdout.splitlines()[-1])
    assert answer["finite"]
    assert answer["layers"]["seccomp"]["state"] == "active"
