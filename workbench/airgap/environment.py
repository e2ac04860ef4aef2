"""The environment of child processes: what libraries are told, and what they must not inherit.

This is hygiene, not the guard: a library that ignores every one of these still cannot reach out.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

HYGIENE: dict[str, str] = {
    "HF_HUB_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1",
    "DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
    # transformers otherwise asks the hub for a safetensors conversion from a thread.
    "DISABLE_SAFETENSORS_CONVERSION": "1",
    "WANDB_MODE": "disabled",
    "BITSANDBYTES_NOWELCOME": "1",
    # Worker processes of the tokenizer would inherit plaintext and write nothing useful.
    "TOKENIZERS_PARALLELISM": "false",
    # Waiting threads yield the processor instead of spinning: other people work on this machine.
    "OMP_WAIT_POLICY": "PASSIVE",
    # torch keeps matrix products compiled for each shape, 0.3 MiB each, in two caches of 1,024
    # entries, one of them for each thread: over a run they grow by hundreds of MiB. A step of a
    # usual model needs about 60.
    "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "64",
    "LRU_CACHE_CAPACITY": "64",
    # One workspace of fixed size keeps cuBLAS deterministic.
    "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
    "PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True",
    # torch does not even load without a place for temporary files. This one is memory: what a
    # library leaves there does not reach the disk, and Landlock grants no other.
    "TMPDIR": "/dev/shm",  # noqa: S108
}

# Names whose values are secrets, ways out, or code that the dynamic linker or Python would load.
_DROPPED = re.compile(
    r"WORKBENCH_PASSPHRASE.*|.*_PROXY|.*(TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIAL|API_?KEY).*"
    r"|AWS_.*|AZURE_.*|GOOGLE_.*|SSH_.*|WANDB_.*|COMET_.*|MLFLOW_.*|SENTRY_.*"
    r"|HF_ENDPOINT|HF_HOME|HF_.*CACHE|TRANSFORMERS_CACHE"
    r"|LD_PRELOAD|LD_AUDIT|PYTHON(PATH|HOME|STARTUP|INSPECT|BREAKPOINT|WARNINGS|DEVMODE)",
    re.IGNORECASE,
)


def child_environment(source: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return `source` (this process's environment) scrubbed, with the hygiene variables set.

    Settings of the user's for threads (OMP_NUM_THREADS) and devices (CUDA_VISIBLE_DEVICES) stay.
    """
    inherited = os.environ if source is None else source
    kept = {name: value for name, value in inherited.items() if not _DROPPED.fullmatch(name)}
    return kept | HYGIENE
