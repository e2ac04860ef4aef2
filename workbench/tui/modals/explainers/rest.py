"""Logits, workspace, overhead, and the bars as a whole."""

from __future__ import annotations

from textual.content import Content

from workbench.planning.memory import (
    CPU_PROCESS,
    CUBLAS_WORKSPACE,
    CUDA_CONTEXT,
    FRAGMENTATION,
    LOGIT_CHUNK_TOKENS,
    PROCESSOR_GAPS,
)
from workbench.tui.modals.explainers.sheet import MUTED, About, Sheet
from workbench.tui.widgets.memory_bars import PARTS
from workbench.wording import size


def logits(about: About, _: object) -> Content:
    """Show what all logits would take, and what a chunk of them does."""
    candidate, vocab = about.candidate, about.facts.vocab
    tokens = candidate.context * candidate.micro_batch
    chunk = min(tokens, LOGIT_CHUNK_TOKENS)
    # Soft-capped logits are kept once more than others.
    each = 4 * (4 if about.facts.family == "gemma2" else 3)
    most, kept = each * vocab * tokens, each * vocab * chunk
    filled = max(1, round(kept / most * 50))
    sheet = Sheet()
    sheet.say(
        "After the last layer the model gives each word it knows a mark, for every token of the "
        f"text: the logits. This model knows {vocab:,} words and pieces of words."
    ).gap()
    sheet.row(
        (f" all {tokens:,} tokens at once", ""), (f"   {each} x {vocab:,} x {tokens:,}", MUTED)
    )
    sheet.row(" ", ("▄" * 50, "$secondary"), (f"  {size(most)}", "bold"))
    sheet.row((f" {chunk:,} at a time", ""), (f"   {each} x {vocab:,} x {chunk:,}", MUTED))
    sheet.row(" ", ("▄" * filled, "$secondary"), " " * (50 - filled), (f"  {size(kept)}", "bold"))
    sheet.gap().say(
        f"So the workbench works on {LOGIT_CHUNK_TOKENS} tokens at a time and never holds all of "
        "them. A longer context makes this part no larger."
    )
    if not candidate.predicted.logits:
        sheet.gap().say(
            "In this run the fullest moment comes later, when a layer works backward; by then the "
            "logits are gone. That is why the bars show 0 for them."
        )
    return sheet.content


def rest(about: About, _: object) -> Content:
    """Say what workspace and overhead are made of."""
    predicted, budget = about.candidate.predicted, about.budget
    sheet = Sheet()
    sheet.row(("Workspace ", "bold"), (size(predicted.workspace), "bold $primary")).say(
        "What exists only while one step of arithmetic is at work: a 4-bit matrix unpacked to 16 "
        "bit (one at a time), and the mask that keeps the records in a row apart. It grows with "
        "the square of the context."
    ).gap()
    sheet.row(("Overhead ", "bold"), (size(predicted.overhead), "bold $primary"))
    if budget.device == "cpu":
        sheet.say(
            f"The program itself with its libraries, {size(CPU_PROCESS)}, and "
            f"{100 * PROCESSOR_GAPS:.0f} % of everything else for gaps between what is kept."
        )
    else:
        sheet.say(
            f"What CUDA takes before any work, {size(CUDA_CONTEXT)}, room to multiply in, "
            f"{size(CUBLAS_WORKSPACE)}, and {100 * FRAGMENTATION:.0f} % of everything else for "
            "gaps between what is kept."
        )
    kept = budget.total_bytes - budget.usable_bytes
    sheet.gap().row(("The line ", "bold"), (size(budget.usable_bytes), "bold $primary")).say(
        f"What a run may plan with. Of the {size(budget.total_bytes)} there are, {size(kept)} are "
        "left alone: what other programs hold, and a reserve"
        + (" of 10 % of what is free." if budget.device == "cpu" else " of 5 % of what is free.")
    )
    return sheet.content


def bars(about: About, _: object) -> Content:
    """Say what the bars show."""
    predicted = about.candidate.predicted
    sheet = Sheet()
    sheet.say(
        "Each bar is the fullest moment of a training step, part by part. Where it stays left of "
        "the line, it fits. The figures are worked out from the model's sizes before anything is "
        "loaded; on a new card expect a few percent of difference."
    ).gap()
    said = {
        "weights": "the base model, in 4, 16 or 32 bit",
        "adapters": "small matrices that are trained",
        "gradients": "how each trained number should change",
        "optimizer": "what AdamW remembers of earlier steps",
        "activations": "what layers keep on the way forward",
        "logits": "a mark for each word the model knows",
        "workspace": "short-lived copies",
        "overhead": "the program, CUDA, gaps",
    }
    for part in PARTS:
        amount = size(getattr(predicted, part.name))
        sheet.row(" ", (part.glyph, part.colour), f" {part.name:<13}{amount:>9}  ",
                  (said[part.name], MUTED))  # fmt: skip
    sheet.row(f" = {'in all':<13}{size(predicted.total):>9}")
    sheet.gap().say(
        "QLoRA keeps the base in 4 bit and trains adapters. LoRA keeps it in 16 bit and trains "
        "adapters. Full fine-tuning trains every weight, in 32 bit. Should a run meet the limit "
        "all the same, it halves its micro-batch and goes on."
    )
    return sheet.content
