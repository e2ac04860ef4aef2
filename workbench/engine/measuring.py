"""How fast this device trains, from small blocks of random weights: numbers for the planner.

Each block is trained as a run is: 4-bit weights, adapters of rank 16, packed records, the chunked
loss. All are timed in turn, round after round, each time with records of other lengths, as a run
brings them: new shapes cost more than repeated ones. The median round of each counts: what others
do on the machine disturbs one round and not one block, and threads that wait for each other are a
part of training, so the fastest would promise too much. What the seconds mean is the planner's to
say (`planning.pace`).
"""

from __future__ import annotations

import gc
import random
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import torch
from bitsandbytes.nn import Linear4bit, Params4bit
from torch import nn

from workbench.engine import nf4
from workbench.engine.attention import attend_by_record
from workbench.engine.batches import Batch, Example, make_batch
from workbench.engine.forward import Passes
from workbench.engine.loading import compute_dtype
from workbench.engine.lora import attach_adapter
from workbench.engine.optimizers import WeightUpdater, shortening
from workbench.engine.threads import available_threads
from workbench.recipe import Recipe

_RANK = 16
_BUDGET_SECONDS = {"cpu": 7.0, "cuda": 3.0}
_MOST_ROUNDS = 6


@dataclass(frozen=True)
class Block:
    """Layers of Llama's shape, and a vocabulary small enough not to matter."""

    hidden: int
    mlp: int
    layers: int
    heads: int
    kv_heads: int
    vocab: int


@dataclass(frozen=True)
class Load:
    """A micro-batch: rows of `context` tokens, filled by records of about `length` tokens."""

    rows: int
    context: int
    length: int


# Narrow and wide, few tokens and many, short records and long: each tells another rate.
_NARROW = Block(256, 768, 2, 4, 2, 2048)
_POINTS = {
    "cpu": (
        (_NARROW, (Load(8, 256, 64), Load(8, 256, 256), Load(4, 128, 64), Load(1, 64, 64))),
        (Block(1024, 2816, 1, 16, 8, 1024), (Load(2, 256, 64), Load(1, 64, 64))),
    ),
    "cuda": (
        (_NARROW, (Load(8, 1024, 1024), Load(1, 64, 64))),
        (
            Block(2048, 5632, 2, 32, 8, 2048),
            (Load(4, 1024, 1024), Load(2, 4096, 4096), Load(1, 256, 256)),
        ),
        (Block(4096, 14336, 1, 32, 8, 1024), (Load(2, 1024, 1024), Load(1, 256, 256))),
    ),
}


def measure(device: torch.device, told: Callable[[int, int], None]) -> dict[str, Any]:
    """Return what was measured: `threads`, `figures` and `points`; about ten seconds.

    On a processor each block is timed with all threads, then with one.

    Args:
        told: Called with the rounds done and those at most; may raise to end it.
    """
    compute = compute_dtype(device)
    most = available_threads()
    counts = (most, 1) if device.type == "cpu" and most > 1 else (most,)
    points = [
        _Point(part, threads)
        for block, loads in _POINTS[device.type]
        for part in _parts(block, loads, device, compute)
        for threads in counts
    ]
    began = time.perf_counter()
    for round_ in range(_MOST_ROUNDS):
        told(round_, _MOST_ROUNDS)
        for point in points:
            point.time()
        if time.perf_counter() - began > _BUDGET_SECONDS[device.type]:
            break
    found = [point.to_json() for point in points]
    del points, point
    gc.collect()
    torch.set_num_threads(most)
    figures = _figures(device, compute)
    told(_MOST_ROUNDS, _MOST_ROUNDS)
    return {"threads": most, "figures": figures, "points": found}


class _Took(NamedTuple):
    """How long something took, and how long all processors together worked on it."""

    seconds: float
    processor_seconds: float


@dataclass
class _Part:
    """One block with one kind of micro-batch.

    Attributes:
        updates: Whether its optimizer is timed as well.
    """

    block: Block
    load: Load
    passes: Passes
    updater: WeightUpdater
    updates: bool

    def work(self, batch: Batch) -> None:
        """Go forward and backward once."""
        self.updater.forget()
        loss = self.passes.summed_loss(batch) / len(batch.targets)
        loss.backward()
        _wait(self.passes.device)

    def update(self) -> None:
        """Take an optimizer step along the gradients that are there."""
        self.updater.update(1e-4, shortening(self.updater.gradient_norm(), 1.0))
        _wait(self.passes.device)


class _Point:
    """A part on so many threads, and the times that it took."""

    def __init__(self, part: _Part, threads: int) -> None:
        self._part, self._threads = part, threads
        self._draw = random.Random(0)  # noqa: S311  no secret
        self._passed: list[_Took] = []
        self._updated: list[_Took] = []
        self._counted: list[int] = []
        torch.set_num_threads(threads)
        part.work(self._batch())  # compiles what all shapes need

    def _batch(self) -> Batch:
        return _batch(self._part.block, self._part.load, self._draw)

    def time(self) -> None:
        """Time it once more, with other records."""
        batch = self._batch()
        torch.set_num_threads(self._threads)
        self._counted.append(len(batch.targets))
        self._passed.append(_timed(partial(self._part.work, batch)))
        if self._part.updates:
            self._updated.append(_timed(self._part.update))

    def to_json(self) -> dict[str, float]:
        """Return what was done and how long it took."""
        block, load, passed = self._part.block, self._part.load, _middle(self._passed)
        point: dict[str, float] = {
            "hidden": block.hidden,
            "mlp": block.mlp,
            "layers": block.layers,
            "heads": block.heads,
            "kv_heads": block.kv_heads,
            "vocab": block.vocab,
            "rank": _RANK,
            "threads": self._threads,
            "tokens": load.rows * load.context,
            "length": load.length if self._part.passes.device.type == "cpu" else load.context,
            "counted": statistics.mean(self._counted),
            "seconds": passed.seconds,
            "processor_seconds": passed.processor_seconds,
        }
        if self._part.updates:
            trained = self._part.updater.parameters
            point["tensors"] = len(trained)
            point["parameters"] = sum(each.numel() for each in trained)
            updated = _middle(self._updated)
            point["update_seconds"] = updated.seconds
            point["update_processor_seconds"] = updated.processor_seconds
        return point


def _parts(
    block: Block, loads: tuple[Load, ...], device: torch.device, compute: torch.dtype
) -> list[_Part]:
    model = _model(block, device, compute)
    updater = WeightUpdater(model, kind=Recipe().optimizer, weight_decay=0.0)
    passes = Passes(model, device, compute)
    return [
        _Part(block, load, passes, updater, updates=number == 0)
        for number, load in enumerate(loads)
    ]


def _model(block: Block, device: torch.device, compute: torch.dtype) -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        hidden_size=block.hidden,
        intermediate_size=block.mlp,
        num_hidden_layers=block.layers,
        num_attention_heads=block.heads,
        num_key_value_heads=block.kv_heads,
        vocab_size=block.vocab,
        max_position_embeddings=8192,
        tie_word_embeddings=True,
        attn_implementation="sdpa",
    )
    torch.manual_seed(0)
    model: Any = LlamaForCausalLM(config).to(torch.bfloat16)
    for layer in model.model.layers:
        for part in (layer.self_attn, layer.mlp):
            for name, linear in list(part.named_children()):
                if isinstance(linear, nn.Linear):
                    setattr(part, name, _in_four_bits(linear, device, compute))
    model.to(device)
    if compute == torch.float32:
        for each in model.parameters():
            if each.is_floating_point():
                each.data = each.data.float()
    nf4.guard(model)
    if device.type == "cpu":
        attend_by_record(model)
    model.requires_grad_(False)
    return attach_adapter(model, Recipe(rank=_RANK)).to(device).train()


def _in_four_bits(linear: nn.Linear, device: torch.device, compute: torch.dtype) -> Linear4bit:
    packed = Linear4bit(
        linear.in_features,
        linear.out_features,
        bias=False,
        compute_dtype=compute,
        compress_statistics=True,
        quant_type="nf4",
    )
    packed.weight = Params4bit(
        linear.weight.data, requires_grad=False, compress_statistics=True, quant_type="nf4"
    )
    return packed.to(device)


def _batch(block: Block, load: Load, draw: random.Random) -> Batch:
    rows = []
    for _ in range(load.rows):
        row = []
        for length in _lengths(load, draw):
            ids = tuple(draw.randrange(block.vocab) for _ in range(length))
            answer = length - length // 4
            row.append(Example(ids, tuple(place >= answer for place in range(length))))
        rows.append(row)
    return make_batch(rows, 0)


def _lengths(load: Load, draw: random.Random) -> list[int]:
    """Return the lengths of the records of a row: pairs of one longer and one shorter fill it."""
    lengths = [load.length] * (load.context // load.length)
    for place in range(0, len(lengths) - 1, 2):
        more = draw.randrange(load.length // 4)
        lengths[place] += more
        lengths[place + 1] -= more
    return lengths


def _figures(device: torch.device, compute: torch.dtype) -> dict[str, float]:
    """Return operations and bytes a second: matrix products, memory, and the way to a GPU."""
    side = 1024 if device.type == "cpu" else 8192
    figures = {}
    dtypes = {"matmul_fp32": torch.float32, "matmul_bf16": torch.bfloat16}
    for name, dtype in dtypes.items():
        if dtype == torch.float32 or compute == torch.bfloat16:
            a, b = (torch.ones(side, side, dtype=dtype, device=device) for _ in range(2))
            figures[name] = 2 * side**3 / _fastest(partial(torch.matmul, a, b), device)
    count = (64 if device.type == "cpu" else 1024) << 20
    source = torch.ones(count, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    # Each byte is read once and written once.
    figures["memory"] = 2 * count / _fastest(lambda: target.copy_(source), device)
    if device.type == "cuda":
        count = 256 << 20
        host = torch.ones(count, dtype=torch.uint8, pin_memory=True)
        there = target[:count]
        figures["to_device"] = count / _fastest(lambda: there.copy_(host), device)
        figures["from_device"] = count / _fastest(lambda: host.copy_(there), device)
    return figures


def _fastest(work: Callable[[], Any], device: torch.device) -> float:
    def waited() -> None:
        work()
        _wait(device)

    waited()
    return min(_timed(waited) for _ in range(3)).seconds


def _middle(times: list[_Took]) -> _Took:
    return sorted(times)[len(times) // 2]


def _timed(work: Callable[[], Any]) -> _Took:
    began, worked = time.perf_counter(), time.process_time()
    work()
    return _Took(time.perf_counter() - began, time.process_time() - worked)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
