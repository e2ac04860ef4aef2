"""Trying the lock-down in a child process, so that `doctor` can tell what this machine holds."""

from __future__ import annotations

import json
import subprocess
import sys

from workbench.airgap.environment import child_environment
from workbench.airgap.lockdown import LAYERS, Layer, Protection

_SCRIPT = """
import json
from workbench.airgap.landlock import LandlockPaths
from workbench.airgap.lockdown import Policy, lock_down
print(json.dumps(lock_down(Policy(landlock=LandlockPaths(), strict=False)).to_json()))
"""
_SECONDS = 30


def try_layers() -> Protection:
    """Lock a short child process down with every layer and return what it achieved.

    In a child of a locked process the answer is still that of a job started from here. A child
    that does not answer makes every layer `refused`.
    """
    try:
        answer = subprocess.run(
            [sys.executable, "-I", "-c", _SCRIPT],
            capture_output=True,
            timeout=_SECONDS,
            env=child_environment(),
            check=True,
        )
        layers = {name: Layer(**layer) for name, layer in json.loads(answer.stdout).items()}
    except subprocess.TimeoutExpired:
        layers = {name: Layer("refused", "timeout") for name in LAYERS}
    except subprocess.CalledProcessError as error:
        layers = {name: Layer("refused", f"exit:{error.returncode}") for name in LAYERS}
    except (OSError, ValueError) as error:
        layers = {name: Layer("refused", type(error).__name__) for name in LAYERS}
    return Protection(layers)
