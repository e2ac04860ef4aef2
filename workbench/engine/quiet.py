"""What has to be settled before torch and its companions are imported."""

from __future__ import annotations

import logging
import os
import warnings

from workbench.airgap.environment import HYGIENE

_OWN = {"TRANSFORMERS_VERBOSITY": "error"}


def settle() -> None:
    """Set the environment of the libraries and drop their notices that help no user."""
    for name, value in {**HYGIENE, **_OWN}.items():
        os.environ.setdefault(name, value)
    # Whatever the user's shell says: devices are numbered as the plan numbered them.
    os.environ["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"
    # bitsandbytes logs at import that an optional package is absent which downloads code at run
    # time; it must stay absent, and the path that would use it is switched off (see `nf4.guard`).
    logging.getLogger("bitsandbytes.backends.cpu.ops").addFilter(_not_about_kernels)
    warnings.filterwarnings("ignore", message="Paged optimizers are not supported on CPU")
    warnings.filterwarnings("ignore", message="`is_gradient_checkpointing` is deprecated")


def _not_about_kernels(record: logging.LogRecord) -> bool:
    return "kernels-community" not in str(record.msg)
