"""The first import of the heavy libraries, in the order and the way that suits a short job."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def import_libraries() -> None:
    """Import torch and bitsandbytes without torch's compiler.

    bitsandbytes hands its reference kernels to `torch.compile` at import. That pulls in the whole
    compiler (about 2 s of processor time), and a first use would start a C++ compiler that writes
    to the temporary folder, which is locked. The kernels run as they are written instead.
    """
    import torch

    compiler = torch.compile
    torch.compile = _as_written  # type: ignore[assignment]
    try:
        import bitsandbytes  # noqa: F401  to be loaded under this torch.compile
    finally:
        torch.compile = compiler


def _as_written(function: Callable[..., Any] | None = None, **_: Any) -> Any:
    return (lambda inner: inner) if function is None else function
