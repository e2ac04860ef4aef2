"""The parts of the loop one by one: schedule, rows, optimizer, checkpoints, steering, relief."""

from __future__ import annotations

import contextlib
import math
import shutil
import signal
import sys
import time
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import pytest
import safetensors.torch
import torch
from torch import nn

from workbench.datasets.records import Record
from workbench.engine.batches import Example, make_batch
from workbench.engine.checkpoints import Checkpoints, DiskFull
from workbench.engine.course import Course, plan_course
from workbench.engine.determinism import random_states, restore_random, untouched_random
from workbench.engine.optimizers import WeightUpdater
from workbench.engine.prepare import prepare
from workbench.engine.pressure import is_out_of_memory
from workbench.engine.schedule import learning_rate
from workbench.engine.steering import Interrupted, Steering
from workbench.engine.tensorfile import PART_BYTES, stream_tensors, tensor_bytes
from workbench.engine.threads import choose_threads
from workbench.errors import VaultDamaged
from workbench.models.codec import Encoded
from workbench.recipe import Recipe, parse
from workbench.runs.protocol import Request
from workbench.vault.sealed import DataKey


def _rates(steps: int, warmup: float, shape: str) -> list[float]:
    return [
        learning_rate(step, steps, peak=1.0, warmup=warmup, shape=shape)
        for step in range(1, steps + 1)
    ]


@pytest.mark.parametrize("shape", ["cosine", "linear", "constant"])
def test_rate_rises_to_the_peak_and_never_reaches_zero(shape: str) -> None:
    rates = _rates(100, 0.1, shape)
    assert rates[:10] == pytest.approx([step / 10 for step in range(1, 11)])
    assert rates[10] == 1.0
    assert all(later <= earlier for earlier, later in pairwise(rates[10:]))
    assert rates[-1] > 0
    assert (rates[-1] < 0.02) is (shape != "constant")


def test_rate_without_warmup_starts_at_the_peak_even_in_one_step() -> None:
    assert _rates(1, 0.0, "cosine") == [1.0]
    assert _rates(1, 0.5, "cosine") == [1.0]
    assert _rates(5, 0.0, "cosine")[2] == pytest.approx(0.5 * (1 + math.cos(math.pi * 0.4)))


def _course(records: int = 30, **changes: Any) -> Course:
    examples = [Example((1,) * (3 + n % 5), (True,) * (3 + n % 5)) for n in range(records)]
    told = {"context": 16, "micro_batch": 2, "accumulate": 2, "epochs": 2.0, **changes}
    return plan_course(examples, [], parse(told), pad_id=0)


class _Source:
    splits: ClassVar[dict[str, int]] = {"train": 3}

    def records(self, split: str) -> list[Record]:
        return [Record(number, (), "x") for number in range(3)]


class _Codec:
    def encode_text(self, text: str) -> Encoded:
        return Encoded(list(range(1000, 2000)), [False] + [True] * 999, text, True)


def test_prepared_records_take_little_memory_and_give_the_same_batch() -> None:
    codec: Any = _Codec()
    examples = prepare(_Source(), "train", codec, context=1000).examples
    for example in examples:
        assert len(example) == 1000
        assert example.targets == 999
        assert sys.getsizeof(example.ids) + sys.getsizeof(example.counted) < 6 * 1000
    plain = Example(tuple(range(1000, 2000)), (False,) + (True,) * 999)
    one, two = make_batch([examples[:2]], 0), make_batch([[plain, plain]], 0)
    assert torch.equal(one.ids, two.ids)
    assert torch.equal(one.targets, two.targets)
    assert torch.equal(one.predictors, two.predictors)


def test_each_epoch_takes_every_row_once_in_another_order() -> None:
    course = _course()
    taken = [row for step in range(1, course.steps + 1) for row in course.rows_of(step)]
    count = len(course.rows)
    assert len(taken) == 2 * count
    assert sorted(taken[:count]) == sorted(taken[count:]) == list(range(count))
    assert taken[:count] != taken[count:]


def test_rows_of_a_step_do_not_depend_on_steps_before() -> None:
    one, two = _course(), _course()
    for step in range(1, two.steps + 1):
        two.rows_of(step)
    assert one.rows_of(one.steps) == two.rows_of(two.steps)
    assert one.rows_of(1) != _course(seed=9).rows_of(1)


@pytest.mark.parametrize(
    ("changes", "steps"),
    [({"epochs": 0.01}, 1), ({"max_steps": 3}, 3), ({"packing": False, "epochs": 1.0}, 8)],
)
def test_course_length(changes: dict[str, Any], steps: int) -> None:
    course = _course(**changes)
    assert course.steps == steps
    assert sum(len(course.rows_of(step)) for step in range(1, steps + 1)) == course.total_rows


class _Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.large = nn.Linear(128, 64, bias=True)
        self.small = nn.Linear(64, 4, bias=False)

    def step(self, updater: WeightUpdater, seed: int) -> None:
        torch.manual_seed(seed)
        self.small(self.large(torch.randn(8, 128))).square().sum().backward()
        updater.update(0.01)


@pytest.mark.parametrize("kind", ["paged_adamw_8bit", "adamw_8bit", "adamw"])
def test_restored_optimizer_goes_on_bit_by_bit(kind: str) -> None:
    straight, broken = _Net(), _Net()
    one = WeightUpdater(straight, kind=kind, weight_decay=0.1)
    two = WeightUpdater(broken, kind=kind, weight_decay=0.1)
    for seed in range(6):
        straight.step(one, seed)
    for seed in range(3):
        broken.step(two, seed)
    saved = {name: tensor.clone() for name, tensor in two.tensors().items()}
    fresh = _Net()
    fresh.load_state_dict(broken.state_dict())
    three = WeightUpdater(fresh, kind=kind, weight_decay=0.1)
    three.restore(saved, two.updates)
    for seed in range(3, 6):
        fresh.step(three, seed)
    for name, tensor in straight.state_dict().items():
        assert torch.equal(tensor, fresh.state_dict()[name]), name
    eight_bit = {n for n, t in saved.items() if t.dtype == torch.uint8}
    assert eight_bit == (
        set() if kind == "adamw" else {"large.weight:state1", "large.weight:state2"}
    )


def test_vectors_do_not_decay_and_matrices_do() -> None:
    net = _Net()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    updater = WeightUpdater(net, kind="adamw", weight_decay=0.5)
    for parameter in net.parameters():
        parameter.grad = torch.zeros_like(parameter)
    updater.update(0.1)
    assert torch.equal(net.large.bias, before["large.bias"])
    torch.testing.assert_close(net.large.weight, before["large.weight"] * 0.95)


def test_foreign_moments_are_refused() -> None:
    updater = WeightUpdater(_Net(), kind="adamw", weight_decay=0.0)
    with pytest.raises(VaultDamaged, match="another run"):
        updater.restore({}, 3)


def test_streamed_tensors_are_a_safetensors_file() -> None:
    tensors = {
        "b": torch.randn(3, 5),
        "a": torch.arange(7, dtype=torch.uint8),
        "c": torch.randn(2, 2, dtype=torch.bfloat16),
        "large": torch.randn(PART_BYTES // 4 + 10),
        "empty": torch.zeros(0),
    }
    parts = list(stream_tensors(tensors))
    assert max(map(len, parts)) <= PART_BYTES
    back = safetensors.torch.load(b"".join(parts))
    assert back.keys() == tensors.keys()
    assert all(torch.equal(back[name], tensors[name]) for name in tensors)
    assert len(b"".join(parts)) > tensor_bytes(tensors)
    again = stream_tensors(dict(reversed(tensors.items())))
    assert b"".join(again) == b"".join(parts)
    half = safetensors.torch.load(b"".join(stream_tensors(tensors, torch.bfloat16)))
    assert {str(t.dtype) for t in half.values()} == {"torch.bfloat16", "torch.uint8"}


KEY = DataKey("va-0", "ru-0", b"k" * 32)


def _write(checkpoints: Checkpoints, step: int, best: int = -1) -> None:
    tensors = {"x": torch.full((4,), float(step))}
    checkpoints.write(step, tensors, {"progress": step}, best=best)


def test_the_last_two_and_the_best_are_kept(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path / "c", KEY)
    for step in range(1, 8):
        _write(checkpoints, step, best=3 if step >= 3 else step)
    assert checkpoints.steps() == [3, 6, 7]
    newest = checkpoints.newest()
    assert newest is not None
    assert (newest.step, newest.state["progress"]) == (7, 7)
    assert torch.equal(newest.tensors["x"], torch.full((4,), 7.0))


def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, KEY)
    _write(checkpoints, 1)
    _write(checkpoints, 2)
    path = tmp_path / "step-0000000002.sealed"
    body = bytearray(path.read_bytes())
    body[len(body) // 3] ^= 1
    path.write_bytes(body)
    newest = checkpoints.newest()
    assert newest is not None
    assert newest.step == 1
    (tmp_path / "step-0000000001.sealed").write_bytes(b"torn")
    with pytest.raises(VaultDamaged):
        checkpoints.newest()


def test_a_full_disk_is_told_and_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoints = Checkpoints(tmp_path, KEY)
    _write(checkpoints, 1)
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    with pytest.raises(DiskFull, match="needs 16 MiB") as caught:
        _write(checkpoints, 2)
    assert caught.value.code == "disk_full"
    assert checkpoints.steps() == [1]
    assert [path.name for path in tmp_path.iterdir()] == ["step-0000000001.sealed"]


def test_checkpoints_hold_no_plain_tensors(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, KEY)
    checkpoints.write(1, {"secret-name": torch.full((64,), 1.5)}, {}, best=-1)
    body = (tmp_path / "step-0000000001.sealed").read_bytes()
    assert b"secret-name" not in body
    assert torch.full((4,), 1.5).numpy().tobytes() not in body


class _Requests:
    def __init__(self, *commands: str) -> None:
        self.waiting = [Request(str(n), c) for n, c in enumerate(commands)]  # type: ignore[arg-type]

    def poll(self) -> list[Request]:
        found, self.waiting = self.waiting, []
        return found


@pytest.mark.parametrize(
    ("commands", "ending"), [(["pause"], "pause"), (["stop"], "stop"), (["pause", "stop"], "stop")]
)
def test_commands_interrupt(commands: list[str], ending: str) -> None:
    with pytest.raises(Interrupted) as caught:
        Steering(_Requests(*commands)).check()
    assert caught.value.ending == ending


def test_a_checkpoint_request_is_taken_once() -> None:
    steering = Steering(_Requests("checkpoint"))
    steering.check()
    assert steering.take_checkpoint_request()
    assert not steering.take_checkpoint_request()


def test_the_control_file_is_not_read_all_the_time() -> None:
    counts: Counter[str] = Counter()

    class Counting(_Requests):
        def poll(self) -> list[Request]:
            counts["polls"] += 1
            return []

    steering = Steering(Counting())
    for _ in range(1000):
        steering.check()
    assert counts["polls"] < 20


def test_work_that_looks_up_from_nothing_is_abandoned() -> None:
    steering, began = Steering(_Requests("pause")), time.monotonic()
    before = signal.getsignal(signal.SIGUSR1)

    def work() -> None:
        with steering.abandoning():
            for _ in range(100):
                # As libraries do: an interrupt is none of their own failures.
                with contextlib.suppress(Exception):
                    time.sleep(0.1)

    with pytest.raises(Interrupted, match="pause"):
        work()
    assert time.monotonic() - began < 5
    assert signal.getsignal(signal.SIGUSR1) == before


def test_nothing_is_abandoned_unasked_nor_outside_the_block() -> None:
    requests = _Requests("checkpoint")
    steering = Steering(requests)
    with steering.abandoning():
        time.sleep(0.5)
    assert steering.take_checkpoint_request()
    requests.waiting = [Request("9", "pause")]
    time.sleep(0.5)
    with pytest.raises(Interrupted, match="pause"):
        steering.check()


def test_sigterm_means_stop() -> None:
    before = signal.getsignal(signal.SIGTERM)
    try:
        steering = Steering(_Requests())
        steering.listen()
        steering.check()
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(Interrupted, match="stop"):
            steering.check()
    finally:
        signal.signal(signal.SIGTERM, before)


def test_random_states_come_back() -> None:
    saved = random_states()
    first = torch.rand(3)
    restore_random(saved)
    with untouched_random():
        torch.rand(10)
    assert torch.equal(torch.rand(3), first)


def test_threads_are_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    now = {"threads": 1, "clock": 0.0}
    costs = {4: 3.0, 1: 1.0}
    monkeypatch.setattr(torch, "set_num_threads", lambda count: now.update(threads=count))
    monkeypatch.setattr("time.perf_counter", lambda: now["clock"])

    def work() -> None:
        now["clock"] += costs[int(now["threads"])]

    assert choose_threads(work, 4) == 1
    costs[4] = 0.5
    assert choose_threads(work, 4) == 4
    assert choose_threads(work, 1) == 1


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError("x"), True),
        (MemoryError(), True),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), True),
        (RuntimeError("shapes differ"), False),
        (ValueError("can't allocate memory"), False),
    ],
)
def test_what_counts_as_out_of_memory(error: BaseException, expected: bool) -> None:
    assert is_out_of_memory(error) is expected


def test_recipe_default_optimizer_is_known() -> None:
    WeightUpdater(_Net(), kind=Recipe().optimizer, weight_decay=Recipe().weight_decay)
