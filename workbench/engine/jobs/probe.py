"""The probe job: measure this device and seal the numbers; the front door keeps them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import torch

from workbench.adapters.results import write_result
from workbench.engine.determinism import be_deterministic
from workbench.engine.measuring import measure
from workbench.engine.reporting import Reporter
from workbench.engine.usage import peak_bytes

if TYPE_CHECKING:
    from workbench.engine.session import Session


def run(session: Session) -> None:
    """Measure; the result holds numbers only."""
    started = time.monotonic()
    device = torch.device(session.device)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    be_deterministic()  # as runs are: some kernels differ
    found = measure(device, Reporter(session, "measuring"))
    write_result(session.folder, session.key(session.spec.run), found)
    session.events.write(
        "finished",
        peak_bytes=peak_bytes(device),
        seconds=round(time.monotonic() - started, 3),
    )
