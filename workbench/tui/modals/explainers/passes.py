"""Activations, gradients and recomputation in one picture."""

from __future__ import annotations

from textual.content import Content

from workbench.planning.budget import flops_per_token
from workbench.tui.modals.explainers.sheet import MUTED, About, Sheet
from workbench.wording import size

_MOST_COLUMNS = 48


def page(about: About, recomputed: int) -> Content:
    """Draw the layers with so many of them recomputed, and what that costs and saves."""
    layers = about.facts.layers
    columns = min(layers, _MOST_COLUMNS)
    again = round(recomputed / layers * columns)
    kept = "▒" * (columns - again)
    sheet = Sheet()
    sheet.say(
        "Forward, text goes through the layers up to the error (the loss). Backward, each layer "
        "learns how to change: its gradients. For that it needs what it worked out on the way "
        "forward, its activations: they grow with context and rows."
    )
    sheet.row(f"{'layer':>10}  1{layers!s:>{columns - 1}}")
    sheet.row(f"{'forward':>10}  ", ("─" * (columns - 1) + "▶", "$primary"), " loss")
    sheet.row(f"{'in memory':>10}  ", ("·" * again, MUTED), (kept, "$primary"))
    sheet.row(f"{'backward':>10}  ", ("◀" + "─" * (columns - 1), "$accent"), " gradients")
    sheet.row(" ", ("▒", "$primary"), " keeps its activations until backward gets there")
    sheet.row(" ", ("·", MUTED), " keeps only its input, and computes the rest once more then")
    sheet.gap()
    sheet.row((f" {'recomputed layers':<22}{'memory at the peak':>20}{'a step takes':>16}", MUTED))
    for number in sorted({0, recomputed, layers}):
        marked = "bold" if number == recomputed else ""
        total = about.predicted(number).total
        over = "" if total <= about.budget.usable_bytes else "  too much"
        pace = f"{100 * _pace(about, number):.0f} %"
        text = f" {f'{number} of {layers}':<22}{size(total):>20}{pace:>16}"
        sheet.row((text + over, marked))
    held = size(4 * about.candidate.trained_parameters)
    sheet.gap().say(
        "The plan recomputes as few layers as fit. Gradients are kept for what is trained alone: "
        f"{held} here."
    )
    return sheet.content


def _pace(about: About, recomputed: int) -> float:
    """Return how long a step takes against one that recomputes nothing."""

    def operations(layers: int) -> float:
        return flops_per_token(
            about.facts,
            method=about.candidate.method,
            recomputed_layers=layers,
            length=about.candidate.context,
        )

    return operations(recomputed) / operations(0)
