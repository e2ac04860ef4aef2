"""What a run changed of itself, in words."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from workbench.engine import pressure
from workbench.planning.nvidia import Holder
from workbench.runs.adjustments import adjustment_words

TOLD: dict[str, Any] = {"reason": "out_of_memory", "micro_batch": 1, "accumulate": 8,
                        "recomputed_layers": 0, "offload": False}  # fmt: skip


def test_each_rung_is_told() -> None:
    words = adjustment_words(TOLD)
    assert "Memory ran out. It goes on with 1 row at a time, 8 times a step: slower" in words
    assert "layers" not in words
    assert "4 layers computed twice" in adjustment_words(TOLD | {"recomputed_layers": 4})
    assert "in main memory" in adjustment_words(TOLD | {"offload": True})


def test_who_holds_the_memory_is_named_as_long_as_it_lives() -> None:
    alive = adjustment_words(TOLD | {"other_pid": os.getpid(), "other_bytes": 3 << 30})
    with open(f"/proc/{os.getpid()}/comm") as file:
        assert f"{file.read().strip()} (process {os.getpid()}) held 3 GiB" in alive
    gone = adjustment_words(TOLD | {"other_pid": 1 << 22, "other_bytes": 3 << 30})
    assert f"process {1 << 22}, which has ended since, held 3 GiB of the GPU" in gone


@pytest.mark.parametrize(
    ("holders", "expected"),
    [
        ([], {}),
        ([(os.getpid(), 8)], {}),
        ([(os.getpid(), 8), (71, 5), (72, 6), (73, None)], {"other_pid": 72, "other_bytes": 6}),
        # Counted otherwise than this process counts: one of them may be itself.
        ([(71, 5), (72, 6)], {}),
    ],
)
def test_the_neighbour_is_never_the_run_itself(
    monkeypatch: pytest.MonkeyPatch, holders: list[Any], expected: dict[str, int]
) -> None:
    held = tuple(Holder(pid, "", amount) for pid, amount in holders)
    seen = SimpleNamespace(accelerators=(SimpleNamespace(index=0, holders=held),))
    monkeypatch.setattr(pressure, "probe_nvidia", lambda: seen)
    assert pressure._largest_neighbour(torch.device("cuda", 0)) == expected
    assert pressure._largest_neighbour(torch.device("cpu")) == {}
