"""One merged model for each task, or one base with many adapters."""

from __future__ import annotations

from textual.content import Content

from workbench.planning.resident import trained_parameters
from workbench.tui.modals.explainers.sheet import MUTED, About, Sheet
from workbench.wording import size


def page(about: About, tasks: int) -> Content:
    """Compare both for so many tasks."""
    facts, recipe = about.facts, about.recipe
    base = 2 * facts.parameters
    adapter = 4 * trained_parameters(
        facts, method="lora", rank=recipe.rank, targets=recipe.targets, dora=recipe.dora
    )
    shown = min(tasks, 8)
    more = " …" if tasks > shown else ""
    sheet = Sheet()
    sheet.say(
        "After training, an adapter can be merged: its matrices are added into the model's own, "
        "and a whole model comes out. Or it stays a small file that is laid over the base when it "
        "is needed."
    ).gap()
    noun = "task" if tasks == 1 else "tasks"
    sheet.row(("  merged   ", "bold"), (" ".join(["█████"] * shown) + more, "$kept"))
    sheet.row(("  swapped  ", "bold"), ("█████", "$kept"), " + ",
              (" ".join(["▚"] * shown) + more, "$trained"))  # fmt: skip
    sheet.gap()
    sheet.row((f" {f'for {tasks} {noun}':<22}{'merged models':<22}base and adapters", MUTED))
    rows = (
        ("on disk, in 16 bit", size(tasks * base), size(base + tasks * adapter)),
        ("one more task costs", size(base), size(adapter)),
        ("change the task", "load another model", "swap in a moment"),
        ("speed of an answer", "the base model's", "a little slower"),
        ("runs in", "any program for it", "what reads PEFT files"),
        ("combine, take back", "no", "yes"),
    )
    for name, merged, swapped in rows:
        sheet.row((f" {name:<22}", MUTED), f"{merged:<22}{swapped}")
    sheet.gap().say(
        "Merge what many will use for one task, or what must run in a program of its own. Keep "
        "adapters while you still try things out, or have many tasks. The library keeps the "
        "adapter in any case; Export makes either."
    )
    if about.candidate.method == "full":
        sheet.say("Full fine-tuning leaves no adapter: each result is a whole model.", "bold")
    return sheet.content
