"""Measure the starter model: 200 greedy continuations of held-out prompts.

    python packaging/starter/measure.py [--model DIR] [--show N]

Prints one JSON document: shares of run-on repetition, stretches copied from the training text,
answers that end, and the held-out loss.
"""

import argparse
import json
from pathlib import Path

import torch
from starter_recipe import pretrain, quality
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM

MODEL = Path(__file__).resolve().parents[2] / "workbench" / "starter" / "model"


def measure(folder: Path, count: int, show: int) -> dict[str, float | int]:
    """The figures of the model in ``folder`` over ``count`` continuations."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    written = quality.continuations(model, tokenizer, quality.held_out_prompts(tokenizer, count))
    steps = json.loads((folder / "training.json").read_text())["steps"]
    known = quality.training_hashes(tokenizer, steps)
    for each in written[:show]:
        print(
            f"[{each.kind}] {tokenizer.decode(each.prompt)!r}\n  -> {tokenizer.decode(each.ids)!r}"
        )
    copies = [each for each in written if quality.copied(each.ids, known)]
    for each in copies:
        print(f"copy: {tokenizer.decode(each.ids)!r}")
    chats = [each for each in written if each.kind == "chat"]
    batches = pretrain.held_out_batches(tokenizer, 12)
    return {
        "continuations": len(written),
        "mean_tokens": sum(len(each.ids) for each in written) / len(written),
        "long_enough_to_copy": sum(len(each.ids) > 20 for each in written),
        "run_on": sum(quality.runs_on(each.ids) for each in written),
        "four_tokens_three_times": sum(quality.most_repeats(each.ids) > 2 for each in written),
        "four_tokens_twice": sum(quality.most_repeats(each.ids) > 1 for each in written),
        "copied": len(copies),
        "chats_ended": sum(each.ended for each in chats) / len(chats),
        "plain_ended": sum(each.ended for each in written if each.kind == "plain")
        / (len(written) - len(chats)),
        "held_out_loss": pretrain.held_out_loss(model, batches),
    }


def main() -> None:
    """Parse the arguments, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=MODEL)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--show", type=int, default=0, help="print this many continuations")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(json.dumps(measure(options.model, options.count, options.show), indent=2))


if __name__ == "__main__":
    main()
