"""Samples while a tiny model trains: what they hold, and that training never notices them."""

from __future__ import annotations

import stat
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from tests.fixtures.tiny_runs import TinyRun, Workplace, adapter_digest, make_workplace
from workbench.adapters.storage import open_adapter
from workbench.datasets.records import Record
from workbench.engine import sampling
from workbench.engine.generation import Decoding, Ends, continue_prompts
from workbench.engine.jobs import train
from workbench.engine.loading import load_base
from workbench.engine.lora import load_adapter
from workbench.engine.prepare import Prepared
from workbench.engine.sampling import Sampler
from workbench.engine.training import Training
from workbench.models.codec import TextCodec
from workbench.runs.job import JobFolder
from workbench.runs.samples import Sample, SampleFolder
from workbench.runs.state import current_state


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workplace]:
    threads = torch.get_num_threads()
    yield make_workplace(tmp_path_factory.mktemp("sampling") / "home")
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(False)


def asking(run: TinyRun, patch: pytest.MonkeyPatch, *steps: int, command: Any = "sample") -> None:
    """Ask `run` for something before each of these optimizer steps is done."""
    real = Training._step
    left = list(steps)

    def step(self: Training) -> None:
        if left and self.progress.step + 1 == left[0]:
            left.pop(0)
            run.ask(command)
        real(self)

    patch.setattr("workbench.engine.steering._INTERVAL_SECONDS", 0.0)
    patch.setattr(Training, "_step", step)


def train_sampled(run: TinyRun, *steps: int) -> str:
    with pytest.MonkeyPatch.context() as patch:
        asking(run, patch, *steps)
        return run.train_here()


def samples(run: TinyRun) -> list[Sample]:
    return SampleFolder(JobFolder(run.folder).samples_folder, run.place.key(run.run)).read()


@pytest.fixture(scope="module")
def plain_run(place: Workplace) -> TinyRun:
    """A run that nobody asks anything."""
    run = place.new_run(1)
    assert run.train_here() == "finished"
    return run


def test_samples_show_what_the_model_says_and_leave_no_trace(
    place: Workplace, plain_run: TinyRun
) -> None:
    run = place.new_run(2)
    run.ask("sample")  # before it starts: it is taken before the first step
    assert train_sampled(run, 2, 5, 8) == "finished"
    assert adapter_digest(run) == adapter_digest(plain_run)
    told = [event for event in run.events() if event["type"] == "sampled"]
    # Seen at the look after the step, taken once that step is done; after the last one as well.
    assert [(event["number"], event["step"]) for event in told] == [(1, 0), (2, 2), (3, 5), (4, 8)]
    assert all(event["records"] == 2 and event["held_out"] for event in told)
    found = samples(run)
    assert [sample.step for sample in found] == [0, 2, 5, 8]
    assert [sum(a.tokens for a in sample.answers) for sample in found] == [
        event["tokens"] for event in told
    ]
    records = [answer.record for sample in found for answer in sample.answers]
    # The validation split's records are 48 to 53: all of them, and then from the beginning.
    assert sorted(records[:6]) == list(range(48, 54))
    assert records[6:] == records[:2]
    for answer in found[-1].answers:
        ((role, asked),) = answer.asked
        assert role == "user"
        assert answer.expected == asked.split()[0]
    state = current_state(run.folder)
    assert (state.samples, state.unsampled, state.sample["step"]) == (4, 0, 8)


def test_it_is_the_adapter_as_it_stands_that_answers(place: Workplace) -> None:
    run = place.new_run(4, max_steps=30, evaluate_every=30, learning_rate=5e-3)
    assert train_sampled(run, 30) == "finished"
    assert run.last("finished")["best_step"] == 30
    base = load_base(place.model, method="qlora")
    stored = open_adapter(place.home / "adapters" / run.adapter, place.key(run.adapter))
    model = load_adapter(base.model, stored, "default")
    codec = TextCodec.open(Path(place.model["folder"]))
    ends = Ends(codec.eos_ids, codec.pad_id, context=64)
    (sample,) = samples(run)
    prompts = [codec.encode_prompt(answer.asked) for answer in sample.answers]
    fresh = continue_prompts(model, prompts, ends, Decoding(128))
    assert [a.text for a in sample.answers] == [codec.decode(found.ids) for found in fresh]
    assert any(answer.text for answer in sample.answers)


def test_its_files_are_private_and_sealed(place: Workplace, plain_run: TinyRun) -> None:
    run = place.new_run(3, max_steps=2)
    assert train_sampled(run, 1) == "finished"
    (answer, _) = samples(run)[0].answers
    folder = JobFolder(run.folder).samples_folder
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    (file,) = folder.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    told = b"".join(path.read_bytes() for path in run.folder.rglob("*") if path.is_file())
    for text in (answer.asked[0][1], answer.expected):
        assert text.encode() not in told


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"dropout": 0.2, "recompute": "all"}, id="dropout-and-recomputation"),
        pytest.param({"method": "lora"}, id="lora"),
        pytest.param({"method": "full", "learning_rate": 3e-4}, id="full"),
    ],
)
def test_no_way_of_training_notices_them(place: Workplace, changes: dict[str, Any]) -> None:
    first = 10 + 2 * ["", "lora", "full"].index(changes.get("method", ""))
    straight, sampled = place.new_run(first, **changes), place.new_run(first + 1, **changes)
    assert straight.train_here() == "finished"
    assert train_sampled(sampled, 1, 4, 5) == "finished"
    assert len(samples(sampled)) == 3
    assert adapter_digest(sampled) == adapter_digest(straight)


def test_a_pause_does_not_wait_for_a_sample(place: Workplace, plain_run: TinyRun) -> None:
    run = place.new_run(30)
    passes = []

    def on_third_pass(real: Any) -> Any:
        def continued(model: Any, prompts: Any, ends: Any, decoding: Any, **told: Any) -> Any:
            def on_pass() -> None:
                passes.append(1)
                if len(passes) == 3:
                    run.ask("pause")
                told["on_pass"]()

            # It never ends by itself.
            return real(model, prompts, replace(ends, eos_ids=()), decoding, on_pass=on_pass)

        return continued

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sampling, "continue_prompts", on_third_pass(continue_prompts))
        asking(run, patch, 4)
        assert run.train_here() == "paused"
    assert len(passes) == 3
    assert run.last("paused")["step"] == 4
    assert samples(run) == []
    run.ask("resume")
    run.ask("sample")  # the first thing that the fresh process does
    assert run.train_here() == "finished"
    assert [sample.step for sample in samples(run)] == [4]
    assert adapter_digest(run) == adapter_digest(plain_run)


def test_its_time_is_no_step_s_time(place: Workplace) -> None:
    run = place.new_run(31)
    late = [0.0]
    real = Sampler.take

    def long_lasting(self: Sampler, *told: Any) -> None:
        real(self, *told)
        late[0] += 10_000

    clock = SimpleNamespace(perf_counter=lambda: time.perf_counter() + late[0])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Sampler, "take", long_lasting)
        patch.setattr("workbench.engine.training.time", clock)
        asking(run, patch, 2, 5)
        assert run.train_here() == "finished"
    assert late[0] == 20_000
    assert run.last("finished")["seconds"] < 10_000
    steps = [event for event in run.events() if event["type"] == "step"]
    assert max(event["eta_seconds"] for event in steps) < 10_000


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (torch.OutOfMemoryError("made up"), "out_of_memory"),
        (OSError(28, "No space left on device"), "disk_full"),
        (ZeroDivisionError("quotes a record"), "failed"),
    ],
)
def test_what_goes_wrong_costs_the_sample_alone(
    place: Workplace, plain_run: TinyRun, error: Exception, code: str
) -> None:
    run = place.new_run(40 + len(code))

    def failing(*_: Any, **__: Any) -> None:
        torch.rand(3)  # what it drew before it failed
        raise error

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sampling, "continue_prompts", failing)
        asking(run, patch, 3)
        assert run.train_here() == "finished"
    told = run.last("not_sampled")
    assert (told["step"], told["code"]) == (3, code)
    assert "quotes" not in str(told)
    assert adapter_digest(run) == adapter_digest(plain_run)
    state = current_state(run.folder)
    assert (state.samples, state.unsampled, state.sample["code"]) == (0, 1, code)


def test_without_held_out_records_it_says_that_they_were_trained_on(place: Workplace) -> None:
    run = place.new_run(60, max_steps=1)
    real = train._prepared

    def without(*told: Any) -> tuple[Prepared, Prepared]:
        return real(*told)[0], Prepared([], [], {})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "_prepared", without)
        asking(run, patch, 1)
        assert run.train_here() == "finished"
    assert run.last("sampled")["held_out"] is False
    (sample,) = samples(run)
    assert not sample.held_out
    assert all(answer.record < 48 for answer in sample.answers)


def test_plain_text_is_asked_for_its_second_half(place: Workplace) -> None:
    codec = TextCodec.open(Path(place.model["folder"]))
    sampler = Sampler.over(
        place.new_run(61).session(), Prepared([], [7], {}), Prepared([], [], {}), context=64, seed=0
    )
    assert sampler.chosen(1) == sampler.chosen(2) == [7]
    question = sampler._question(Record(7, (), "the card was stolen late"), codec)
    ((role, begun),) = question.asked
    assert role == ""
    assert begun + question.expected == "the card was stolen late"
    assert begun
    assert question.expected
