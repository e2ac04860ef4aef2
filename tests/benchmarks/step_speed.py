"""Tokens a second of QLoRA steps on a model of the starter's size.

`python -m tests.benchmarks.step_speed` prints one JSON line per number of threads; with `--masked`
attention runs as on a GPU, over whole rows, for comparison. Processor time stands beside wall time,
because other work on the machine stretches the latter only.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import tempfile
import time
from pathlib import Path
from typing import Any


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, nargs="*", default=[1, os.cpu_count() or 1])
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--masked", action="store_true")
    told = parser.parse_args()
    from workbench.engine.libraries import import_libraries
    from workbench.engine.quiet import settle

    settle()
    import_libraries()
    with tempfile.TemporaryDirectory() as folder:
        step = _prepare(Path(folder), masked=told.masked)
        for threads in told.threads:
            print(json.dumps(_measure(step, threads, told.steps)))


def _prepare(folder: Path, *, masked: bool) -> Any:
    """Build the model, an adapter and one optimizer step of 8 packed rows of 256 tokens."""
    import torch
    import transformers

    from tests.fixtures import tiny
    from workbench.engine import lora
    from workbench.engine.batches import Example, make_batch, pack
    from workbench.engine.forward import Passes
    from workbench.engine.loading import load_base
    from workbench.engine.optimizers import WeightUpdater, shortening
    from workbench.recipe import Recipe

    config = transformers.LlamaConfig(
        vocab_size=4096, hidden_size=256, intermediate_size=768, num_hidden_layers=8,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=1024,
        tie_word_embeddings=True,
    )  # fmt: skip
    transformers.LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(str(folder))
    base = load_base(tiny.model_part(folder), method="qlora")
    if masked:
        base.model.config._attn_implementation = "sdpa"
    recipe = Recipe(rank=16, alpha=32)
    model = lora.attach_adapter(base.model, recipe).train()
    updater = WeightUpdater(model, kind=recipe.optimizer, weight_decay=0.0)
    passes = Passes(model, base.device, base.compute)
    draw = random.Random(0)
    examples = []
    for _ in range(64):
        length = draw.randint(40, 80)
        ids = tuple(draw.randrange(4096) for _ in range(length))
        examples.append(Example(ids, tuple(place > length - 16 for place in range(length))))
    rows = pack([len(e) for e in examples], 256, packing=True, seed=0)[:8]
    packed = [[examples[number] for number in row] for row in rows]

    def step() -> int:
        batch = make_batch(packed, 0)
        (passes.summed_loss(batch) / len(batch.targets)).backward()
        shorten = shortening(updater.gradient_norm(), 1.0)
        updater.update(1e-3, shorten)
        return batch.tokens

    return step


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
