"""What a machine's own runs teach: how much memory to keep free."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.fitting import LLAMA_8B
from tests.fixtures.vaults import make_original, reopened
from workbench.planning.planner import make_plan
from workbench.planning.probe import Cpu, Hardware
from workbench.runs.experience import memory_margin, with_experience
from workbench.vault.store import Vault

MACHINE = Hardware(cpu=Cpu("x", 8, True), ram_bytes=64 << 30, available_bytes=40 << 30)


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    original = make_original(tmp_path / "home")
    return reopened(original.home, original)


def note(vault: Vault, number: int, **record: Any) -> None:
    run = f"ru-{number:016x}"
    told = {"device": "cpu", "step": 5, "peak_bytes": 100, "predicted_bytes": 100, **record}
    vault.new_key(run)
    vault.catalogue.put("run", run, run, told)


def test_without_runs_nothing_is_kept_free(vault: Vault) -> None:
    assert memory_margin(vault, "cpu") == 0
    note(vault, 1, peak_bytes=80)
    assert memory_margin(vault, "cpu") == 0


def test_the_worst_of_the_latest_runs_on_such_a_device_counts(vault: Vault) -> None:
    note(vault, 1, peak_bytes=112)
    note(vault, 2, peak_bytes=104)
    note(vault, 3, peak_bytes=130, device="cuda-1")
    assert memory_margin(vault, "cpu") == pytest.approx(0.12)
    assert memory_margin(vault, "cuda-0") == pytest.approx(0.30)
    assert with_experience(MACHINE, vault).margin == pytest.approx(0.12)


@pytest.mark.parametrize(
    "record",
    [{"peak_bytes": None}, {"predicted_bytes": None}, {"predicted_bytes": 0}, {"step": 0},
     {"peak_bytes": "1000"}],
)  # fmt: skip
def test_a_run_that_cannot_be_compared_teaches_nothing(
    vault: Vault, record: dict[str, Any]
) -> None:
    note(vault, 1, **({"peak_bytes": 150} | record))
    assert memory_margin(vault, "cpu") == 0


def test_no_run_takes_more_than_half(vault: Vault) -> None:
    note(vault, 1, peak_bytes=900)
    assert memory_margin(vault, "cpu") == 0.5


def test_the_plan_keeps_it_free_and_says_so() -> None:
    before = make_plan(LLAMA_8B, MACHINE)
    after = make_plan(LLAMA_8B, replace(MACHINE, margin=0.25))
    assert after.budget.usable_bytes == pytest.approx(before.budget.usable_bytes / 1.25, abs=1)
    assert after.chosen is not None
    assert after.chosen.predicted.total * 1.25 <= before.budget.usable_bytes
    assert any("25% more memory than predicted" in each for each in after.advice)
    assert not any("than predicted" in each for each in before.advice)
