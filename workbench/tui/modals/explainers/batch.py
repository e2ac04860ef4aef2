"""Context, rows and steps: what the model reads at once and learns from at once."""

from __future__ import annotations

from textual.content import Content

from workbench.tui.modals.explainers.sheet import MUTED, About, Sheet


def page(about: About, _: object) -> Content:
    """Draw rows, micro-batches and the step that they make."""
    candidate = about.candidate
    rows, parts = candidate.micro_batch, candidate.accumulate
    sheet = Sheet()
    sheet.say(
        "A token is a word or a piece of one. The context is the length of a row in tokens. A "
        "record longer than a row is left out and counted; short records share a row"
        + (
            ", each seeing only itself."
            if about.recipe.packing
            else ' where "packing" is on; now it is off.'
        )
    ).gap()
    sheet.row(("  a row  ", MUTED), ("▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒", "$primary"), "│",
              ("▒▒▒▒▒▒▒▒", "$primary"), "│", ("▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒", "$primary"), "│",
              ("···", MUTED))  # fmt: skip
    sheet.row(("         ", MUTED), f"three records in {candidate.context:,} tokens")
    sheet.gap()
    sheet.row(" micro-batch    ", (f"{rows}", "bold"), " x row",
              ("  through the model together: memory", MUTED))  # fmt: skip
    sheet.row(" a step         ", (f"{parts}", "bold"), " x micro-batch",
              ("  one after the other: time", MUTED))  # fmt: skip
    sheet.row(" learns from    ", (f"{rows} x {parts} = {rows * parts} rows", "bold"),
              ("  before the weights change once", MUTED))  # fmt: skip
    sheet.gap().say(
        "What one step learns from is what matters for the result. More rows at once and fewer "
        "micro-batches, or the other way round, give the same training: the one takes memory, the "
        "other time. The planner aims at about 16 records a step."
    ).gap().say(
        "An epoch is once through all records. The learning rate is how far one step may go: too "
        "high and training jumps about, too low and it gets nowhere. 0.0002 suits most adapters; "
        "full fine-tuning wants a tenth of it or less."
    )
    return sheet.content
