"""Memory that runs out anywhere in a step: the run goes on, and learns what it would have."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from tests.fixtures.tiny_runs import TinyRun, Workplace, adapter_digest, make_workplace
from workbench.engine.checkpoints import Checkpoints
from workbench.engine.forward import Passes
from workbench.engine.optimizers import WeightUpdater
from workbench.errors import DoesNotFit

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]

PLACES = ("forward", "backward", "before_update", "after_update", "norm", "evaluation")
RUNS, EACH = 12, 5
_NUMBERS = itertools.count(1)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workplace]:
    threads = torch.get_num_threads()
    yield make_workplace(tmp_path_factory.mktemp("memory") / "home")
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(False)


class Shortage:
    """Runs out of memory at chosen moments of a run.

    A moment is a kind of place and how many times that place is passed before.
    """

    def __init__(self, moments: list[tuple[str, int]], patch: pytest.MonkeyPatch) -> None:
        self.left = {name: sorted(at for n, at in moments if n == name) for name in PLACES}
        self.passed = dict.fromkeys(PLACES, 0)
        self.happened: list[str] = []
        forward, norm = Passes.summed_loss, WeightUpdater.gradient_norm

        def summed_loss(passes: Passes, batch: Any) -> torch.Tensor:
            if not passes.model.training:
                self.pass_by("evaluation")
                return forward(passes, batch)
            self.pass_by("forward")
            loss = forward(passes, batch)
            # In the middle of the backward pass: once half of the layers have their gradients.
            trained = [p for p in passes.model.parameters() if p.requires_grad]
            handle = trained[len(trained) // 2].register_hook(lambda _: self.pass_by("backward"))
            self.handles.append(handle)
            return loss

        def gradient_norm(updater: WeightUpdater) -> torch.Tensor:
            self.pass_by("norm")
            for handle in self.handles:
                handle.remove()
            self.handles.clear()
            optimizer: Any = updater._optimizer
            if "update_step" not in vars(optimizer):
                optimizer.update_step = self.around(optimizer.update_step)
            return norm(updater)

        self.handles: list[Any] = []
        patch.setattr(Passes, "summed_loss", summed_loss)
        patch.setattr(WeightUpdater, "gradient_norm", gradient_norm)

    def around(self, real: Any) -> Any:
        """One parameter's update, which fails before or after the numbers were changed."""

        def update_step(*given: Any) -> None:
            self.pass_by("before_update")
            real(*given)
            self.pass_by("after_update")

        return update_step

    def pass_by(self, name: str) -> None:
        self.passed[name] += 1
        if self.left[name] and self.left[name][0] < self.passed[name]:
            self.left[name].pop(0)
            self.happened.append(name)
            raise torch.OutOfMemoryError("made up")


def train(place: Workplace, **changes: Any) -> TinyRun:
    recipe = {"micro_batch": 8, "accumulate": 1, "max_steps": 10, "evaluate_every": 5}
    run = place.new_run(next(_NUMBERS), **{**recipe, **changes})
    assert run.train_here() == "finished"
    return run


def moments_of(chance: random.Random) -> list[tuple[str, int]]:
    """`EACH` moments at different places, none so late that a run would not get there."""
    latest = {"forward": 9, "backward": 8, "before_update": 120, "after_update": 120, "norm": 8,
              "evaluation": 2}  # fmt: skip
    return [(name, chance.randrange(latest[name])) for name in chance.sample(PLACES, EACH)]


@pytest.mark.parametrize("compute", ["float32", "bfloat16"])
def test_many_shortages_change_nothing_but_the_pace(
    place: Workplace, compute: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "workbench.engine.loading.compute_dtype", lambda *_: getattr(torch, compute)
    )
    calm = train(place).last("finished")
    chance, happened = random.Random(compute), 0
    for _ in range(RUNS // 2):
        with monkeypatch.context() as patch:
            shortage = Shortage(moments_of(chance), patch)
            run = train(place)
        happened += len(shortage.happened)
        adjusted = [event for event in run.events() if event["type"] == "adjusted"]
        assert len(adjusted) == len(shortage.happened) == EACH
        assert [e["micro_batch"] for e in adjusted] == [4, 2, 1, 1, 1]
        assert [e["accumulate"] for e in adjusted] == [2, 4, 8, 8, 8]
        assert [e["recomputed_layers"] for e in adjusted] == [0, 0, 0, 1, 2]
        steps = [event["step"] for event in run.events() if event["type"] == "step"]
        assert steps == list(range(1, 11))
        end = run.last("finished")
        assert end["tokens"] == calm["tokens"]
        if compute == "float32":
            assert end["loss_last"] == pytest.approx(calm["loss_last"], abs=1e-4)
            assert end["eval_loss_last"] == pytest.approx(calm["eval_loss_last"], abs=1e-4)
        else:
            assert end["eval_loss_last"] == pytest.approx(calm["eval_loss_last"], rel=0.01)
    assert happened == RUNS // 2 * EACH


def test_an_update_that_is_taken_up_again_ends_with_the_same_bits(
    place: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The order of sums follows the rows at a time, so those are one from the start.
    few = {"micro_batch": 1, "accumulate": 4, "max_steps": 6}
    calm = train(place, **few)
    moments = [("before_update", 3), ("after_update", 40)]
    with monkeypatch.context() as patch:
        Shortage(moments, patch)
        run = train(place, **few)
    assert len([e for e in run.events() if e["type"] == "adjusted"]) == 2
    assert adapter_digest(run) == adapter_digest(calm)


def test_without_a_rung_left_the_steps_that_were_done_are_kept(
    place: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = place.new_run(next(_NUMBERS), micro_batch=1, accumulate=4, recompute="all",
                        checkpoint_every=100, max_steps=8)  # fmt: skip
    with monkeypatch.context() as patch:
        Shortage([("forward", 4 * 3 + 2)], patch)
        with pytest.raises(DoesNotFit) as caught:
            run.train_here()
    assert caught.value.exit_code == 5
    assert "shorter context" in caught.value.hint
    kept = Checkpoints(run.folder / "checkpoints", place.key(run.run)).steps()
    steps = [event["step"] for event in run.events() if event["type"] == "step"]
    assert max(kept) == steps[-1] == 3
    run.ask("resume")
    assert run.train_here() == "finished"
    assert run.last("resumed")["step"] == 3
