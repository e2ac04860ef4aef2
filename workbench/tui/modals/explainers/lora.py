"""LoRA: two small matrices beside each large one."""

from __future__ import annotations

from textual.content import Content

from workbench.models.facts import LinearShape
from workbench.planning.resident import targeted, trained_parameters
from workbench.tui.modals.explainers.sheet import MUTED, About, Sheet

_HEIGHT, _WIDE = 5, 22


def page(about: About, rank: int) -> Content:
    """Draw the matrices of this model's largest linear layer at a rank."""
    facts, recipe = about.facts, about.recipe
    chosen = targeted(facts, recipe.targets)
    largest = max(chosen, key=lambda each: each.inputs * each.outputs)
    total = trained_parameters(
        facts, method="lora", rank=rank, targets=recipe.targets, dora=recipe.dora
    )
    strength = recipe.alpha / (rank**0.5 if recipe.rslora else rank)
    sheet = Sheet()
    sheet.say(
        "The model's own matrices stay as they are. Beside each, two small ones are trained: A "
        "squeezes what comes in to a few numbers (the rank), B spreads them out again. What they "
        "add is the adapter."
    ).gap()
    for row in _picture(largest, rank):
        sheet.row(*row)
    sheet.gap()
    sheet.row(
        f" {largest.name}: ", (f"{largest.inputs * largest.outputs:,}", "bold"), " kept, ",
        (f"{rank} x ({largest.outputs:,} + {largest.inputs:,})", MUTED), " = ",
        (f"{rank * (largest.inputs + largest.outputs):,}", "bold $trained"), " trained",
    )  # fmt: skip
    sheet.row(
        f" {len(chosen)} such pairs in each of {facts.layers} layers: ",
        (f"{total:,}", "bold $trained"), " trained,",
    )  # fmt: skip
    sheet.row(f" {100 * total / facts.parameters:.3g} % of the model's {facts.parameters:,}")
    root = "the root of the rank" if recipe.rslora else "rank"
    sheet.gap().say(
        f"B begins with zeros, so training begins exactly at the base model. What the adapter adds "
        f"is multiplied by alpha / {root} = {strength:.3g}. A higher rank can learn more, and "
        "needs more memory and more examples; 16 teaches most tasks."
    )
    if about.candidate.method == "full":
        sheet.say("Full fine-tuning has no adapters: it trains W itself.", "bold")
    return sheet.content


def _picture(shape: LinearShape, rank: int) -> list[list[str | tuple[str, str]]]:
    """Draw W, B and A: B narrow and tall, A wide and flat."""
    w = _box(_WIDE, _HEIGHT, [f"{shape.outputs:,} x {shape.inputs:,}", "frozen"])
    b = _box(5, _HEIGHT, ["B", "", f"x {rank}"])
    a = ["", *_box(_WIDE, 3, [f"A   {rank} x {shape.inputs:,}"]), ""]
    rows: list[list[str | tuple[str, str]]] = []
    for number, (left, middle, right) in enumerate(zip(w, b, a, strict=True)):
        at_work = number == _HEIGHT // 2
        rows.append([
            " W ", (left, "$kept"), "  +  " if at_work else "     ",
            (middle, "$trained"), "  x  " if at_work else "     ", (right, "$trained"),
        ])  # fmt: skip
        if not at_work:
            rows[-1][0] = "   "
    return rows


def _box(width: int, height: int, words: list[str]) -> list[str]:
    inner = height - 2
    first = (inner - len(words)) // 2
    rows = ["┌" + "─" * width + "┐"]
    for number in range(inner):
        word = words[number - first] if 0 <= number - first < len(words) else ""
        rows.append("│" + word.center(width) + "│")
    return [*rows, "└" + "─" * width + "┘"]
