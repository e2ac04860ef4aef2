"""How long a training step takes: what it asks for, and what the device takes for each part.

A layer takes, forward and backward, over a micro-batch of M tokens

    call + weight * W + M * (flop * (4 W + 6 r S) + byte * A + pair * heads * length)

1. `call`: some hundred operations have to be started, whatever their size. Small models spend
   most of their time here.
2. `weight`: all W weights of the layer are unpacked from 4 bit once forward and once backward
   (bitsandbytes does so for each micro-batch), a pass that memory bounds. Plain LoRA only reads
   them; full fine-tuning casts them and adds up their gradients.
3. `flop`: 2 a weight forward, 2 for the gradient of the inputs, and 2 more for that of the weights
   where they are trained: the r S of adapters (S: inputs and outputs of the adapted linears), or
   all of W.
4. `byte`: the elementwise work, by the bytes A that a token leaves for the backward pass
   (`planning.memory`, formula 4); memory bounds it.
5. `pair`: attention, by pairs of tokens and heads.

With offload, what moving inputs takes beyond the arithmetic beside it (`waiting_seconds`).

The five rates are measured (`planning.rates`). Fitted to six small blocks of width 256 and 1024 on
one core of an EPYC 9004 they predict an 8-layer model of width 256 to +5 % and a 12-layer model of
width 768 with a vocabulary of 32,000 to -4 % (2,048 tokens) and -8 % (512 tokens).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass, replace

from workbench.models.facts import ModelFacts
from workbench.planning.budget import Budget
from workbench.planning.candidates import Candidate, DatasetLength
from workbench.planning.memory import Method
from workbench.planning.rates import THREADS_PAY, Effort, Rates
from workbench.planning.resident import targeted, trained_parameters
from workbench.recipe import Recipe

# Of what unpacking costs: reading 16-bit weights; casting 32-bit ones and adding to 32-bit
# gradients. From the speed of a model that was unpacked once (473 against 488 tokens a second at
# 512 tokens), and from the bytes moved (20 a weight against 5).
_WEIGHTS = {"qlora": 1.0, "lora": 0.4, "full": 4.0}
# A recomputed layer does its forward half again; measured 0.50 for adapters.
_AGAIN = {"qlora": 0.5, "lora": 0.5, "full": 1 / 3}
# Embeddings, the last norm and the loss take as many calls as this share of a layer.
_ENDS = 0.5


@dataclass(frozen=True)
class Shape:
    """What is trained, and on what: one micro-batch.

    Attributes:
        tokens: Tokens of it, padding included.
        length: Tokens of a record: what attention looks across.
        counted: Tokens that the loss counts.
    """

    method: Method
    rank: int
    tokens: float
    length: float
    counted: float
    recomputed_layers: int = 0
    targets: str | Sequence[str] = "all-linear"


def effort_of(facts: ModelFacts, shape: Shape) -> Effort:
    """Return what one micro-batch asks for, forward and backward.

    Raises:
        UsageError: `targets` names a module that the model does not have.
    """
    weights = sum(each.inputs * each.outputs for each in facts.linears)
    adapted = () if shape.method == "full" else targeted(facts, shape.targets)
    sides = sum(each.inputs + each.outputs for each in adapted)
    per_weight = 6 if shape.method == "full" else 4
    queries, keys = facts.heads * facts.head_dim, facts.kv_heads * facts.head_dim
    kept = 12 * facts.hidden + 8 * facts.mlp + 8 * queries + 4 * keys + 4 * sides
    layers = facts.layers + _AGAIN[shape.method] * min(shape.recomputed_layers, facts.layers)
    head = facts.vocab * facts.hidden
    return Effort(
        calls=layers + _ENDS,
        weights=layers * weights * _WEIGHTS[shape.method],
        flops=layers * shape.tokens * (per_weight * weights + 6 * shape.rank * sides)
        + per_weight * shape.counted * head,
        bytes=layers * shape.tokens * kept
        + 12 * shape.tokens * facts.hidden
        + 14 * shape.counted * facts.vocab,
        pairs=layers * shape.tokens * facts.heads * shape.length,
    )


def pace_of(
    facts: ModelFacts,
    budget: Budget,
    recipe: Recipe,
    dataset: DatasetLength | None,
    candidate: Candidate,
) -> float:
    """Return seconds a token of a candidate, by the rates and by what earlier runs taught."""
    context, rows = candidate.context, candidate.micro_batch
    filled = whole = float(context * rows)
    length, answered = float(context), 1.0
    if dataset is not None:
        filled, whole = dataset.filled(context, rows, packing=recipe.packing)
        if budget.device == "cpu":  # there attention looks inside each record only
            length = min(dataset.mean, length)
        answered = 1.0 if recipe.loss_on == "all" else dataset.answered
    shape = Shape(
        method=candidate.method,
        rank=candidate.rank,
        tokens=whole,
        length=length,
        counted=filled * answered,
        recomputed_layers=candidate.recomputed_layers,
        targets=recipe.targets,
    )
    rates = budget.rates
    if isinstance(recipe.threads, int):
        rates = rates.with_threads(recipe.threads)
    pace = seconds_per_token(
        facts, rates, shape, filled=filled, accumulate=candidate.accumulate, dora=recipe.dora
    )
    if candidate.offload:
        pace += waiting_seconds(facts, replace(budget, rates=rates), shape) / filled
    return pace * budget.factors.get(candidate.method, 1.0)


def micro_batch_seconds(facts: ModelFacts, rates: Rates, shape: Shape) -> float:
    """Return how long one micro-batch takes, forward and backward, on as many threads as pay."""
    asked, taken = astuple(effort_of(facts, shape)), astuple(rates.each)
    shared = float(sum(amount * seconds for amount, seconds in zip(asked, taken, strict=True)))
    if rates.single is None:
        return shared
    alone = micro_batch_seconds(facts, rates.single, shape)
    return shared if shared < THREADS_PAY * alone else alone


def waiting_seconds(facts: ModelFacts, budget: Budget, shape: Shape) -> float:
    """Return how long one micro-batch waits for inputs of recomputed layers with offload.

    Each leaves while its layer computes forward, and comes back while the layer behind it is
    computed again and backward; only what that does not cover lasts longer.
    """
    layers = min(shape.recomputed_layers, facts.layers)
    if not layers:
        return 0.0
    without = replace(shape, recomputed_layers=layers - 1)
    again = micro_batch_seconds(facts, budget.rates, shape)
    forward = again - micro_batch_seconds(facts, budget.rates, without)
    behind = forward / _AGAIN[shape.method]
    moved = budget.compute_bytes * facts.hidden * shape.tokens
    out = max(0.0, moved / budget.from_device - forward)
    back = max(0.0, moved / budget.to_device - behind)
    return layers * (out + back)


def seconds_per_token(
    facts: ModelFacts, rates: Rates, shape: Shape, *, filled: float, accumulate: int, dora: bool
) -> float:
    """Return how long training takes for one token.

    Args:
        filled: Tokens of a micro-batch that are not padding.
        accumulate: Micro-batches of one optimizer step.
    """
    micro = micro_batch_seconds(facts, rates, shape)
    update = update_seconds(facts, rates, shape, dora=dora)
    return (micro + update / accumulate) / filled


def update_seconds(facts: ModelFacts, rates: Rates, shape: Shape, *, dora: bool = False) -> float:
    """Return how long the optimizer takes for one step, the gradient's length included."""
    trained = trained_parameters(
        facts, method=shape.method, rank=shape.rank, targets=shape.targets, dora=dora
    )
    if shape.method == "full":
        tensors = facts.layers * (len(facts.linears) + 2) + 2
    else:
        tensors = facts.layers * len(targeted(facts, shape.targets)) * (3 if dora else 2)
    return tensors * rates.tensor + trained * rates.parameter
