"""The planner's reasons in an analyst's words, each with a code that scripts may match."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from workbench.models.facts import ModelFacts
from workbench.planning.budget import Budget, flops_per_token
from workbench.planning.candidates import Candidate, DatasetLength
from workbench.planning.memory import predict
from workbench.planning.moments import ON_DEVICE
from workbench.planning.nvidia import Accelerator
from workbench.wording import METHOD_NAMES, size

_LONG_RUN = 24 * 3600.0
# Above this share of the card, what other programs hold is worth a word.
_BUSY = 0.1
_NAMED_HOLDERS = 3


@dataclass(frozen=True)
class Advice:
    """One reason: a code in snake_case and a whole sentence."""

    code: str
    text: str


def advise(
    *,
    facts: ModelFacts,
    budget: Budget,
    candidates: Sequence[Candidate],
    chosen: Candidate | None,
    forced: bool,
    plain_bytes: int,
    plain_has_room: bool,
    dataset: DatasetLength | None,
) -> tuple[Advice, ...]:
    """Say why the choice is what it is, the most important first.

    Args:
        forced: Whether the method was given rather than left to the planner.
        plain_bytes: What plain LoRA needs with one row and nothing recomputed.
        plain_has_room: Whether that leaves room.
    """
    if chosen is None:
        return tuple(_nothing_fits(budget, candidates))
    notes = [
        *_about_method(budget, chosen, forced, plain_bytes if plain_has_room else None),
        *_about_quantising(budget, candidates, chosen, forced),
        *_about_full(facts, budget, candidates, chosen),
        *_about_context(chosen, dataset),
        *_about_recomputation(facts, chosen),
        *_about_offload(facts, budget, chosen),
        *_about_disk(budget, chosen),
        *_about_device(budget, chosen),
    ]
    return tuple(notes)


def _nothing_fits(budget: Budget, candidates: Sequence[Candidate]) -> Iterator[Advice]:
    beside = [each for each in candidates if each.predicted.total <= budget.usable_bytes]
    if beside:
        yield from _no_main_memory(budget, beside)
        return
    smallest = min(candidates, key=lambda each: each.predicted.total)
    rank = f" at rank {smallest.rank}" if smallest.rank else ""
    yield Advice(
        "nothing_fits",
        f"Nothing fits in {size(budget.usable_bytes)}. The smallest is "
        f"{METHOD_NAMES[smallest.method]}{rank} with {smallest.context} tokens of context; it "
        f"needs {size(smallest.predicted.total)}. Take a smaller model, a shorter context or a "
        "larger device.",
    )
    yield from _about_busy_card(budget)


def _no_main_memory(budget: Budget, candidates: Sequence[Candidate]) -> Iterator[Advice]:
    """Say that the GPU would do, but not the main memory beside it."""
    need = min((each.host.total for each in candidates if each.host), default=0)
    yield Advice(
        "main_memory_short",
        f"The GPU suffices, but beside it training takes {size(need)} of main memory, and only "
        f"{size(budget.host_bytes or 0)} of what is free may be used. Close other programs, or "
        "take a smaller model.",
    )


def _about_method(
    budget: Budget, chosen: Candidate, forced: bool, roomy_bytes: int | None
) -> Iterator[Advice]:
    needs, of = size(chosen.predicted.total), size(budget.usable_bytes)
    if forced:
        yield Advice("method_given", f"{_upper(chosen.method)} needs {needs} of {of}.")
        if chosen.method == "qlora" and roomy_bytes:
            yield Advice(
                "lora_would_fit",
                f"Plain LoRA would fit with room, too ({size(roomy_bytes)}), and spares the "
                "rounding to 4 bit.",
            )
    elif chosen.method == "lora" and roomy_bytes:
        yield Advice(
            "lora_fits_with_room",
            f"Plain LoRA fits with room ({size(roomy_bytes)} of {of} would do), so use it: nothing "
            "is rounded to 4 bit, and steps are a little faster.",
        )


def _about_quantising(
    budget: Budget, candidates: Sequence[Candidate], chosen: Candidate, forced: bool
) -> Iterator[Advice]:
    if forced or chosen.method != "qlora":
        return
    needs, of = size(chosen.predicted.total), size(budget.usable_bytes)
    plain = [each for each in candidates if each.method == "lora" and each.rank == chosen.rank]
    beside = next((each for each in plain if each.context == chosen.context and each.fits), None)
    if beside is None:
        least = f"; plain LoRA would need {size(plain[0].predicted.total)}" if plain else ""
        yield Advice("qlora_fits", f"QLoRA fits: it needs {needs} of {of}{least}.")
    else:
        yield Advice(
            "qlora_is_faster",
            f"QLoRA fits: it needs {needs} of {of}. Plain LoRA would fit only tightly, with "
            f"{beside.recomputed_layers} layers recomputed.",
        )


def _about_full(
    facts: ModelFacts, budget: Budget, candidates: Sequence[Candidate], chosen: Candidate
) -> Iterator[Advice]:
    full = next((each for each in candidates if each.method == "full"), None)
    if chosen.method == "full":
        small = predict(facts, method="lora", rank=16, context=chosen.context, micro_batch=1)
        yield Advice(
            "full_given",
            "Full fine-tuning changes every weight: the result is as large as the model, and it "
            f"forgets more. Adapters would need {size(small.total)}.",
        )
    elif full is not None and full.fits:
        yield Advice(
            "full_does_not_pay",
            f"Full fine-tuning would fit ({size(full.predicted.total)}) but would not pay here: "
            "adapters learn such tasks as well and stay small files.",
        )
    elif full is not None:
        yield Advice(
            "full_does_not_fit",
            f"Full fine-tuning does not fit (it needs {size(full.predicted.total)}), and it would "
            "not pay here: adapters learn such tasks as well.",
        )


def _about_context(chosen: Candidate, dataset: DatasetLength | None) -> Iterator[Advice]:
    if dataset is None:
        yield Advice(
            "context_guessed",
            f"No dataset was given: {chosen.context} tokens of context are a guess, and no time "
            "is estimated.",
        )
    elif chosen.context < dataset.longest:
        yield Advice(
            "records_too_long",
            f"Records of more than {chosen.context} tokens will be left out and counted; the "
            f"longest has {dataset.longest}.",
        )


def _about_recomputation(facts: ModelFacts, chosen: Candidate) -> Iterator[Advice]:
    if not chosen.recomputed_layers:
        return

    def cost(layers: int) -> float:
        return flops_per_token(
            facts, method=chosen.method, recomputed_layers=layers, length=chosen.context
        )

    slower = cost(chosen.recomputed_layers) / cost(0) - 1
    yield Advice(
        "layers_recomputed",
        f"To save memory, {chosen.recomputed_layers} of {facts.layers} layers are computed again "
        f"in the backward pass; that makes a step about {slower:.0%} longer.",
    )


def _about_offload(facts: ModelFacts, budget: Budget, chosen: Candidate) -> Iterator[Advice]:
    if not chosen.offload or chosen.host is None:
        return
    tokens = chosen.context * chosen.micro_batch
    away = max(0, chosen.recomputed_layers - ON_DEVICE)
    freed = away * budget.compute_bytes * facts.hidden * tokens
    yield Advice(
        "inputs_offloaded",
        f"What these layers keep waits in main memory ({size(chosen.host.waiting)} of it), which "
        f"frees {size(freed)} of the GPU; it moves while other layers are computed.",
    )


def _about_disk(budget: Budget, chosen: Candidate) -> Iterator[Advice]:
    if budget.disk_free is not None and chosen.disk_bytes > budget.disk_free:
        yield Advice(
            "disk_short",
            f"Checkpoints and the result take up to {size(chosen.disk_bytes)} of disk, and "
            f"{size(budget.disk_free)} are free where the vault lies: free some, or training "
            "will not start.",
        )


def _about_device(budget: Budget, chosen: Candidate) -> Iterator[Advice]:
    for fault in budget.faults:
        yield Advice(fault.code, fault.text)
    if budget.device == "cpu":
        yield Advice("no_gpu", "There is no GPU that can be used: this trains on the processor.")
        if budget.compute_bytes == 4:
            yield Advice(
                "no_bf16", "The processor has no bf16 arithmetic: it computes in 32 bit, slower."
            )
    if chosen.seconds is not None and chosen.seconds > _LONG_RUN:
        yield Advice(
            "long_run",
            f"This would take about {chosen.seconds / _LONG_RUN:.1f} days; take fewer epochs or "
            "records, a smaller model, or a faster device.",
        )
    if round(100 * budget.margin) > 0:
        yield Advice(
            "margin_learned",
            f"Runs on this machine took up to {budget.margin:.0%} more memory than predicted; so "
            "much is kept free.",
        )
    yield from _about_busy_card(budget)


def _about_busy_card(budget: Budget) -> Iterator[Advice]:
    if budget.busy_bytes > _BUSY * budget.total_bytes:
        by = holders_of(budget.card) if budget.card is not None else ""
        yield Advice(
            "card_is_busy",
            f"Other programs hold {size(budget.busy_bytes)} of the card's "
            f"{size(budget.total_bytes)}{f' ({by})' if by else ''}; end them to plan with all of "
            "it.",
        )


def holders_of(card: Accelerator) -> str:
    """Name the processes that hold most of a card's memory; empty where the driver names none."""
    told = []
    for each in card.holders[:_NAMED_HOLDERS]:
        holds = "" if each.bytes is None else f" holds {size(each.bytes)}"
        told.append(f"{each.name or 'a process'} (process {each.pid}){holds}")
    more = len(card.holders) - len(told)
    return ", ".join(told) + (f" and {more} more" if more else "")


def _upper(method: str) -> str:
    name = METHOD_NAMES[method]
    return name[0].upper() + name[1:]
