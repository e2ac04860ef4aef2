"""Double quantisation: what the scales cost, and how rounding them, too, saves most of that."""

from __future__ import annotations

from textual.content import Content

from workbench.planning.resident import weight_bytes
from workbench.tui.modals.explainers.sheet import MUTED, About, Sheet
from workbench.wording import size

BLOCK, SCALES = 64, 256
BITS_PLAIN = 4 + 32 / BLOCK
BITS_DOUBLE = 4 + 8 / BLOCK + 32 / (BLOCK * SCALES)
_BAR = 40


def page(about: About, _: object) -> Content:
    """Add the bits up, for this model."""
    facts = about.facts
    linear = facts.layers * sum(each.inputs * each.outputs for each in facts.linears)
    rest = 2 * (facts.parameters - linear)
    sheet = Sheet()
    sheet.say(
        "Each block of 64 weights in 4 bit needs its scale, the largest weight of the block. In 32 "
        "bit these scales cost half a bit a weight. So they are rounded as well: to 8 bit, in "
        f"groups of {SCALES} that share one 32-bit number."
    ).gap()
    rows = (
        ("16 bit, as published", "16", 16.0),
        ("4 bit, scales in 32 bit", f"4 + 32/{BLOCK} = 4.5", BITS_PLAIN),
        ("4 bit, scales in 8 bit", f"4 + 8/{BLOCK} + 32/({BLOCK} x {SCALES}) = 4.127", BITS_DOUBLE),
    )
    for name, sum_of_bits, bits in rows:
        filled = round(bits / 16 * _BAR)
        sheet.row(f" {name:<25}", (f"{sum_of_bits} bits", MUTED))
        sheet.row(
            " ", ("█" * filled, "$kept"), ("░" * (_BAR - filled), MUTED),
            (f"  {size(linear * bits / 8)}", "bold"),
        )  # fmt: skip
    sheet.gap().say(
        f"Counted here are the {linear:,} weights of this model's linear layers. The second "
        f"rounding saves {size(linear * (BITS_PLAIN - BITS_DOUBLE) / 8)}. What else there is, "
        f"mainly the table of words, stays in 16 bit: {size(rest)}. With the tables of levels "
        f"QLoRA's weights come to {size(weight_bytes(facts, 'qlora', 2))} on a GPU."
    )
    return sheet.content
