"""Whole training runs of a tiny model in this process: outcomes, and what is told on the way."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.fixtures.tiny_runs import DATASET, TinyRun, Workplace, adapter_digest, make_workplace
from workbench.adapters.storage import open_adapter, read_manifest
from workbench.engine import waiting
from workbench.engine.checkpoints import Checkpoints
from workbench.engine.forward import Passes
from workbench.engine.jobs import train
from workbench.engine.training import Training
from workbench.errors import BadInput, DoesNotFit, JobFailed, VaultDamaged


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workplace]:
    threads = torch.get_num_threads()
    yield make_workplace(tmp_path_factory.mktemp("train") / "home")
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(False)


@pytest.fixture(scope="module")
def plain_run(place: Workplace) -> TinyRun:
    """An uninterrupted run that the others are compared with."""
    run = place.new_run(1)
    assert run.train_here() == "finished"
    return run


def test_it_learns_and_tells_all_about_it(place: Workplace, plain_run: TinyRun) -> None:
    finished = plain_run.last("finished")
    assert finished["loss_last"] < finished["loss_first"] - 0.5
    assert finished["eval_loss_last"] < finished["eval_loss_first"] - 0.5
    steps = [event for event in plain_run.events() if event["type"] == "step"]
    assert [event["step"] for event in steps] == list(range(1, 9))
    assert steps[-1]["tokens"] == finished["tokens"]
    assert finished["tokens_per_second"] == pytest.approx(finished["tokens"] / finished["seconds"])
    assert steps[-1]["eta_seconds"] == 0
    assert set(steps[0]["memory"]) == {"allocated", "reserved", "peak", "host"}
    assert finished["peak_bytes"] > 100e6
    measured = plain_run.last("measured")
    assert (measured["records"], measured["validation_records"]) == (48, 6)
    assert measured["counted_tokens"] < measured["tokens"]


def test_the_manifest_says_where_the_adapter_comes_from(plain_run: TinyRun) -> None:
    place = plain_run.place
    folder = place.home / "adapters" / plain_run.adapter
    manifest = read_manifest(folder, place.key(plain_run.adapter))
    assert manifest.base.fingerprint == plain_run.last("loaded")["base_sha256"]
    assert manifest.dataset.root == place.dataset["root"]
    assert (manifest.method, manifest.rank, manifest.steps) == ("qlora", 8, 8)
    assert manifest.sha256 == plain_run.last("published")["sha256"]
    assert manifest.parameters == plain_run.last("loaded")["trainable"]
    assert manifest.metrics["stopped"] == 0
    assert manifest.versions["bitsandbytes"]
    stored = open_adapter(folder, place.key(plain_run.adapter))
    assert stored.config["target_modules"] == [
        "down_proj", "gate_proj", "k_proj", "o_proj", "q_proj", "up_proj", "v_proj",
    ]  # fmt: skip
    assert str(place.home) not in json.dumps(stored.config)


def test_no_plain_file_holds_a_word_of_the_data(plain_run: TinyRun) -> None:
    told = b"".join(path.read_bytes() for path in plain_run.folder.rglob("*") if path.is_file())
    for word in (b"letter", b"stolen", b"tiny-notes", b"tiny-adapter"):
        assert word not in told


def test_the_same_seed_gives_the_same_bits_and_another_does_not(
    place: Workplace, plain_run: TinyRun
) -> None:
    again, other = place.new_run(2), place.new_run(3, seed=1)
    assert again.train_here() == other.train_here() == "finished"
    assert adapter_digest(again) == adapter_digest(plain_run)
    assert adapter_digest(other) != adapter_digest(plain_run)


def test_a_run_planned_with_offload_begins_and_resumes_with_it(
    place: Workplace, plain_run: TinyRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a processor the copies gain nothing and the planner refuses them; the path is one."""
    run = place.new_run(40, recompute="all", offload=True)
    left, asked = 0, False
    real = waiting.in_main_memory

    def counting(like: torch.Tensor, *, pinned: bool) -> torch.Tensor:
        nonlocal left, asked
        left += 1
        if not asked and any(e["type"] == "step" and e["step"] == 3 for e in run.events()):
            asked = True
            run.ask("pause")
        return real(like, pinned=pinned)

    monkeypatch.setattr(waiting, "in_main_memory", counting)
    assert run.train_here() == "paused"
    assert run.last("measured")["offload"] is True
    before, left = left, 0
    assert before > 0
    run.ask("resume")
    assert run.train_here() == "finished"
    assert left > 0
    assert adapter_digest(run) == adapter_digest(plain_run)


@pytest.mark.parametrize("when", ["step", "evaluation"])
def test_paused_and_resumed_equals_uninterrupted(
    place: Workplace, plain_run: TinyRun, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    """Pauses come in the middle of an optimizer step or of an evaluation."""
    run = place.new_run(4 if when == "step" else 5)
    real = Passes.summed_loss

    def asking(self: Passes, batch: Any) -> torch.Tensor:
        step = next((e["step"] for e in reversed(run.events()) if e["type"] == "step"), 0)
        if step == 3 and self.model.training == (when == "step"):
            run.ask("pause")
        return real(self, batch)

    with monkeypatch.context() as patch:
        patch.setattr("workbench.engine.steering._INTERVAL_SECONDS", 0.0)
        patch.setattr(Passes, "summed_loss", asking)
        assert run.train_here() == "paused"
    assert run.last("paused")["step"] == 3
    run.ask("resume")
    assert run.train_here() == "finished"
    resumed = run.last("resumed")
    assert (resumed["step"], resumed["exact"]) == (3, True)
    assert adapter_digest(run) == adapter_digest(plain_run)


@pytest.mark.parametrize("when", ["loading", "rehearsing"])
def test_a_pause_does_not_wait_for_work_that_leaves_nothing(
    place: Workplace, plain_run: TinyRun, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    """A piece of loading or rehearsing that takes long is left in its middle."""
    run = place.new_run(46 if when == "loading" else 47)
    owner, name = {
        "loading": (train, "load_base"),
        "rehearsing": (Training, "_hardest"),
    }[when]

    def endless(*_: Any, **__: Any) -> None:
        run.ask("pause")
        for _step in range(600):
            time.sleep(0.1)

    began = time.monotonic()
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, endless)
        assert run.train_here() == "paused"
    assert time.monotonic() - began < 30
    assert run.last("paused")["step"] == 0
    run.ask("resume")
    assert run.train_here() == "finished"
    assert adapter_digest(run) == adapter_digest(plain_run)


def test_a_pause_between_micro_batches_leaves_no_trace_in_dropout(
    place: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    straight, run = place.new_run(44, dropout=0.2), place.new_run(45, dropout=0.2)
    assert straight.train_here() == "finished"
    real = Passes.summed_loss

    def asking(self: Passes, batch: Any) -> torch.Tensor:
        step = next((e["step"] for e in reversed(run.events()) if e["type"] == "step"), 0)
        if step == 1 and self.model.training:
            run.ask("pause")
        return real(self, batch)

    with monkeypatch.context() as patch:
        patch.setattr("workbench.engine.steering._INTERVAL_SECONDS", 0.0)
        patch.setattr(Passes, "summed_loss", asking)
        assert run.train_here() == "paused"
    run.ask("resume")
    assert run.train_here() == "finished"
    assert run.last("resumed")["step"] == 1
    assert adapter_digest(run) == adapter_digest(straight)


def test_a_stopped_run_keeps_its_best_adapter(place: Workplace) -> None:
    run = place.new_run(6, max_steps=200)
    run_events = run.folder / "events.jsonl"
    real = Training._step

    def stopping(self: Training) -> None:
        real(self)
        if self.progress.step == 5:
            self._steering._terminated = True

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Training, "_step", stopping)
        assert run.train_here() == "stopped"
    assert run.last("stopped")["step"] == 5
    manifest = read_manifest(place.home / "adapters" / run.adapter, place.key(run.adapter))
    assert manifest.metrics["stopped"] == 1
    assert run_events.exists()


@pytest.mark.parametrize("method", ["lora", "full"])
def test_other_methods_learn_and_can_be_resumed(
    place: Workplace, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    straight = place.new_run(20, method=method) if method == "lora" else place.new_run(
        21, method=method, learning_rate=3e-4
    )  # fmt: skip
    assert straight.train_here() == "finished"
    finished = straight.last("finished")
    assert finished["eval_loss_last"] < finished["eval_loss_first"] - 0.3
    changes: dict[str, Any] = {"learning_rate": 3e-4} if method == "full" else {}
    broken = place.new_run(22 if method == "lora" else 23, method=method, **changes)
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
    assert broken.last("resumed")["step"] == 4
    assert adapter_digest(broken) == adapter_digest(straight)


def test_full_weights_are_published_in_16_bit_and_load_again(place: Workplace) -> None:
    from workbench.engine.loading import load_base
    from workbench.engine.lora import full_tensors, load_full
    from workbench.engine.tensorfile import TensorFile

    run = place.new_run(24, method="full", max_steps=2, learning_rate=1e-3)
    assert run.train_here() == "finished"
    folder = place.home / "adapters" / run.adapter
    stored = open_adapter(folder, place.key(run.adapter))
    base = load_base(place.model, method="lora")
    before = {name: tensor.clone() for name, tensor in full_tensors(base.model).items()}
    load_full(base.model, TensorFile(stored.tensors))
    after = full_tensors(base.model)
    assert {str(tensor.dtype) for tensor in after.values()} == {"torch.bfloat16"}
    assert sum(not torch.equal(after[name], before[name]) for name in after) > len(after) // 2


def _out_of_memory_above(rows: int) -> Any:
    real = Passes.summed_loss

    def limited(self: Passes, batch: Any) -> torch.Tensor:
        if len(batch.ids) > rows and self.model.training:
            raise torch.OutOfMemoryError("made up")
        return real(self, batch)

    return limited


def test_out_of_memory_halves_the_micro_batch_and_goes_on(
    place: Workplace, plain_run: TinyRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = place.new_run(7, micro_batch=4, accumulate=1)
    with monkeypatch.context() as patch:
        patch.setattr(Passes, "summed_loss", _out_of_memory_above(1))
        assert run.train_here() == "finished"
    adjusted = [event for event in run.events() if event["type"] == "adjusted"]
    assert [(e["micro_batch"], e["accumulate"]) for e in adjusted] == [(2, 2), (1, 4)]
    assert {event["reason"] for event in adjusted} == {"out_of_memory"}
    # The effective batch is the same, so the losses are, but for rounding.
    assert run.last("finished")["eval_loss_last"] == pytest.approx(
        plain_run.last("finished")["eval_loss_last"], rel=0.02
    )


def test_out_of_memory_in_the_middle_loses_no_step(
    place: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = place.new_run(8)
    real, full = Passes.summed_loss, {"at": 12, "calls": 0}

    def sometimes(self: Passes, batch: Any) -> torch.Tensor:
        full["calls"] += 1
        if full["calls"] == full["at"]:
            raise torch.OutOfMemoryError("made up")
        return real(self, batch)

    with monkeypatch.context() as patch:
        patch.setattr(Passes, "summed_loss", sometimes)
        assert run.train_here() == "finished"
    assert len([event for event in run.events() if event["type"] == "adjusted"]) == 1
    steps = [event["step"] for event in run.events() if event["type"] == "step"]
    assert steps == list(range(1, 9))


def test_what_never_fits_is_told_before_the_first_step(
    place: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = place.new_run(9)
    with monkeypatch.context() as patch:
        patch.setattr(Passes, "summed_loss", _out_of_memory_above(0))
        with pytest.raises(DoesNotFit) as caught:
            run.train_here()
    assert caught.value.code == "out_of_memory"
    assert "step" not in run.types()
    assert run.last("adjusted")["recomputed_layers"] == 2  # the last thing that was tried


def test_steps_without_a_number_are_skipped_and_end_the_run(
    place: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Passes.summed_loss

    def broken(self: Passes, batch: Any) -> torch.Tensor:
        loss = real(self, batch)
        return loss * torch.nan if self.model.training else loss

    run = place.new_run(10, max_steps=50)
    with monkeypatch.context() as patch:
        patch.setattr(Passes, "summed_loss", broken)
        with pytest.raises(JobFailed) as caught:
            run.train_here()
    assert caught.value.code == "nan_loss"
    losses = [event["loss"] for event in run.events() if event["type"] == "step"]
    assert losses == [None] * 5
    # Nothing of it reached the weights: what was evaluated meanwhile is what was there before.
    evaluated = [event["loss"] for event in run.events() if event["type"] == "evaluated"]
    assert set(evaluated) == {evaluated[0]}


def test_a_full_disk_pauses_the_run_at_its_last_checkpoint(
    place: Workplace, plain_run: TinyRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = place.new_run(11)
    real, usage = Checkpoints.write, __import__("shutil").disk_usage(place.home)

    def filling(self: Checkpoints, step: int, *rest: Any, **named: Any) -> int:
        if step < 4:
            return real(self, step, *rest, **named)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("shutil.disk_usage", lambda _: usage._replace(free=0))
            return real(self, step, *rest, **named)

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "write", filling)
        assert run.train_here() == "paused"
    assert (run.last("paused")["step"], run.last("paused")["reason"]) == (3, "disk_full")
    assert run.train_here() == "finished"
    assert adapter_digest(run) == adapter_digest(plain_run)


def test_early_stop_ends_a_run_that_gets_no_better(place: Workplace) -> None:
    run = place.new_run(12, learning_rate=1e-8, evaluate_every=1, early_stop=2, max_steps=100)
    assert run.train_here() == "finished"
    assert run.last("finished")["step"] < 100


def test_records_that_cannot_be_used_are_counted_by_reason(place: Workplace) -> None:
    run = place.new_run(13, context=20)
    assert run.train_here() == "finished"
    measured = run.last("measured")
    assert measured["skipped"]["too_long"] > 0
    assert measured["records"] + sum(measured["skipped"].values()) == 48
    assert measured["longest"] <= 20


def test_a_dataset_without_a_usable_record_is_refused(
    place: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("workbench.engine.prepare._unusable", lambda *_: "all_masked")
        with pytest.raises(BadInput) as caught:
            place.new_run(14).train_here()
    assert caught.value.code == "no_records"


def test_training_never_opens_the_test_split(
    place: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    from workbench.datasets.store import SealedDataset

    read: list[str] = []
    real = SealedDataset.batches

    def spy(self: SealedDataset, split: str) -> Any:
        read.append(split)
        return real(self, split)

    with monkeypatch.context() as patch:
        patch.setattr(SealedDataset, "batches", spy)
        place.new_run(15, max_steps=1).train_here()
    assert sorted(set(read)) == ["train", "validation"]


def test_a_checkpoint_is_bound_to_its_base(
    place: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = place.new_run(16, max_steps=2)
    assert run.train_here() == "finished"
    with monkeypatch.context() as patch:
        patch.setattr("workbench.engine.nf4.fingerprint", lambda _: "0" * 64)
        with pytest.raises(VaultDamaged) as caught:
            run.train_here()
    assert caught.value.code == "checkpoint_mismatch"


def test_another_version_of_the_dataset_is_refused(place: Workplace) -> None:
    run = place.new_run(17)
    session = run.session()
    session.sealed["dataset"] = {**session.sealed["dataset"], "root": "0" * 64}
    with session.events, pytest.raises(VaultDamaged) as caught:
        train.run(session)
    assert caught.value.code == "dataset_changed"
    assert DATASET in session.keys


def test_checkpoint_now(place: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    run = place.new_run(18, checkpoint_every=0, evaluate_every=0)
    real = Training._step

    def asking(self: Training) -> None:
        real(self)
        if self.progress.step == 5:
            run.ask("checkpoint")

    with monkeypatch.context() as patch:
        patch.setattr("workbench.engine.steering._INTERVAL_SECONDS", 0.0)
        patch.setattr(Training, "_step", asking)
        assert run.train_here() == "finished"
    steps = [event["step"] for event in run.events() if event["type"] == "checkpointed"]
    assert 6 in steps or 5 in steps
    assert Path(run.folder / "checkpoints").exists()
