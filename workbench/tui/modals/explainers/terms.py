"""The terms that can be explained, in the order in which they are listed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from textual.content import Content

from workbench.tui.modals.explainers import (
    batch,
    double,
    lora,
    nf4,
    paged,
    passes,
    rest,
    serving,
)
from workbench.tui.modals.explainers.sheet import About


@dataclass(frozen=True)
class Dial:
    """Something to turn on a page.

    Attributes:
        label: What it turns.
        values: What it can be turned to.
        start: Where it stands at first.
    """

    label: str
    values: Callable[[About], tuple[int, ...]]
    start: Callable[[About], int]


@dataclass(frozen=True)
class Term:
    """One term: its name in the code, its title, what draws its page, and its dial."""

    name: str
    title: str
    draw: Callable[[About, Any], Content]
    dial: Dial | None = None


def _layers(about: About) -> tuple[int, ...]:
    layers = about.facts.layers
    eighths = {round(layers * part / 8) for part in range(9)}
    return tuple(sorted({*eighths, about.candidate.recomputed_layers}))


def _ranks(about: About) -> tuple[int, ...]:
    return tuple(sorted({1, 2, 4, 8, 16, 32, 64, 128, 256, about.recipe.rank}))


TERMS = (
    Term("about", "The bars of memory", rest.bars),
    Term(
        "nf4",
        "Weights in 4 bit: NF4",
        nf4.page,
        Dial("A weight", lambda _: tuple(range(-100, 101, 5)), lambda _: 35),
    ),
    Term("double", "Rounding the scales: double quantisation", double.page),
    Term(
        "lora",
        "Adapters: LoRA's two matrices",
        lora.page,
        Dial("Rank", _ranks, lambda about: about.recipe.rank),
    ),
    Term(
        "passes",
        "Activations, gradients, recomputation",
        passes.page,
        Dial("Recomputed", _layers, lambda about: about.candidate.recomputed_layers),
    ),
    Term("paged", "The optimizer, and what paged means", paged.page),
    Term("logits", "Logits, in chunks", rest.logits),
    Term("rest", "Workspace, overhead, the line", rest.rest),
    Term("batch", "Context, rows, steps, epochs", batch.page),
    Term(
        "serving",
        "Afterwards: one merged model, or many adapters",
        serving.page,
        Dial("Tasks", lambda _: (1, 2, 3, 5, 10, 20, 50), lambda _: 5),
    ),
)
PLACES = {term.name: place for place, term in enumerate(TERMS)}
