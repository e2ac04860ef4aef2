"""What the CPU suites show, again on a CUDA device, and the memory that was predicted for it."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.fixtures import tiny
from tests.fixtures.tiny_runs import Workplace, adapter_digest, make_workplace
from workbench.engine import lora, nf4
from workbench.engine.batches import Example, make_batch
from workbench.engine.forward import Passes, recompute_layers
from workbench.engine.loading import decoder_layers, load_base
from workbench.engine.optimizers import WeightUpdater
from workbench.engine.training import Training
from workbench.planning.memory import predict
from workbench.recipe import Recipe

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device here"),
]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workplace]:
    yield make_workplace(tmp_path_factory.mktemp("gpu") / "home")
    torch.use_deterministic_algorithms(False)


def test_it_learns(place: Workplace) -> None:
    run = place.new_run(1, device="cuda-0")
    assert run.train_here() == "finished"
    finished = run.last("finished")
    assert finished["eval_loss_last"] < finished["eval_loss_first"] - 0.5
    assert finished["peak_bytes"] > 0


def test_the_same_seed_and_a_resume_give_the_same_bits(
    place: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    straight, broken = (place.new_run(number, device="cuda-0") for number in (2, 3))
    assert straight.train_here() == "finished"
    real = Training._step

    def crashing(self: Training) -> None:
        if self.progress.step == 5:
            raise KeyboardInterrupt
        real(self)

    with monkeypatch.context() as patch:
        patch.setattr(Training, "_step", crashing)
        with pytest.raises(KeyboardInterrupt):
            broken.train_here()
    assert broken.train_here() == "finished"
    assert adapter_digest(broken) == adapter_digest(straight)


def test_a_sample_leaves_no_trace(place: Workplace) -> None:
    straight, sampled = (place.new_run(number, device="cuda-0") for number in (20, 21))
    assert straight.train_here() == "finished"
    sampled.ask("sample")
    assert sampled.train_here() == "finished"
    assert sampled.last("sampled")["records"] == 2
    assert adapter_digest(sampled) == adapter_digest(straight)


def test_a_launched_run_works_behind_the_lock_down(place: Workplace) -> None:
    run = place.new_run(4, device="cuda-0")
    run.launch()
    run.finish()
    layers = run.last("protection")["layers"]
    assert layers["self_test"]["state"] == "active"


def test_real_out_of_memory_halves_the_micro_batch(place: Workplace) -> None:
    run = place.new_run(5, device="cuda-0", micro_batch=4, accumulate=1)
    real = Passes.summed_loss
    hoard: list[torch.Tensor] = []

    def greedy(self: Passes, batch: Any) -> torch.Tensor:
        if len(batch.ids) > 1 and self.model.training:
            # An allocation that no card has room for: the driver's own error, not a made-up one.
            hoard.append(torch.empty(1 << 45, dtype=torch.uint8, device="cuda"))
        return real(self, batch)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Passes, "summed_loss", greedy)
        assert run.train_here() == "finished"
    assert [e["micro_batch"] for e in run.events() if e["type"] == "adjusted"] == [2, 1]


def test_the_last_rung_keeps_inner_values_in_main_memory(place: Workplace) -> None:
    run = place.new_run(6, device="cuda-0", micro_batch=1, accumulate=4, recompute="all")
    real = Passes.summed_loss

    def greedy(self: Passes, batch: Any) -> torch.Tensor:
        again = decoder_layers(self.model)[0]._gradient_checkpointing_func
        if self.model.training and isinstance(again, partial):  # checkpointed on the card
            torch.empty(1 << 45, dtype=torch.uint8, device="cuda")
        return real(self, batch)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Passes, "summed_loss", greedy)
        assert run.train_here() == "finished"
    assert [e["offload"] for e in run.events() if e["type"] == "adjusted"] == [True]


def test_the_four_bit_base_is_that_of_the_cpu_bit_for_bit(tmp_path: Path) -> None:
    """Wide enough for several chunks of scales and for sums that a GPU splits up."""
    model = tiny.model_part(tiny.write_model(tmp_path / "wide", width=2048, layers=1))
    on_cpu = load_base(model, method="qlora")
    on_gpu = load_base(model, method="qlora", device="cuda:0")
    pairs = zip(nf4.four_bit_layers(on_cpu.model), nf4.four_bit_layers(on_gpu.model), strict=True)
    for (name, left), (other, right) in pairs:
        assert name == other
        ours, theirs = left.weight.quant_state, right.weight.quant_state
        assert torch.equal(ours.offset, theirs.offset.cpu()), name
        assert torch.equal(ours.absmax, theirs.absmax.cpu()), name
        assert torch.equal(left.weight.data, right.weight.data.cpu()), name
    assert on_gpu.fingerprint == on_cpu.fingerprint


def test_a_run_that_was_planned_with_offload_ends_with_the_same_bits(place: Workplace) -> None:
    straight, apart = (
        place.new_run(number, device="cuda-0", recompute="all", offload=offload)
        for number, offload in ((30, False), (31, True))
    )
    assert straight.train_here() == apart.train_here() == "finished"
    assert [e["type"] for e in apart.events()].count("adjusted") == 0
    assert apart.last("measured")["offload"] is True
    assert adapter_digest(apart) == adapter_digest(straight)


@pytest.mark.parametrize(("recomputed", "offload"), [(0, False), (4, False), (4, True)])
@pytest.mark.parametrize("method", ["qlora", "lora"])
def test_predicted_memory_is_within_a_tenth(
    tmp_path: Path, method: str, recomputed: int, offload: bool
) -> None:
    context, rows, layers = 1024, 4, 4
    folder = tiny.write_model(tmp_path / "model", width=2048, layers=layers)
    gc.collect()
    torch.cuda.empty_cache()
    before = torch.cuda.memory_allocated()
    base = load_base(tiny.model_part(folder), method=method, device="cuda:0")  # type: ignore[arg-type]
    recipe = Recipe(method=method, rank=16)
    model = lora.attach_adapter(base.model, recipe).train()
    updater = WeightUpdater(model, kind=recipe.optimizer, weight_decay=0.0)
    recompute_layers(model, recomputed, offload=offload)
    example = Example((7,) * (context // 2), (True,) * (context // 2))
    batch = make_batch([[example, example]] * rows, pad_id=0)
    passes = Passes(model, base.device, base.compute)
    torch.cuda.reset_peak_memory_stats()
    for _ in range(2):
        (passes.summed_loss(batch) / len(batch.targets)).backward()
        updater.update(1e-4)
    measured = torch.cuda.max_memory_allocated() - before
    predicted = predict(
        base.facts, method=method, rank=16, context=context, micro_batch=rows,  # type: ignore[arg-type]
        recomputed_layers=recomputed, optimizer=recipe.optimizer, targets="all-linear",
        offload=offload,
    )  # fmt: skip
    assert predicted.allocated == pytest.approx(measured, rel=0.10)
