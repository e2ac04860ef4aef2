"""Offload as the planner chooses it, and what a run takes of main memory and of the disk."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from tests.unit.test_planning_planner import GIB, LAPTOP, LLAMA_8B, RTX_4090, STARTER, codes
from workbench.errors import UsageError
from workbench.planning.budget import budget_of
from workbench.planning.candidates import DatasetLength
from workbench.planning.elsewhere import disk_need, host_need
from workbench.planning.explaining import explain
from workbench.planning.memory import predict
from workbench.planning.pace import Shape, waiting_seconds
from workbench.planning.planner import make_plan, settled
from workbench.planning.probe import Hardware
from workbench.recipe import Recipe, parse

LONG = DatasetLength(records=2_000, tokens=40_000_000, longest=32_000)


def workstation(
    *, main: int = 64 * GIB, card: int = 24 * GIB, bus: float = 0.0, disk: int | None = None
) -> Hardware:
    gpu = dataclasses.replace(RTX_4090, memory_bytes=card, free_bytes=card)
    return dataclasses.replace(
        LAPTOP,
        ram_bytes=main,
        available_bytes=main,
        accelerators=(gpu,),
        to_device=bus,
        from_device=bus,
        disk_free=disk,
    )


def test_a_context_that_fits_only_with_offload_is_kept_and_said() -> None:
    with_it = make_plan(LLAMA_8B, workstation(), dataset=LONG, method="qlora")
    without = make_plan(
        LLAMA_8B, workstation(), dataset=LONG, method="qlora", recipe=Recipe(offload=False)
    )
    assert with_it.chosen is not None
    assert without.chosen is not None
    assert with_it.chosen.offload
    assert with_it.chosen.context > without.chosen.context
    assert not without.chosen.offload
    assert "inputs_offloaded" in codes(with_it)
    assert "inputs_offloaded" not in codes(without)
    assert settled(Recipe(), with_it.chosen).offload is True
    assert settled(Recipe(), without.chosen).offload is False
    said = explain(LLAMA_8B, with_it, LONG)
    assert any("(offload)" in each for each in said)


def test_it_stays_off_where_everything_fits() -> None:
    chosen = make_plan(LLAMA_8B, workstation(card=80 * GIB)).chosen
    assert chosen is not None
    assert not chosen.offload
    assert chosen.host is not None
    assert chosen.host.waiting == 0


def test_a_slow_bus_lengthens_the_step_and_a_usual_one_hides_behind_it() -> None:
    shape = Shape("qlora", 16, 4096, 4096, 4096, recomputed_layers=32)
    usual, slow = (budget_of(workstation(bus=bus)) for bus in (20e9, 1e8))
    assert waiting_seconds(LLAMA_8B, usual, shape) == 0
    moved = 32 * 4096 * 4096 * 2
    assert 0 < waiting_seconds(LLAMA_8B, slow, shape) < 2 * moved / 1e8


def test_over_a_slow_bus_it_is_chosen_only_where_nothing_fits_without() -> None:
    told: dict[str, Any] = {"dataset": LONG, "method": "qlora", "context": 8192}
    chosen = make_plan(LLAMA_8B, workstation(card=10 * GIB, bus=1e8), **told).chosen
    assert chosen is not None
    assert chosen.offload
    quick = make_plan(LLAMA_8B, workstation(card=10 * GIB, bus=20e9), **told).chosen
    assert quick is not None
    assert quick.seconds is not None
    assert chosen.seconds is not None
    assert chosen.seconds > quick.seconds
    roomier = make_plan(LLAMA_8B, workstation(card=12 * GIB, bus=1e8), **told).chosen
    assert roomier is not None
    assert not roomier.offload


def test_on_a_processor_auto_means_no_and_a_wish_is_refused() -> None:
    chosen = make_plan(STARTER, LAPTOP).chosen
    assert chosen is not None
    assert not chosen.offload
    assert chosen.host is None
    with pytest.raises(UsageError) as caught:
        make_plan(STARTER, LAPTOP, recipe=parse({"offload": True}))
    assert caught.value.code == "offload_without_gpu"
    assert "auto" in caught.value.hint


def test_main_memory_is_counted_by_part() -> None:
    need = host_need(
        LLAMA_8B,
        tokens=3000,
        waiting_layers=32,
        moments=80_000_000,
        paged=True,
        dataset=(1000, 500_000),
    )
    # 3000 x 4096 x 2 bytes are 23.4 MiB: torch hands out 32.
    assert need.waiting == 32 * (32 << 20)
    assert need.loading == 4 * 2 * 128_256 * 4096
    assert need.optimizer == 80_000_000
    assert need.records == 5 * 500_000 + 300 * 1000
    assert need.total == sum(value for key, value in need.to_json().items() if key != "total")
    assert host_need(LLAMA_8B, tokens=1, waiting_layers=0, moments=9, paged=False).optimizer == 0


def test_a_plan_that_main_memory_is_too_small_for_does_not_fit_and_says_why() -> None:
    plan = make_plan(LLAMA_8B, workstation(main=5 * GIB), method="qlora")
    assert plan.choice is None
    assert codes(plan) == ["main_memory_short"]
    assert "main memory" in plan.advice[0]


def test_offload_is_left_out_where_main_memory_lacks_the_room() -> None:
    roomy, tight = (
        make_plan(LLAMA_8B, workstation(main=main), dataset=LONG, method="qlora").chosen
        for main in (64 * GIB, 9 * GIB)
    )
    assert roomy is not None
    assert tight is not None
    assert roomy.offload
    assert not tight.offload
    assert tight.context < roomy.context


def test_a_disk_that_is_too_small_is_said_before_training_refuses() -> None:
    plan = make_plan(LLAMA_8B, workstation(disk=1 << 20))
    assert plan.chosen is not None
    assert "disk_short" in codes(plan)
    assert "disk_short" not in codes(make_plan(LLAMA_8B, workstation(disk=100 * GIB)))
    chosen = plan.chosen
    assert chosen.disk_bytes == disk_need(
        method=chosen.method,
        trained=chosen.trained_parameters,
        moments=chosen.predicted.optimizer,
    )
    assert chosen.disk_bytes >= 4 * (4 * chosen.trained_parameters + chosen.predicted.optimizer)


@pytest.mark.parametrize("layers", [1, 2, 5, 16])
def test_offload_leaves_two_inputs_on_the_device(layers: int) -> None:
    told: dict[str, Any] = {"method": "qlora", "rank": 16, "context": 512, "micro_batch": 8}
    kept, apart = (
        predict(LLAMA_8B, recomputed_layers=layers, offload=offload, **told)
        for offload in (False, True)
    )
    assert kept.logits
    assert apart.logits  # the loss is the fullest moment of both
    assert kept.allocated - apart.allocated == max(0, layers - 2) * 2 * 4096 * 512 * 8
