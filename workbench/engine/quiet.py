"""What has to be settled before torch and its companions are imported."""

from __future__ import annotations

import logging
import os
import warnings

# Nothing may be fetched, reported or cached in the open; the air gap holds without these.
_VARIABLES = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "DO_NOT_TRACK": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "TRANSFORMERS_VERBOSITY": "error",
    # Spinning threads slow each other down several times on a busy machine.
    "OMP_WAIT_POLICY": "PASSIVE",
    # cuBLAS repeats its results only with a workspace of a fixed size.
    "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
    # Blocks grow in place, so that batches of many shapes do not fragment the memory.
    "PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True",
}


def settle() -> None:
    """Set the environment of the libraries and drop their notices that help no user."""
    for name, value in _VARIABLES.items():
        os.environ.setdefault(name, value)
    # bitsandbytes logs at import that an optional package is absent which downloads code at run
    # time; it must stay absent, and the path that would use it is switched off (see `nf4.guard`).
    logging.getLogger("bitsandbytes.backends.cpu.ops").addFilter(_not_about_kernels)
    warnings.filterwarnings("ignore", message="Paged optimizers are not supported on CPU")


def _not_about_kernels(record: logging.LogRecord) -> bool:
    return "kernels-community" not in str(record.msg)
