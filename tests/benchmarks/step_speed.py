"""Tokens a second of QLoRA steps on a model of the starter's size.

`python -m tests.benchmarks.step_speed` prints one JSON line per number of threads; with `--masked`
attention runs as on a GPU, over whole rows, for comparison. Processor time stands beside wall time,
because other work on the machine stretches the latter only. `--fusion` instead runs steps with and
without the fused nodes in turn, on the starter's shape and on twelve layers of width 768, and
prints median processor seconds and the bytes that the ledger counts.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, nargs="*", default=[1, os.cpu_count() or 1])
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--masked", action="store_true")
    parser.add_argument("--fusion", action="store_true")
    told = parser.parse_args()
    from workbench.engine.libraries import import_libraries
    from workbench.engine.quiet import settle

    settle()
    import_libraries()
    if told.fusion:
        for layers, width, inner in ((8, 256, 768), (12, 768, 2048)):
            print(json.dumps(_compared(layers, width, inner, told.threads[0], told.steps)))
        return
    with tempfile.TemporaryDirectory() as folder:
        step = _prepare(Path(folder), masked=told.masked)
        for threads in told.threads:
            print(json.dumps(_measure(step, threads, told.steps)))


@dataclass(frozen=True)
class _Step:
    """An optimizer step of 8 packed rows of 256 tokens, and what it works on."""

    passes: Any
    updater: Any
    rows: Any

    def __call__(self) -> int:
        from workbench.engine.batches import make_batch
        from workbench.engine.optimizers import shortening

        batch = make_batch(self.rows, 0)
        (self.passes.summed_loss(batch) / len(batch.targets)).backward()
        shorten = shortening(self.updater.gradient_norm(), 1.0)
        self.updater.update(1e-3, shorten)
        return batch.tokens

    def bytes_kept(self) -> tuple[int, int]:
        """Return what a forward pass leaves for the backward pass, and the peak of both."""
        from workbench.engine.batches import make_batch
        from workbench.engine.ledger import Ledger
        from workbench.engine.shadow import constants
        from workbench.engine.tracing import hidden

        model = self.passes.model
        ledger = Ledger(hidden, granularity=64)
        ledger.own("weights", [*model.parameters(), *model.buffers(), *constants(model)])
        before = ledger.live
        with ledger:
            loss = self.passes.summed_loss(make_batch(self.rows, 0))
            kept = ledger.live - before
            loss.backward()
        self.updater.forget()
        return kept, ledger.peak - before


def _prepare(
    folder: Path,
    *,
    masked: bool = False,
    fused: bool = True,
    layers: int = 8,
    width: int = 256,
    inner: int = 768,
) -> _Step:
    """Build the model, an adapter and its step."""
    import torch
    import transformers

    from tests.fixtures import tiny
    from workbench.engine import lora
    from workbench.engine.batches import Example, pack
    from workbench.engine.forward import Passes
    from workbench.engine.loading import load_base
    from workbench.engine.optimizers import WeightUpdater
    from workbench.recipe import Recipe

    config = transformers.LlamaConfig(
        vocab_size=4096, hidden_size=width, intermediate_size=inner, num_hidden_layers=layers,
        num_attention_heads=width // 64, num_key_value_heads=width // 128,
        max_position_embeddings=1024, tie_word_embeddings=True,
    )  # fmt: skip
    transformers.LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(str(folder))
    base = load_base(tiny.model_part(folder), method="qlora")
    if masked:
        base.model.config._attn_implementation = "sdpa"
    recipe = Recipe(rank=16, alpha=32)
    model = lora.attach_adapter(base.model, recipe, fused=fused).train()
    updater = WeightUpdater(model, kind=recipe.optimizer, weight_decay=0.0)
    draw = random.Random(0)
    examples = []
    for _ in range(64):
        length = draw.randint(40, 80)
        ids = tuple(draw.randrange(4096) for _ in range(length))
        examples.append(Example(ids, tuple(place > length - 16 for place in range(length))))
    rows = pack([len(e) for e in examples], 256, packing=True, seed=0)[:8]
    packed = [[examples[number] for number in row] for row in rows]
    return _Step(Passes(model, base.device, base.compute), updater, packed)


def _compared(layers: int, width: int, inner: int, threads: int, steps: int) -> dict[str, Any]:
    """Run steps with and without fused nodes in turn."""
    import torch

    torch.set_num_threads(threads)
    found: dict[str, Any] = {"layers": layers, "width": width, "threads": threads}
    both: dict[str, _Step] = {}
    seconds: dict[str, list[float]] = {}
    for name in ("fused", "usual"):
        with tempfile.TemporaryDirectory() as folder:
            both[name] = _prepare(
                Path(folder), fused=name == "fused", layers=layers, width=width, inner=inner
            )
        kept, peak = both[name].bytes_kept()
        found[name] = {"kept_mib": round(kept / 2**20, 1), "peak_mib": round(peak / 2**20, 1)}
        seconds[name] = []
        both[name]()
    for _ in range(steps):
        for name, step in both.items():
            began = time.process_time()
            tokens = step()
            seconds[name].append(time.process_time() - began)
    for name, spent in seconds.items():
        middle = statistics.median(spent)
        found[name]["tokens_per_processor_second"] = round(tokens / middle, 1)
        found[name]["spread"] = round((max(spent) - min(spent)) / middle, 3)
    fused, usual = found["fused"], found["usual"]
    found["ratios"] = {key: round(fused[key] / usual[key], 3) for key in usual if key != "spread"}
    return found


def _measure(step: Any, threads: int, steps: int) -> dict[str, float]:
    import torch

    torch.set_num_threads(threads)
    step()
    wall, processor, tokens = time.perf_counter(), time.process_time(), 0
    for _ in range(steps):
        tokens += step()
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    return {
        "threads": threads,
        "tokens_per_second": round(tokens / wall, 1),
        "tokens_per_processor_second": round(tokens / processor, 1),
        "load": os.getloadavg()[0],
    }


if __name__ == "__main__":
    main()
