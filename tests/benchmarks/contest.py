"""Ours beside the usual ways to train QLoRA, in one go: `python -m tests.benchmarks.contest`.

In turn, round after round, each contestant trains the same model on the same records with the same
adapter, precision, optimizer, learning rate and token budget, in a process of its own (see
`contestants`). Printed, and written with a chart into `results/`, are for each contestant

- useful tokens a second: prompt and answer, padding, loading and scoring left out, and the first
  optimizer step too, in which libraries warm up; by the clock and by the processor's time;
- the peak of memory over the process as it was with the base loaded: resident memory on a CPU,
  what torch allocated on a GPU;
- the loss on held-out records after the same number of records, scored by one function;

and ours against each: the median of the rounds' ratios, with the lowest and the highest.

Contestants: `ours`; `hf`, the common recipe (Trainer, PEFT, `prepare_model_for_kbit_training`,
padding, checkpointing of all layers, logits of all positions); `trl`, SFTTrainer as it comes;
`trl-packed`, with packing; `trl-best`, packed and without checkpointing; `unsloth`, on CUDA only.
Hugging Face's are guarded against a fault of bitsandbytes that would falsify their gradients.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
from importlib.metadata import version
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from tests.benchmarks.contest_chart import draw
from tests.benchmarks.contest_settings import MIXES, MODELS

CONTESTANTS = ("ours", "hf", "trl", "trl-packed", "trl-best", "unsloth")
LIBRARIES = ("torch", "transformers", "peft", "bitsandbytes", "accelerate", "trl", "unsloth")
RESULTS = Path(__file__).parent / "results"
_MISSING = (
    "TRL is not here and is left out; in an environment of the benchmark's own, "
    "`python -m pip install -r tests/benchmarks/pins.txt -c packaging/pins.txt` installs it."
)
Run = dict[str, Any]


def main() -> None:
    """Run the contest, print the ratios, and write the results."""
    told = _arguments()
    contestants = _present(told.contestants)
    parts = [(model, mix) for model in told.models for mix in told.mixes]
    runs: dict[tuple[str, str], list[dict[str, Run]]] = {part: [] for part in parts}
    threads: dict[tuple[str, str], dict[str, int]] = {}
    with tempfile.TemporaryDirectory() as folder:
        places = {name: _write_model(name, Path(folder) / name / "base") for name in told.models}
        for number in range(told.rounds):
            # Another one begins each round, so that nobody always runs in the same place.
            turn = number % len(contestants)
            for model, mix in parts:
                part, place = (model, mix), places[model]
                if part not in threads:
                    threads[part] = {
                        name: _threads(told.threads, name, model, mix, place)
                        for name in contestants
                    }
                found = {}
                for name in (*contestants[turn:], *contestants[:turn]):
                    count = threads[part][name]
                    found[name] = _run(name, model, mix, place, told.steps, count, score=not number)
                    told_of = json.dumps(figures(found[name]))
                    print(f"{model} {mix} {name}: {told_of}", flush=True)
                runs[part].append(found)
                # After each part, so that a long contest that is broken off leaves what it had.
                done = [_summary(*each, threads[each], runs[each]) for each in parts if runs[each]]
                print(json.dumps(done[parts.index(part)]["ratios"]), flush=True)
                _write(told.out, done)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", nargs="*", choices=MODELS, default=list(MODELS))
    parser.add_argument("--mixes", nargs="*", choices=MIXES, default=list(MIXES))
    parser.add_argument("--contestants", nargs="*", choices=CONTESTANTS, default=list(CONTESTANTS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=8, help="optimizer steps, the first not timed")
    parser.add_argument(
        "--threads", default="auto", help="auto: 1 or all, for each the faster in a short try"
    )
    parser.add_argument("--out", type=Path, default=RESULTS / "contest", help="without an ending")
    return parser.parse_args()


def _present(asked: list[str]) -> list[str]:
    """Return the contestants that can take part, and say why another cannot."""
    absent = set()
    if importlib.util.find_spec("trl") is None:
        print(_MISSING)
        absent = {"trl", "trl-packed", "trl-best"}
    if "unsloth" in asked and not (_has_card() and importlib.util.find_spec("unsloth")):
        print("Unsloth needs a CUDA device and its own package, and is left out.")
        absent.add("unsloth")
    return [name for name in asked if name not in absent]


def _has_card() -> bool:
    import torch

    return torch.cuda.is_available()


def _write_model(name: str, folder: Path) -> Path:
    """Write the model with a tokenizer: the starter itself, else random weights."""
    if name == "starter":
        with as_file(files("workbench").joinpath("starter", "model")) as starter:
            shutil.copytree(starter, folder)
        return folder
    import torch
    import transformers

    from tests.fixtures.tiny import write_tokenizer

    sizes = MODELS[name]
    folder.mkdir(parents=True)
    write_tokenizer(folder)
    config = transformers.LlamaConfig(
        vocab_size=sizes.vocabulary, hidden_size=sizes.width, intermediate_size=sizes.inner,
        num_hidden_layers=sizes.layers, num_attention_heads=sizes.heads,
        num_key_value_heads=sizes.key_heads, max_position_embeddings=2048,
        tie_word_embeddings=True, bos_token_id=None, eos_token_id=1, pad_token_id=0,
    )  # fmt: skip
    torch.manual_seed(0)
    model: Any = transformers.LlamaForCausalLM(config).to(torch.bfloat16)
    model.save_pretrained(str(folder))
    return folder


def _threads(asked: str, name: str, model: str, mix: str, folder: Path) -> int:
    if asked != "auto":
        return int(asked)
    most = len(os.sched_getaffinity(0))
    tries = {
        count: figures(_run(name, model, mix, folder, 2, count, score=False)) for count in (1, most)
    }
    return max(tries, key=lambda count: tries[count]["tokens_per_second"])


def _run(
    name: str, model: str, mix: str, folder: Path, steps: int, threads: int, *, score: bool
) -> Run:
    """Let one contestant train in a fresh process; return what it reports.

    Raises:
        SystemExit: It failed; its last words are shown.
    """
    asked = {
        "contestant": name, "model": model, "mix": mix, "folder": str(folder),
        "steps": steps, "threads": threads, "score": score,
    }  # fmt: skip
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": str(threads),
        "OMP_WAIT_POLICY": "PASSIVE",
        "HF_HUB_OFFLINE": "1",
        "HF_DATASETS_OFFLINE": "1",
        "HF_DATASETS_CACHE": str(folder.parent / "cache"),
        "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.contestants", json.dumps(asked)],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{name} failed:\n{done.stderr[-3000:]}")
    run: Run = json.loads(done.stdout.splitlines()[-1])
    run["load"] = round(os.getloadavg()[0], 2)
    return run


def figures(run: Run) -> dict[str, Any]:
    """Return a run's figures: rates over all steps but the first."""
    (wall, processor), (last_wall, last_processor) = run["laps"][1], run["laps"][-1]
    tokens = sum(run["tokens"][1:])
    return {
        "tokens_per_second": round(tokens / (last_wall - wall), 1),
        "tokens_per_processor_second": round(tokens / (last_processor - processor), 1),
        "growth_mib": round((run["peak_bytes"] - run["loaded_bytes"]) / 2**20, 1),
        "peak_mib": round(run["peak_bytes"] / 2**20, 1),
        "steps": len(run["tokens"]),
        "useful_tokens": sum(run["tokens"]),
        "load": run["load"],
        **({"held_out_loss": round(run["held_out_loss"], 4)} if "held_out_loss" in run else {}),
    }


def _summary(
    model: str, mix: str, threads: dict[str, int], rounds: list[dict[str, Run]]
) -> dict[str, Any]:
    told = {name: [figures(each[name]) for each in rounds] for name in rounds[0]}
    ratios: dict[str, dict[str, list[float]]] = {}
    for name, theirs in told.items():
        if name == "ours" or "ours" not in told:
            continue
        pairs = list(zip(told["ours"], theirs, strict=True))
        ratios[name] = {
            key: _spread([our[key] / their[key] for our, their in pairs])
            for key in ("tokens_per_second", "tokens_per_processor_second", "growth_mib")
        }
        ours, their = pairs[0]
        ratios[name]["held_out_loss"] = [round(ours["held_out_loss"] / their["held_out_loss"], 4)]
    return {"model": model, "mix": mix, "threads": threads, "runs": told, "ratios": ratios}


def _spread(ratios: list[float]) -> list[float]:
    """Return median, lowest, highest."""
    return [round(each, 3) for each in (statistics.median(ratios), min(ratios), max(ratios))]


def _write(out: Path, results: list[dict[str, Any]]) -> None:
    document = {
        "command": " ".join(["python", "-m", "tests.benchmarks.contest", *sys.argv[1:]]),
        "machine": _machine(),
        "results": results,
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    out.with_suffix(".json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    out.with_suffix(".svg").write_text(draw(results), encoding="utf-8")


def _machine() -> dict[str, Any]:
    """Describe the machine, without its name."""
    told = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    named = [line.partition(":")[2].strip() for line in told if line.startswith("model name")]
    flags = next((line.split() for line in told if line.startswith("flags")), [])
    return {
        "processor": named[0] if named else platform.machine(),
        "processors": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30, 1),
        "avx512_bf16": "avx512_bf16" in flags,
        "python": platform.python_version(),
        **{name: version(name) for name in LIBRARIES if importlib.util.find_spec(name)},
    }


if __name__ == "__main__":
    main()
