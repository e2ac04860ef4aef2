"""The request, the gate and the failures of jobs as a front door tells them."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from workbench.adapters.short_jobs import failure
from workbench.errors import DoesNotFit, JobFailed, Refused, UsageError, VaultDamaged
from workbench.exports.contract import ExportRequest, Fidelity
from workbench.runs.state import RunState

SAME = Fidelity(1.0, 0.0, 5.0, 5.0, 100, True)


@pytest.mark.parametrize(
    ("target", "base"),
    [("peft", "exact"), ("safetensors", "exact"), ("safetensors", "original")],
)
def test_a_gate_passes_what_is_alike_and_stops_what_is_not(target: str, base: str) -> None:
    gate = ExportRequest.parse(target, base).gate
    assert SAME.passes(gate)
    # What a broken merge measured (facts of the 4-bit repacking bug).
    assert not replace(SAME, mean_kl=1.5).passes(gate)
    assert not replace(SAME, top1_agreement=0.1).passes(gate)
    assert not replace(SAME, mean_kl=math.nan).passes(gate)
    assert not replace(SAME, perplexity_export=math.inf).passes(gate)


@pytest.mark.parametrize(
    ("target", "base"), [("zip", "exact"), ("peft", "original"), ("safetensors", "other")]
)
def test_unknown_requests_are_wrong_usage(target: str, base: str) -> None:
    with pytest.raises(UsageError):
        ExportRequest.parse(target, base)


@pytest.mark.parametrize(
    ("error", "kind", "code"),
    [
        ({"error_type": "Refused", "code": "base_mismatch"}, Refused, "base_mismatch"),
        ({"error_type": "VaultDamaged", "code": "vault_damaged"}, VaultDamaged, "vault_damaged"),
        ({"error_type": "InternalError", "code": "fidelity"}, JobFailed, "fidelity"),
        ({"error_type": "RuntimeError", "code": "crashed", "place": "x:1"}, JobFailed, "crashed"),
        ({"error_type": "MemoryError", "code": "out_of_memory"}, DoesNotFit, "out_of_memory"),
    ],
)
def test_failures_keep_class_and_code(
    error: dict[str, str], kind: type[Exception], code: str
) -> None:
    told = failure(RunState(run="ru-" + "0" * 16, kind="export", state="failed", error=error))
    assert type(told) is kind
    assert told.code == code
    assert told.message
