"""How much memory and disk the jobs after a training need: evaluations and exports, in bytes.

From the model's facts and from what our engine does (`workbench.engine.jobs.evaluate` and
`export`), as `workbench.planning.memory` does for training. Notation as in
`workbench.planning.moments`: h hidden size, i MLP width, V vocabulary, P parameters.

What stays while a job works:

1. The base as its method loads it (`workbench.planning.resident`), and adapters in 32 bit, 4 each.
2. On a processor a base of 16 bits is not copied: it lies in its files, which are mapped. The
   system may drop mapped pages and read them again, so those that are read once count in the peak
   alone; those that every pass reads have to be free as well.
3. Gaps of the allocator: a 20th on a GPU; on a processor 0.4 of what is allocated, as in training.

What comes and goes; the fullest moment decides:

4. Loading for 4 bits: the 16-bit files, mapped, beside the weights made of them, and five 32-bit
   temporaries of a part of at most 4 Mi weights (`workbench.engine.quantising`).
5. A forward pass of M tokens: the stream and its norm in 32 bit, 12h, and the MLP's gate, up,
   product and their copies around the adapter, 10i a token.
6. The loss of a chunk of at most 512 counted tokens: logits, their 32-bit copy and its logarithm,
   10V a token (`workbench.engine.loss`).
7. Answers: keys and values, 4kv a layer and token, for 16 rows of a prompt and its answer
   (`workbench.engine.generation`), and the pass over the prompts, as (5). On a processor that
   multiplies in 16 bits, oneDNN takes 30 bytes for each weight of the output layer while it
   multiplies the few rows that are asked for (measured: 718 MiB for 24.6 million).
8. An export's comparison: logarithms of all probabilities, 4V a position, of the adapter and of
   the written files, at most 256 MiB each (`workbench.engine.fidelity`).
9. A merge: the base's files, mapped, beside the loaded base; one matrix, and its 32-bit sum
   (`workbench.engine.merging`). The merged model stands on the disk in 16 bit, 2P, and is loaded
   afresh once the base is gone.
10. All weights trained: 32 bit, 4P; an evaluation keeps the base's beside them in 16 bit, 2P
    (`workbench.engine.sides`).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple

from workbench.errors import DoesNotFit
from workbench.models.facts import ModelFacts
from workbench.planning.advice import Advice
from workbench.planning.budget import Budget
from workbench.planning.candidates import Candidate
from workbench.planning.memory import (
    CUBLAS_WORKSPACE,
    CUDA_CONTEXT,
    FRAGMENTATION,
    LOGIT_CHUNK_TOKENS,
    MIB,
    PROCESSOR_GAPS,
    Device,
)
from workbench.planning.probe import Hardware
from workbench.planning.resident import Method, trained_parameters, weight_bytes
from workbench.wording import size

# Resident size of a job that has loaded its libraries and, for an evaluation, opened a dataset.
_EXPORTER, _EXAMINER = 440 * MIB, 486 * MIB
# Tokens that are scored together (`workbench.engine.scoring.score`), if no record is longer.
SCORED_TOKENS = 2048
ROWS = 16
_HEAD_BYTES = 30
_QUANTISED_PART = 4 << 20
_MOST_OBSERVED, _OBSERVED_BYTES = 4096, 256 * MIB
# Without held-out records: four short built-in exchanges (`workbench.exports.contract.PROBES`).
BUILT_IN_POSITIONS = 240


@dataclass(frozen=True)
class JobNeed:
    """What a job after training needs.

    Attributes:
        weights: The base and what was trained, as they stay in memory.
        mapped: Pages of weight files that lie in main memory, are read once and can be dropped.
        work: What comes and goes at the fullest moment.
        overhead: The program and its libraries, or CUDA's context; gaps.
        disk: Bytes that it writes.
    """

    weights: int
    mapped: int
    work: int
    overhead: int
    disk: int = 0

    @property
    def total(self) -> int:
        """The peak that the job will report."""
        return self.weights + self.mapped + self.work + self.overhead

    @property
    def least(self) -> int:
        """What has to be free for it: all but what can be dropped and read again."""
        return self.total - self.mapped

    def to_json(self) -> dict[str, int]:
        """Return the components, `least` and `total`."""
        return {**asdict(self), "least": self.least, "total": self.total}


@dataclass(frozen=True)
class Trained:
    """What the jobs have to know of an adapter: how it was trained, and how large it is."""

    method: Method
    parameters: int

    @classmethod
    def planned(cls, facts: ModelFacts, method: Method, rank: int) -> Trained:
        """Return what a training would make."""
        return cls(method, trained_parameters(facts, method=method, rank=rank))


class _Moment(NamedTuple):
    """Bytes that are there together.

    Attributes:
        resident: Weights that are copied into memory.
        mapped: Weights in mapped files that every pass reads.
        once: Mapped files that are read once.
    """

    resident: int
    mapped: int
    work: int
    once: int = 0


def evaluation_need(
    facts: ModelFacts,
    trained: Trained,
    budget: Budget,
    *,
    longest: int = SCORED_TOKENS,
    answer_tokens: int = 0,
) -> JobNeed:
    """Return what scoring base and adapter takes on the device.

    Args:
        longest: Tokens of the longest record, or of its prompt.
        answer_tokens: Most tokens of an answer; 0: only scored, not asked.
    """
    scored = max(SCORED_TOKENS, min(longest, facts.context))
    chunk = min(LOGIT_CHUNK_TOKENS, scored)
    wide = budget.compute_bytes / 2
    passed = max(int(wide * _pass(facts) * scored), 10 * facts.vocab * chunk)
    answered = 0
    if answer_tokens:
        prompts = ROWS * min(longest, facts.context)
        cached = 4 * facts.kv_heads * facts.head_dim * facts.layers
        head = 0
        if budget.device == "cpu" and budget.compute_bytes == 2:
            head = _HEAD_BYTES * facts.hidden * facts.vocab
        passing = max(int(wide * _pass(facts) * prompts), head)
        answered = passing + int(wide * cached * (prompts + ROWS * answer_tokens))
    resident = _resident(facts, trained, budget)
    if trained.method == "full":
        resident += 2 * facts.parameters
    work = max(passed, answered)
    return _fullest(
        budget.device,
        _EXAMINER,
        _loading(facts, trained, budget),
        _Moment(resident, _mapped(facts, trained, budget), work),
    )


def export_need(
    facts: ModelFacts,
    trained: Trained,
    budget: Budget,
    *,
    merged: bool,
    positions: int = BUILT_IN_POSITIONS,
) -> JobNeed:
    """Return what an export takes on the device, and the disk that it fills.

    Args:
        merged: Whether base and adapter become one model; else the adapter alone is written.
        positions: Tokens that the written files are compared on.
    """
    kept = min(positions, _MOST_OBSERVED, _OBSERVED_BYTES // (4 * facts.vocab))
    observed = 2 * 4 * facts.vocab * kept if budget.device == "cpu" else 0
    resident = _resident(facts, trained, budget)
    mapped = _mapped(facts, trained, budget)
    moments = [_loading(facts, trained, budget), _Moment(resident, mapped, observed)]
    disk = 4 * trained.parameters
    if merged:
        files = 2 * facts.parameters
        matrix = 12 * max(e.inputs * e.outputs for e in facts.linears)
        if budget.device == "cpu":
            moments.append(_Moment(resident, mapped, matrix, once=files))
            moments.append(_Moment(0, files, observed))
        else:
            moments.append(_Moment(resident, 0, matrix))
            moments.append(_Moment(files, 0, int(budget.compute_bytes / 2 * _pass(facts) * 2048)))
        disk = files
    return replace(_fullest(budget.device, _EXPORTER, *moments), disk=disk)


def _resident(facts: ModelFacts, trained: Trained, budget: Budget) -> int:
    """Terms (1) and (10), less what is mapped."""
    weights = weight_bytes(facts, trained.method, budget.compute_bytes)
    adapters = 0 if trained.method == "full" else 4 * trained.parameters
    return weights + adapters - _mapped(facts, trained, budget)


def _mapped(facts: ModelFacts, trained: Trained, budget: Budget) -> int:
    """Term (2): what of the loaded base is mapped."""
    plain = trained.method == "lora" and budget.device == "cpu" and budget.compute_bytes == 2
    return 2 * facts.parameters if plain else 0


def _loading(facts: ModelFacts, trained: Trained, budget: Budget) -> _Moment:
    """Term (4)."""
    largest = max(each.inputs * each.outputs for each in facts.linears)
    work = 5 * 4 * min(_QUANTISED_PART, largest) if trained.method == "qlora" else 0
    mapped = _mapped(facts, trained, budget)
    copied = budget.device == "cpu" and not mapped
    once = 2 * facts.parameters if copied else 0
    return _Moment(_resident(facts, trained, budget), mapped, work, once)


def _pass(facts: ModelFacts) -> int:
    """Term (5), a token."""
    return 12 * facts.hidden + 10 * facts.mlp


def _fullest(device: Device, program: int, *moments: _Moment) -> JobNeed:
    """Return the fullest of moments, the first of which is loading."""

    def need(number: int, moment: _Moment) -> JobNeed:
        if device == "cpu":
            # Nothing was freed yet, and no dataset opened, while the base is loaded.
            gaps = int(PROCESSOR_GAPS * moment.resident)
            overhead = program + gaps if number else _EXPORTER
        else:
            gaps = int(FRAGMENTATION * (moment.resident + moment.work))
            overhead = CUDA_CONTEXT + CUBLAS_WORKSPACE + gaps
        weights = moment.resident + moment.mapped
        return JobNeed(weights, moment.once, moment.work, overhead)

    needs = [need(number, moment) for number, moment in enumerate(moments)]
    peak = max(each.total for each in needs)
    # What has to be free is another moment's where the fullest one's is mostly dropped pages.
    least = max(needs, key=lambda each: each.least)
    return replace(least, mapped=peak - least.least)


def after_training(facts: ModelFacts, candidate: Candidate, budget: Budget) -> dict[str, Any]:
    """Return what evaluating and exporting the result of a run needs, as `plan --json` tells."""
    trained = Trained(candidate.method, candidate.trained_parameters)
    needs = {
        "evaluate": evaluation_need(facts, trained, budget, longest=candidate.context),
        "merge": export_need(facts, trained, budget, merged=True),
    }
    if candidate.method != "full":
        needs["export"] = export_need(facts, trained, budget, merged=False)
    return {
        name: {**need.to_json(), "fits": need.least <= budget.usable_bytes}
        for name, need in needs.items()
    }


def unmanageable(facts: ModelFacts, candidate: Candidate, budget: Budget) -> tuple[Advice, ...]:
    """Say what could not be done here with the result of a run, so that nobody trains in vain."""
    trained = Trained(candidate.method, candidate.trained_parameters)
    told = []
    for code, what, need, cure in (
        (
            "evaluation_does_not_fit",
            "evaluate it",
            evaluation_need(facts, trained, budget, longest=candidate.context),
            "A device with more memory can.",
        ),
        (
            "merge_does_not_fit",
            "export it as one merged model",
            export_need(facts, trained, budget, merged=True),
            "An export of the adapter alone takes less."
            if candidate.method != "full"
            else "A device with more memory can.",
        ),
    ):
        if need.least > budget.usable_bytes:
            told.append(
                Advice(
                    code,
                    f"It can be trained here, but this device could not {what}: that needs "
                    f"{size(need.least)} of {size(budget.usable_bytes)}. {cure}",
                )
            )
    return tuple(told)


def require(need: JobNeed, hardware: Hardware, what: str) -> None:
    """Refuse a job before it starts for which there is not enough memory.

    Args:
        what: The job in a word or two, to begin a sentence with.

    Raises:
        DoesNotFit: With what it needs and what is free (code `memory`).
    """
    card = hardware.accelerator
    free = hardware.available_bytes if card is None else card.free_bytes
    if need.least > free:
        place = "main memory" if card is None else "the graphics card's memory"
        raise DoesNotFit(
            f"{what} needs {size(need.least)} of {place} and {size(free)} are free; nothing was "
            "started.",
            hint="Close other programs, or do it on a machine with more memory.",
            code="memory",
        )
