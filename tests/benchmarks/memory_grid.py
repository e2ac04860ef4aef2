"""The memory model against its referee: predicted peaks beside traced ones over a grid.

    python tests/benchmarks/memory_grid.py --keep grid.jsonl [--share K/N] [--only FAMILY]

traces what FILE does not hold yet (half a minute for the largest) and prints the errors. `--share`
divides the work between processes, `--report` only prints. No GPU is needed.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from workbench.models.facts import facts_from_config
from workbench.planning.memory import Prediction, predict

# No term of the model was fitted to the totals of these two.
HELD_OUT = ("mistral", "qwen3")
VARIANTS = 8


def _model(
    family: str, hidden: int, layers: int, heads: int, kv: int, mlp: int, vocab: int,
    head: int | None = None, *, tied: bool = False, context: int = 131_072, **more: Any,
) -> dict[str, Any]:  # fmt: skip
    told = {
        "model_type": family,
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv,
        "intermediate_size": mlp,
        "vocab_size": vocab,
        "max_position_embeddings": context,
        "tie_word_embeddings": tied,
        **more,
    }
    return told if head is None else {**told, "head_dim": head}


_WHOLE: dict[str, Any] = {"context": 32_768, "sliding_window": None}
# Sizes of published models.
MODELS: dict[str, dict[str, Any]] = {
    "llama-1b": _model("llama", 2048, 16, 32, 8, 8192, 128_256, 64, tied=True),
    "llama-3b": _model("llama", 3072, 28, 24, 8, 8192, 128_256, 128, tied=True),
    "llama-8b": _model("llama", 4096, 32, 32, 8, 14_336, 128_256),
    "llama-13b": _model("llama", 5120, 40, 40, 40, 13_824, 32_000, context=4096),
    "llama-70b": _model("llama", 8192, 80, 64, 8, 28_672, 128_256),
    "mistral-7b": _model("mistral", 4096, 32, 32, 8, 14_336, 32_768, **_WHOLE),
    "mistral-24b": _model("mistral", 5120, 40, 32, 8, 32_768, 131_072, 128, **_WHOLE),
    "qwen2-0.5b": _model("qwen2", 896, 24, 14, 2, 4864, 151_936, tied=True, context=32_768),
    "qwen2-1.5b": _model("qwen2", 1536, 28, 12, 2, 8960, 151_936, tied=True, context=32_768),
    "qwen2-7b": _model("qwen2", 3584, 28, 28, 4, 18_944, 152_064, context=32_768),
    "qwen2-14b": _model("qwen2", 5120, 48, 40, 8, 13_824, 152_064, context=32_768),
    "qwen2-32b": _model("qwen2", 5120, 64, 40, 8, 27_648, 152_064, context=32_768),
    "qwen2-72b": _model("qwen2", 8192, 80, 64, 8, 29_568, 152_064, context=32_768),
    "qwen3-0.6b": _model("qwen3", 1024, 28, 16, 8, 3072, 151_936, 128, tied=True, context=40_960),
    "qwen3-4b": _model("qwen3", 2560, 36, 32, 8, 9728, 151_936, 128, tied=True, context=40_960),
    "qwen3-8b": _model("qwen3", 4096, 36, 32, 8, 12_288, 151_936, 128, context=40_960),
    "qwen3-32b": _model("qwen3", 5120, 64, 64, 8, 25_600, 151_936, 128, context=40_960),
    "gemma2-2b": _model("gemma2", 2304, 26, 8, 4, 9216, 256_000, 256, tied=True, context=8192),
    "gemma2-9b": _model("gemma2", 3584, 42, 16, 8, 14_336, 256_000, 256, tied=True, context=8192),
    "gemma2-27b": _model("gemma2", 4608, 46, 32, 16, 36_864, 256_000, 128, tied=True, context=8192),
    "gemma3-1b": _model("gemma3_text", 1152, 26, 4, 1, 6912, 262_144, 256, tied=True),
    "gemma3-4b": _model("gemma3_text", 2560, 34, 8, 4, 10_240, 262_208, 256, tied=True),
    "gemma3-12b": _model("gemma3_text", 3840, 48, 16, 8, 15_360, 262_208, 256, tied=True),
    "gemma3-27b": _model("gemma3_text", 5376, 62, 32, 16, 21_504, 262_208, 128, tied=True),
    "phi3-3.8b": _model("phi3", 3072, 32, 32, 32, 8192, 32_064, context=4096),
    "phi3-14b": _model("phi3", 5120, 40, 40, 10, 17_920, 32_064, context=4096),
}  # fmt: skip


@dataclass(frozen=True)
class Point:
    """One run of the grid."""

    model: str
    rank: int
    context: int
    micro_batch: int
    recomputed: int
    optimizer: str
    packed: bool
    offload: bool = False

    @property
    def family(self) -> str:
        return str(MODELS[self.model]["model_type"])

    @property
    def key(self) -> str:
        told = asdict(self)
        if not self.offload:  # as lines from before there was a choice have it
            del told["offload"]
        return json.dumps(told, sort_keys=True)

    def predicted(self) -> Prediction:
        """Return the formulas' answer."""
        return predict(
            facts_from_config(MODELS[self.model]),
            method="qlora",
            rank=self.rank,
            context=self.context,
            micro_batch=self.micro_batch,
            recomputed_layers=self.recomputed,
            optimizer=self.optimizer,
            masked=self.packed,
            offload=self.offload,
        )

    def traced(self, steps: int = 1) -> dict[str, Any]:
        """Return the referee's answer."""
        from workbench.engine.tracing import trace
        from workbench.recipe import parse

        recipe = parse(
            {
                "method": "qlora",
                "rank": self.rank,
                "context": self.context,
                "micro_batch": self.micro_batch,
                "recompute": self.recomputed,
                "optimizer": self.optimizer,
                "offload": self.offload,
            }
        )
        return trace(MODELS[self.model], recipe, packed=self.packed, steps=steps).to_json()


def points(variants: int = VARIANTS) -> list[Point]:
    """Return the grid, the same each time: for each model some ranks, contexts, rows, depths."""
    draw = random.Random(4)
    found = []
    for name, config in MODELS.items():
        layers = int(config["num_hidden_layers"])
        longest = min(32_768, int(config["max_position_embeddings"]))
        contexts = [
            each for each in (512, 1024, 2048, 4096, 8192, 16_384, 32_768) if each <= longest
        ]
        for number in range(variants):
            context = contexts[number % len(contexts)]
            rows = draw.choice([each for each in (1, 2, 4, 8) if each * context <= 32_768])
            found.append(
                Point(
                    model=name,
                    rank=draw.choice((4, 8, 16, 32, 64, 128, 256)),
                    context=context,
                    micro_batch=rows,
                    recomputed=draw.choice((0, layers // 4, layers // 2, layers, layers)),
                    optimizer=draw.choice(("paged_adamw_8bit", "adamw")),
                    # Sliding windows are a mask of their own.
                    packed=draw.random() < 0.7 or name.startswith("gemma"),
                )
            )
    return [*dict.fromkeys(found), *_offloaded(found)]


def _offloaded(found: list[Point]) -> Iterator[Point]:
    """Yield a point with offload for each model: a long context, every layer recomputed."""
    for name in MODELS:
        own = [point for point in found if point.model == name]
        longest = max(own, key=lambda point: point.context * point.micro_batch)
        layers = int(MODELS[name]["num_hidden_layers"])
        yield replace(longest, recomputed=layers, offload=True)


def sample(count: int) -> list[Point]:
    """Return points of all families that are traced within seconds."""
    quick = [point for point in points() if int(MODELS[point.model]["num_hidden_layers"]) <= 36]
    return quick[:: max(1, len(quick) // count)][:count]


def read(path: Path) -> dict[str, dict[str, Any]]:
    """Return what was traced before, by point."""
    if not path.exists():
        return {}
    lines = path.read_text(encoding="utf-8").splitlines()
    return {line["key"]: line for line in map(json.loads, lines)}


def errors(point: Point, traced: dict[str, Any]) -> tuple[float, float]:
    """Return the errors of the total, and of the total less resident weights, as shares."""
    predicted = point.predicted()
    peak, weights = traced["peak_bytes"], traced["parts"]["weights"] + traced["parts"]["constants"]
    moving = predicted.allocated - predicted.weights
    return predicted.allocated / peak - 1, moving / (peak - weights) - 1


def report(found: list[tuple[Point, dict[str, Any]]]) -> Iterator[str]:
    """Yield the table by family and the worst points."""
    yield f"{'family':12} {'runs':>4}  total: median worst   less weights: median worst"
    rated = [(point, *errors(point, traced)) for point, traced in found]
    for family in (*dict.fromkeys(point.family for point, *_ in rated), "all", "held out"):
        own = [
            (total, moving)
            for point, total, moving in rated
            if family in (point.family, "all")
            or (family == "held out" and point.family in HELD_OUT)
        ]
        if own:
            parts = [[abs(each[part]) for each in own] for part in (0, 1)]
            shown = [f"{statistics.median(part):6.2%} {max(part):6.2%}" for part in parts]
            yield f"{family:12} {len(own):4}         {shown[0]}                 {shown[1]}"
    for point, total, moving in sorted(rated, key=lambda each: -abs(each[2]))[:12]:
        yield f"{total:+7.2%} {moving:+7.2%}  {point}"


def main() -> None:
    """Trace and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", type=Path, required=True, help="JSON lines of what was traced")
    parser.add_argument("--share", default="1/1", help="K/N: trace each N-th point from the K-th")
    parser.add_argument("--only", help="one family")
    parser.add_argument("--report", action="store_true", help="trace nothing")
    told = parser.parse_args()
    grid = [point for point in points() if told.only in (None, point.family)]
    first, every = (int(part) for part in told.share.split("/"))
    known = read(told.keep)
    if not told.report:
        from workbench.engine.libraries import import_libraries

        import_libraries()
        by_turns = sorted(range(len(grid)), key=lambda number: number % VARIANTS)
        for point in (grid[number] for number in by_turns[first - 1 :: every]):
            if point.key in known:
                continue
            began = time.perf_counter()
            traced = {**point.traced(), "key": point.key}
            del traced["course"], traced["layers"]
            traced["seconds"] = round(time.perf_counter() - began, 1)
            with told.keep.open("a", encoding="utf-8") as file:
                file.write(json.dumps(traced) + "\n")
    known = read(told.keep)
    print("\n".join(report([(point, known[point.key]) for point in grid if point.key in known])))


if __name__ == "__main__":
    main()
