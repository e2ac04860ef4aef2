"""What torch keeps of every shape that it multiplied stays bounded over a run."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from workbench.airgap.environment import child_environment
from workbench.engine.loading import compute_dtype

_SHAPES = 300
_PROGRAM = f"""
import ctypes, torch
def anonymous():
    ctypes.CDLL(None).malloc_trim(0)  # what was freed does not count
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) >> 10
weight = torch.zeros(768, 256, dtype=torch.bfloat16)
def multiply(rows):
    torch.nn.functional.linear(torch.zeros(rows, 256, dtype=torch.bfloat16), weight)
multiply(1000)
before = anonymous()
for rows in range(1001, 1001 + {_SHAPES}):
    multiply(rows)
print(anonymous() - before)
"""


@pytest.mark.skipif(
    compute_dtype(torch.device("cpu")) != torch.bfloat16, reason="float32 products keep nothing"
)
def test_products_of_ever_new_shapes_do_not_pile_up() -> None:
    """Without the limits, 300 shapes keep 160 MiB; a run meets thousands."""
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM],
        env=child_environment(),
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert int(done.stdout) < 80
