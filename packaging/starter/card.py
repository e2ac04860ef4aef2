"""Write the starter's card from what the build and the measurement recorded.

python packaging/starter/measure.py > measured.json
python packaging/starter/card.py measured.json
"""

import json
import sys
from pathlib import Path

STARTER = Path(__file__).resolve().parents[2] / "workbench" / "starter"

CARD = """\
# The starter model

A small chat model of the project's own, so that the whole path can be shown and tested on any
machine. It writes short notes, questions and answers of clinics, banks and offices, and knows
nothing else: it is for demonstrations and tests, not for work.

| | |
|---|---|
| architecture | Llama, hidden 256, MLP 768, 8 layers, 4 heads, 2 key-value heads, tied embeddings |
| parameters | 7,344,384, bfloat16, {size:,} bytes |
| tokenizer | byte-level BPE, 4,096 tokens, made by the same recipe |
| context | 1,024 tokens; trained on documents of at most 256 |
| data | text that `packaging/starter` generates, seed {seed}; all people are invented |
| training | {steps:,} of {planned:,} steps, {tokens:,} tokens, AdamW, peak rate {rate} |
| held-out loss | {loss:.3f} nats a token, on text of another seed |
| licence | Apache-2.0 |

Of {continuations} greedy continuations of held-out prompts, {run_on} repeat four tokens run-on and
{copied} copy more than 20 tokens of training text ({long} are long enough to).

Built by `python packaging/starter/build.py --steps {planned} --threads {threads}`, about 20 minutes
on two cores. The result is the same for the same thread count, processor and torch ({torch});
elsewhere it differs in the last bits. `tests/integration/test_starter_training.py` replays the
first 20 steps.
"""


def main() -> None:
    """Fill in the card."""
    measured = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    training = json.loads((STARTER / "model" / "training.json").read_text(encoding="utf-8"))
    text = CARD.format(
        size=(STARTER / "model" / "model.safetensors").stat().st_size,
        seed=training["seeds"]["text"],
        steps=training["steps"],
        planned=training["steps_planned"],
        tokens=training["tokens"],
        rate=training["peak_learning_rate"],
        threads=training["threads"],
        torch=training["torch"],
        loss=measured["held_out_loss"],
        continuations=measured["continuations"],
        run_on=measured["run_on"],
        copied=measured["copied"],
        long=measured["long_enough_to_copy"],
    )
    (STARTER / "CARD.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
