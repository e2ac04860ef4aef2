"""What the contest is about: the models, the length mixes, the recipe that all share, and the data.

Everything here is plain Python, so that the command which starts the contestants stays small. A
record is a request and an answer in an invented language whose words are single tokens: the answer
repeats words of the request under a fixed substitution, so that its loss can be learnt down by its
word frequencies first and by copying later, on any model and with any seed.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Record = tuple[list[int], list[bool]]  # token ids, and for each whether the loss counts it

RANK, ALPHA, CLIP, SEED = 16, 32, 1.0, 0
TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
OPTIMIZER = "paged_adamw_8bit"
FIRST_WORD, WORDS = 16, 240  # ids of the language's words; those below are marks
_ASKS, _ANSWERS, _ENDS = 4, 5, 3


@dataclass(frozen=True)
class Model:
    """A Llama of these sizes with random weights, written to disk in bfloat16.

    Attributes:
        rate: Learning rate, constant over the run: schedules that differ by a step in how they
            begin would otherwise make a difference in so few steps.
        share: What records of a step are divided by, so that a slow model takes no hour.
    """

    vocabulary: int
    width: int
    inner: int
    layers: int
    heads: int
    key_heads: int
    rate: float
    share: int = 1


MODELS = {
    "starter": Model(4096, 256, 768, 8, 4, 2, 1e-3),
    "llama-110m": Model(32_000, 768, 2048, 12, 12, 12, 1e-3, share=4),
}


@dataclass(frozen=True)
class Mix:
    """How long records are, and how they are batched.

    Attributes:
        kind: `chat` is lognormal around 80 tokens, `documents` even between 700 and 1,000.
        longest: Most tokens of a record; longer ones are drawn again.
        padded: Records that those who pad take at a time.
        context: Tokens of a row for those who pack; they take one row at a time. More would gain
            none of them time on a CPU, and it would cost them memory.
        records_per_step: Of those who pad; those who pack take the rows that hold as many, on
            average, so that all take the same number of optimizer steps over the same records.
    """

    kind: Literal["chat", "documents"]
    longest: int
    padded: int
    context: int
    records_per_step: int


MIXES = {
    "chat": Mix("chat", 256, 8, 1024, 32),
    "documents": Mix("documents", 1024, 2, 1024, 4),
}


def records_per_step(model: str, mix: str) -> int:
    """Return the records of an optimizer step."""
    return max(MIXES[mix].padded, MIXES[mix].records_per_step // MODELS[model].share)


def make_records(mix: Mix, count: int, seed: int) -> list[Record]:
    """Return `count` records; the same ones for the same seed."""
    draw = random.Random(f"{mix.kind}:{seed}")
    rule = random.Random("the language's rule")
    other = list(range(WORDS))
    rule.shuffle(other)
    weights = [1.0 / (rank + 2) for rank in range(WORDS)]
    return [_record(_length(mix, draw), draw, weights, other) for _ in range(count)]


def _length(mix: Mix, draw: random.Random) -> int:
    if mix.kind == "documents":
        return draw.randint(700, 1000)
    while True:
        length = round(draw.lognormvariate(math.log(80), 0.5))
        if 24 <= length <= mix.longest:
            return length


def _record(
    length: int, draw: random.Random, weights: Sequence[float], other: Sequence[int]
) -> Record:
    words = length - 3
    answer = max(8, words // 3)
    asked = draw.choices(range(WORDS), weights, k=words - answer)
    told = [other[asked[place % len(asked)]] for place in range(answer)]
    ids = [_ASKS, *(FIRST_WORD + word for word in asked), _ANSWERS]
    counted = [False] * len(ids) + [True] * (answer + 1)
    return [*ids, *(FIRST_WORD + word for word in told), _ENDS], counted
