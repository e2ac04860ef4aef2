"""Paged optimizers: what may move to main memory, and when."""

from __future__ import annotations

from textual.content import Content

from workbench.planning.resident import EIGHT_BIT_MOMENTS
from workbench.tui.modals.explainers.sheet import MUTED, About, Sheet
from workbench.wording import size


def page(about: About, _: object) -> Content:
    """Draw the two memories and what moves between them."""
    trained = about.candidate.trained_parameters
    sheet = Sheet()
    sheet.say(
        "AdamW, the optimizer, remembers two numbers for each trained one: where it has been "
        "heading, and how restless it was. It needs them only when it takes a step, after forward "
        "and backward are done."
    ).gap()
    sheet.row("  ", ("GPU memory", "bold"), " " * 37, ("main memory", "bold"))
    sheet.row("  ┌────────────────────────┐                     ┌──────────────────┐")
    sheet.row("  │ weights, activations   │  a long row needs   │                  │")
    sheet.row("  │                        │ ─────── room ─────▶ │  ", ("▓▓▓▓", "$warning"),
              "            │")  # fmt: skip
    sheet.row(
        "  │ optimizer ", ("▓▓▓▓▓▓▓▓", "$warning"), "     │ ◀─── step is due ── │", " " * 18, "│"
    )
    sheet.row("  └────────────────────────┘                     └──────────────────┘")
    sheet.gap().say(
        "Paged: the GPU's driver may move these numbers out, page by page, when a long row would "
        "not fit beside them, and back when the step is due. The plan counts them in full, as if "
        "they never moved."
    ).gap()
    sheet.row((f" {'moments of':<22}{'in 32 bit':>14}{'in 8 bit':>14}", MUTED))
    full = about.facts.parameters
    for name, number in (("this run", trained), ("full fine-tuning", full)):
        sheet.row(f" {name:<22}{size(8 * number):>14}{size(EIGHT_BIT_MOMENTS * number):>14}")
    if about.budget.device == "cpu":
        sheet.say("This machine trains on the processor: all of it is in main memory anyway.")
    else:
        sheet.say(
            "With adapters this is little; it matters where many numbers are trained, or where "
            "a few records are far longer than the others."
        )
    return sheet.content
