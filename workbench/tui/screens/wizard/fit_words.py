"""What the Fit step says: an outlook as bars, entries, figures and sentences."""

from __future__ import annotations

from dataclasses import astuple

from workbench.planning.advice import Advice
from workbench.planning.after_training import unmanageable
from workbench.planning.budget import Budget
from workbench.planning.candidates import Candidate
from workbench.planning.cards import CARDS, Need, card_name, needs
from workbench.tui.screens.wizard.outlook import Outlook
from workbench.tui.widgets.legend import Entry
from workbench.tui.widgets.memory_bars import PARTS, Bar
from workbench.wording import count, duration, size

NAMES = {"auto": "auto", "qlora": "QLoRA", "lora": "LoRA", "full": "Full"}
# Which explanation each part of the memory opens.
_TERMS = {
    "weights": "nf4",
    "adapters": "lora",
    "gradients": "passes",
    "optimizer": "paged",
    "activations": "passes",
    "logits": "logits",
    "workspace": "rest",
    "overhead": "rest",
}


def bars(outlook: Outlook) -> tuple[Bar, ...]:
    """Return the three methods' bars."""
    return tuple(
        Bar(
            key=each.method,
            name=NAMES[each.method],
            amounts=tuple(astuple(each.predicted)),
            total=size(each.predicted.total),
            verdict=verdict(each, outlook.plan.budget),
            fits=each.fits,
            chosen=each.method == outlook.candidate.method,
        )
        for each in outlook.beside
    )


def verdict(candidate: Candidate, budget: Budget) -> str:
    """Return whether a candidate fits, and by how much."""
    left = budget.usable_bytes - candidate.predicted.total
    if candidate.fits:
        return f"fits, {size(left)} left"
    if left >= 0 and candidate.host is not None:
        return f"main memory: {size(candidate.host.total - (budget.host_bytes or 0))} too much"
    return f"does not fit: {size(-left)} too much"


def line(outlook: Outlook) -> str:
    """Return what the bars' line is."""
    usable = size(outlook.plan.budget.usable_bytes)
    if outlook.card:
        return f"{card_name(outlook.card)} card: {usable} usable"
    accelerator = outlook.ground.hardware.accelerator
    place = "main memory" if accelerator is None else "the GPU"
    return f"this machine: {usable} of {place} usable"


def entries(outlook: Outlook) -> tuple[Entry, ...]:
    """Return the legend with the amounts of what would be trained."""
    predicted = outlook.candidate.predicted
    parts = [
        Entry(_TERMS[part.name], part.glyph, part.colour, part.name, size(amount))
        for part, amount in zip(PARTS, astuple(predicted), strict=True)
    ]
    return (*parts, Entry("about", "=", "bold", "in all", size(predicted.total)))


def figures(outlook: Outlook) -> list[tuple[str, str]]:
    """Return the figures below the sliders."""
    candidate, ground = outlook.candidate, outlook.ground
    lengths = ground.lengths
    return [
        ("trained", trained(candidate.trained_parameters, ground.facts.parameters)),
        ("time", time_taken(outlook)),
        ("a step", batch(outlook)),
        ("recomputed", recomputed(candidate, ground.facts.layers)),
        (
            "peak",
            f"{size(candidate.predicted.total)} of {size(outlook.plan.budget.usable_bytes)}",
        ),
        ("longest", f"{lengths.whole.longest:,} tokens" if lengths else "not measured yet"),
    ]


def recomputed(candidate: Candidate, layers: int) -> str:
    """Return how many layers are computed again, and whether what they keep leaves the GPU."""
    return f"{candidate.recomputed_layers} of {layers} layers" + (
        ", offload" if candidate.offload else ""
    )


def trained(parameters: int, of: int) -> str:
    """Return how many parameters are trained, and their share."""
    share = 100 * parameters / of
    said = f"{share:.0f}" if share >= 10 else f"{share:.2g}"
    return f"{millions(parameters)} of {millions(of)} ({said} %)"


def millions(parameters: int) -> str:
    """Return a number of parameters: 950, 41.9 M, 8,030 M."""
    if parameters < 10_000:
        return f"{parameters:,}"
    amount = parameters / 1e6
    return f"{amount:,.0f} M" if amount >= 1000 else f"{amount:.3g} M"


def batch(outlook: Outlook) -> str:
    """Return what one step of the optimizer learns from."""
    candidate, lengths = outlook.candidate, outlook.ground.lengths
    taken = candidate.micro_batch * candidate.accumulate
    said = f"{candidate.micro_batch} x {candidate.accumulate} {'row' if taken == 1 else 'rows'}"
    if lengths is None:
        return said
    in_row = lengths.whole.in_row(candidate.context) if outlook.recipe.packing else 1.0
    records = min(round(taken * in_row), lengths.records)
    return f"{said}, ~{count(records, 'record')}"


def time_taken(outlook: Outlook) -> str:
    """Return the estimated time, or why there is none."""
    if outlook.candidate.seconds is not None:
        return f"about {duration(outlook.candidate.seconds)}"
    if outlook.ground.lengths is None:
        return "not measured yet"
    return "unknown for such a card" if outlook.card else "unknown for this card"


def left_out(outlook: Outlook) -> str:
    """Return how many records are longer than the context."""
    lengths = outlook.ground.lengths
    if lengths is None:
        return ""
    longer = lengths.longer_than(outlook.candidate.context)
    if not longer:
        return "every record fits"
    about = "" if lengths.is_exact else "about "
    return f"{about}{longer:,} of {lengths.records:,} too long"


def advice(outlook: Outlook) -> list[str]:
    """Return the sentences below the figures, the most important first."""
    said = [outlook.ground.remark]
    if outlook.card:
        said.append(
            f"You look at a card of {card_name(outlook.card)}; training happens on this machine."
        )
    after: tuple[Advice, ...] = ()
    if outlook.fits and not outlook.card:
        after = unmanageable(outlook.ground.facts, outlook.candidate, outlook.plan.budget)
    told = (*said, *(each.text for each in after), *outlook.plan.advice)
    return [each for each in told if each]


def needed(outlook: Outlook) -> tuple[Need, ...]:
    """Return what each method needs with these settings."""
    lengths = outlook.ground.lengths
    return needs(outlook.ground.facts, outlook.recipe, lengths.whole if lengths else None)


def least(outlook: Outlook, all_needs: tuple[Need, ...]) -> str:
    """Return the least that each method needs, and the smallest card for it, as a small table."""
    rows = outlook.recipe.micro_batch
    at_a_time = "one row at a time" if rows in ("auto", 1) else f"{rows} rows at a time"
    lines = [f"Rank {outlook.recipe.rank}, {all_needs[0].context:,} tokens, {at_a_time}:", ""]
    for each in all_needs:
        card = "none of these cards" if each.card is None else f"{card_name(each.card)} card"
        lines.append(f"{NAMES[each.method]:<8}{size(each.bytes):>9}   {card}")
    return "\n".join(lines)


def card_rows(outlook: Outlook, all_needs: tuple[Need, ...]) -> list[tuple[int, str]]:
    """Return each card, this machine first, and what fits it at the same context."""
    here = outlook.on_this_machine(all_needs[0].context)
    rows = [(0, _marks("this machine", [each.fits for each in here]))]
    for card in CARDS:
        fits = [need.card is not None and need.card <= card for need in all_needs]
        rows.append((card, _marks(f"{card_name(card)} card", fits)))
    return rows


def _marks(name: str, fits: list[bool]) -> str:
    marks = zip(fits, ("qlora", "lora", "full"), strict=True)
    return f"{name:<14}" + "".join(f"{'✓' if fit else '-'} {NAMES[each]:<8}" for fit, each in marks)


def cards(outlook: Outlook) -> str:
    """Return both tables, one below the other."""
    all_needs = needed(outlook)
    rows = "\n".join(text for _, text in card_rows(outlook, all_needs))
    return f"What card would I need?\n\n{least(outlook, all_needs)}\n\n{rows}"
