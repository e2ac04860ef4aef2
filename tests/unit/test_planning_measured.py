"""What was measured of a machine: rates from timed blocks, the file with them, corrections."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.fitting import LLAMA_8B
from workbench.errors import BadInput
from workbench.models.facts import facts_from_config
from workbench.planning import measured
from workbench.planning.measured import (
    FILE_NAME,
    Measurement,
    keep_measurement,
    learn_from_run,
    measurement_of,
    read_measurement,
    with_measurement,
)
from workbench.planning.pace import Shape, micro_batch_seconds
from workbench.planning.planner import DatasetLength, make_plan
from workbench.planning.probe import Cpu, Hardware
from workbench.planning.rates import Effort, Rates, Timed, fit, fit_update
from workbench.recipe import Recipe

GIB = 1 << 30
MACHINE = Hardware(Cpu("some processor", 2, True), 16 * GIB, 12 * GIB)
MODEL = "mo-0000000000000001"
NOTES = DatasetLength(records=550, tokens=38_500, longest=110, counted=8_000)
STARTER = facts_from_config(
    {
        "model_type": "llama",
        "hidden_size": 256,
        "num_hidden_layers": 8,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "intermediate_size": 768,
        "vocab_size": 4096,
        "max_position_embeddings": 1024,
        "tie_word_embeddings": True,
    }
)


def point(**changes: float) -> dict[str, float]:
    """One block of the probe, in the numbers of a real measurement."""
    return {
        **{"hidden": 256, "mlp": 768, "layers": 2, "heads": 4, "kv_heads": 2, "vocab": 2048},
        **{"rank": 16, "threads": 1, "tokens": 2048, "length": 64, "counted": 512},
        **{"seconds": 0.187},
        **{"processor_seconds": changes.get("seconds", 0.187)},
        **changes,
    }


WIDE = {"hidden": 1024, "mlp": 2816, "layers": 1, "heads": 16, "kv_heads": 8, "vocab": 1024}
POINTS = [
    point(tensors=28, parameters=155_648, update_seconds=0.007),
    point(length=256, seconds=0.186),
    point(tokens=512, counted=128, seconds=0.0494),
    point(tokens=64, counted=16, seconds=0.0196),
    point(**WIDE, tokens=512, counted=128, seconds=0.158)
    | {"tensors": 14, "parameters": 299_008, "update_seconds": 0.0085},
    point(**WIDE, tokens=64, counted=16, seconds=0.0318),
]
RESULT: dict[str, Any] = {
    "threads": 1,
    "figures": {"matmul_bf16": 2e11, "memory": 2e10},
    "points": POINTS,
}


def keep(home: Path) -> Measurement:
    found = measurement_of(MACHINE, RESULT)
    keep_measurement(home, found)
    return found


def test_a_fit_finds_the_rates_behind_the_times() -> None:
    told = Effort(5e-3, 5e-10, 4e-12, 6e-10, 0.0)
    efforts = [
        Effort(2, 1.4e6, 6e9, 4e7, 1e6),
        Effort(2, 1.4e6, 1e8, 1e6, 1e4),
        Effort(1, 1.2e7, 2e10, 1e7, 2e6),
        Effort(1, 1.2e7, 3e9, 1e6, 4e6),
        Effort(4, 1e6, 5e9, 9e7, 1e5),
        Effort(4, 1e6, 5e9, 9e7, 9e7),
    ]
    parts = [dataclasses.astuple(each) for each in efforts]
    costs = dataclasses.astuple(told)
    times = [sum(a * b for a, b in zip(part, costs, strict=True)) for part in parts]
    found = fit([Timed(each, seconds) for each, seconds in zip(efforts, times, strict=True)])
    assert found is not None
    assert dataclasses.astuple(found) == pytest.approx(costs, rel=1e-4, abs=1e-15)
    assert fit([]) is None


def test_updates_are_told_apart_by_tensors_and_parameters() -> None:
    assert fit_update([(28, 155_648, 8.6e-3), (14, 299_008, 9.3e-3)]) == pytest.approx(
        (1.82e-4, 2.26e-8), rel=0.05
    )
    # Times that say that more parameters are cheaper are noise.
    assert fit_update([(28, 100, 1e-3), (14, 200, 1e-4)])[1] == 0.0


def test_real_blocks_predict_a_deeper_and_a_wider_model() -> None:
    """Times of one processor core, measured together: blocks as above, and two whole models."""
    rates = measurement_of(MACHINE, RESULT).rates()
    assert rates is not None
    starter = Shape("qlora", 16, tokens=2048, length=64, counted=384)
    assert micro_batch_seconds(STARTER, rates, starter) == pytest.approx(0.59, rel=0.15)
    large = facts_from_config(
        {
            **{"model_type": "llama", "hidden_size": 768, "num_hidden_layers": 12},
            **{"num_attention_heads": 12, "num_key_value_heads": 12, "intermediate_size": 2048},
            **{"vocab_size": 32_000, "tie_word_embeddings": True},
        }
    )
    for tokens, counted, took in ((512, 152, 1.41), (2048, 608, 5.04)):
        shape = Shape("qlora", 16, tokens=tokens, length=64, counted=counted)
        assert micro_batch_seconds(large, rates, shape) == pytest.approx(took, rel=0.15)


def test_recomputed_layers_take_half_as_long_again() -> None:
    rates = Rates(Effort(0, 0, 1e-12, 0, 0), 0, 0)
    shape = Shape("qlora", 16, tokens=2048, length=2048, counted=1)
    plain = micro_batch_seconds(LLAMA_8B, rates, shape)
    again = dataclasses.replace(shape, recomputed_layers=32)
    assert micro_batch_seconds(LLAMA_8B, rates, again) == pytest.approx(1.5 * plain, rel=0.01)


def test_fewer_threads_take_longer() -> None:
    single = Rates(Effort(1, 1, 4, 1, 1), 1, 1)
    rates = Rates(Effort(1, 0.25, 1, 0.5, 2), 1, 1, threads=4, single=single)
    assert rates.with_threads(4) == rates
    assert rates.with_threads(1).each == Effort(1, 1, 4, 1, 1)
    two = rates.with_threads(2).each
    assert (two.calls, two.weights, two.flops) == (1, 0.5, 2)
    assert 0.5 < two.bytes < 1


def test_all_threads_are_taken_where_they_pay() -> None:
    # Products gain from threads, starting operations does not.
    single = Rates(Effort(1e-2, 0, 2e-11, 0, 0), 0, 0, threads=1)
    shared = Rates(Effort(1.2e-2, 0, 1e-11, 0, 0), 0, 0, threads=2, single=single)
    small = Shape("qlora", 16, tokens=64, length=64, counted=16)
    assert micro_batch_seconds(STARTER, shared, small) == micro_batch_seconds(
        STARTER, single, small
    )
    large = Shape("qlora", 16, tokens=2048, length=64, counted=16)
    alone = micro_batch_seconds(LLAMA_8B, single, large)
    assert micro_batch_seconds(LLAMA_8B, shared, large) == pytest.approx(alone / 2, rel=0.01)


def test_blocks_are_fitted_for_each_number_of_threads() -> None:
    two = [each | {"threads": 2, "seconds": each["seconds"] / 2} for each in POINTS]
    rates = measurement_of(MACHINE, {**RESULT, "threads": 2, "points": [*POINTS, *two]}).rates()
    assert rates is not None
    assert rates.single is not None
    assert rates.threads == 2
    assert rates.each.flops == pytest.approx(rates.single.each.flops / 2)


def test_measured_rates_are_what_the_plan_goes_by(tmp_path: Path) -> None:
    guess = make_plan(STARTER, MACHINE, dataset=NOTES).chosen
    keep(tmp_path)
    known = with_measurement(MACHINE, tmp_path)
    assert known.rates is not None
    slow = dataclasses.replace(known, rates=known.rates.slower(10))
    measured_plan, slow_plan = (
        make_plan(STARTER, each, dataset=NOTES, recipe=Recipe(context=256, micro_batch=8)).chosen
        for each in (known, slow)
    )
    assert guess is not None
    assert measured_plan is not None
    assert slow_plan is not None
    assert measured_plan.seconds is not None
    assert measured_plan.seconds != guess.seconds
    assert slow_plan.seconds == pytest.approx(10 * measured_plan.seconds, rel=0.01)


def test_it_comes_back_as_it_was_kept(tmp_path: Path) -> None:
    found = keep(tmp_path)
    assert read_measurement(tmp_path, MACHINE) == found
    assert (tmp_path / FILE_NAME).stat().st_mode & 0o077 == 0


def test_another_machine_knows_nothing_of_it(tmp_path: Path) -> None:
    keep(tmp_path)
    for other in (
        dataclasses.replace(MACHINE, cpu=Cpu("another", 2, True)),
        dataclasses.replace(MACHINE, ram_bytes=32 * GIB),
    ):
        assert read_measurement(tmp_path, other) is None
        assert with_measurement(other, tmp_path).rates is None


@pytest.mark.parametrize(
    "change",
    [
        b"",
        b"[]",
        b"\xff",
        b"[" * 100_000,
        {"version": 1},
        {"points": []},
        {"points": [point(seconds=0)]},
        {"points": [point(seconds=float("inf"))]},
        {"points": [point(hidden=255)]},
        {"points": [{**point(), "note": 1}]},
        {"threads": "many"},
        {"figures": {"memory": True}},
        {"figures": {"memory": -1}},
        {"learned": {MODEL: 3}},
    ],
)
def test_a_damaged_file_means_unmeasured(tmp_path: Path, change: Any) -> None:
    plain = keep(tmp_path).to_json()
    data = change if isinstance(change, bytes) else json.dumps({**plain, **change}).encode()
    (tmp_path / FILE_NAME).write_bytes(data)
    assert with_measurement(MACHINE, tmp_path).rates is None


def test_a_measurement_that_makes_no_sense_is_not_kept() -> None:
    for result in (
        {},
        {**RESULT, "points": POINTS[1:2]},
        {**RESULT, "figures": {"memory": float("nan")}},
    ):
        with pytest.raises(BadInput, match="makes no sense"):
            measurement_of(MACHINE, result)


def test_a_machine_that_was_busy_meanwhile_is_told_apart(tmp_path: Path) -> None:
    assert not keep(tmp_path).is_disturbed
    stretched = [{**each, "seconds": 2 * each["seconds"]} for each in POINTS]
    assert measurement_of(MACHINE, {**RESULT, "points": stretched}).is_disturbed


def test_runs_teach_what_the_rates_leave_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measured, "probe_hardware", lambda: MACHINE)
    moment = keep(tmp_path).moment

    def seconds(model: str = MODEL) -> float:
        known = with_measurement(MACHINE, tmp_path, model)
        chosen = make_plan(STARTER, known, dataset=NOTES, method="qlora", rank=16).chosen
        assert chosen is not None
        return chosen.seconds or 0.0

    before = seconds()
    for real in (120.0, 130.0, 125.0):
        learn_from_run(
            tmp_path, model=MODEL, method="qlora", moment=moment, predicted=100.0, real=real
        )
    assert seconds() == pytest.approx(1.25 * before, rel=0.01)
    assert seconds("mo-0000000000000002") == before
    # Neither a run that was disturbed nor one that stood on other numbers teaches anything.
    for strange, when in ((1000.0, moment), (50.0, moment - 1)):
        learn_from_run(
            tmp_path, model=MODEL, method="qlora", moment=when, predicted=100.0, real=strange
        )
    assert seconds() == pytest.approx(1.25 * before, rel=0.01)
