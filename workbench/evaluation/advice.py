"""What to try when a result is poor: rules over a run's figures, each with one thing to change.

The rules say what the figures show and where to change it; they know no text of any record. The
thresholds are rules of thumb: wide enough that a sound run gets no advice at all.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

Step = Literal["data", "model", "fit", "train"]

FEW_HELD_OUT = 20
FEW_TRAINED = 100
_LEFT_OUT = 0.02  # share of the records that training had to leave out
_SKIPPED = 0.02  # share of steps whose gradients were not finite
_ROSE = 1.05  # training loss at the end against its beginning
_OVERFIT = 1.10  # held-out loss at the end against its best
_GAP, _LEAST_GAP = 3.0, 0.5  # held-out loss against training loss: times, and nats
_STILL_FALLING = 0.95  # held-out loss at the end against the best before it
_NEARLY = 0.90  # the adapter's loss against the base's
_ENDLESS = 0.20  # share of answers that did not end by themselves


@dataclass(frozen=True)
class Facts:
    """Figures of one run and its evaluation; what is not known is None, or 0 of something counted.

    Attributes:
        base_loss: Of the base on the held-out records, nats a token; `adapter_loss` likewise.
        records: Held-out records that were scored.
        answers: Records that both sides answered; `endless` of the adapter's did not end by
            themselves, and so many `base_matches` and `adapter_matches` are the reference.
        accuracy: Share of right labels; `majority` is that of always giving the commonest.
        train_records: Records in the train split; `left_out` of them could not be used, and so
            many were `too_long` for the context.
        loss_first: Training loss of the first step; `loss_last` of the last.
        eval_best: Lowest held-out loss while training, at step `best_step`; `eval_last` at the
            end, `eval_before` the one told before that.
        skipped_steps: Steps whose gradients were not finite, of `steps`.
        stopped: Somebody stopped the run before its end.
        epochs: As the recipe had it; `learning_rate`, `rank` and `context` likewise.
    """

    base_loss: float
    adapter_loss: float
    records: int
    answers: int = 0
    endless: int = 0
    base_matches: int = 0
    adapter_matches: int = 0
    accuracy: float | None = None
    majority: float | None = None
    train_records: int = 0
    left_out: int = 0
    too_long: int = 0
    loss_first: float | None = None
    loss_last: float | None = None
    eval_best: float | None = None
    eval_before: float | None = None
    eval_last: float | None = None
    best_step: int = 0
    steps: int = 0
    skipped_steps: int = 0
    stopped: bool = False
    epochs: float = 0.0
    learning_rate: float = 0.0
    rank: int = 0
    context: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values; numbers that are none become None."""
        return {
            name: None if isinstance(value, float) and not math.isfinite(value) else value
            for name, value in asdict(self).items()
        }

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Facts:
        """Rebuild facts; a loss that was no number stays none, unknown names are left out."""
        known = {each.name for each in fields(cls)}
        told = {name: value for name, value in plain.items() if name in known}
        for name in ("base_loss", "adapter_loss"):
            if told.get(name) is None:
                told[name] = math.nan
        return cls(**{"records": 0, **told})


@dataclass(frozen=True)
class Advice:
    """One thing to try.

    Attributes:
        code: Names the rule.
        step: The step of the guided path where it is changed.
        found: What the figures show, in a sentence.
        change: What to do about it, in a sentence.
    """

    code: str
    step: Step
    found: str
    change: str


def advise(facts: Facts) -> list[Advice]:
    """Return what to try, what matters most first; nothing for a sound result."""
    found = [rule(facts) for rule in _RULES]
    advice = [each for each in found if each is not None]
    if any(each.code == "diverged" for each in advice):
        # What else a run shows that fell apart follows from that.
        return [each for each in advice if each.code in ("diverged", "left_out", "few_held_out")]
    return advice


def _diverged(facts: Facts) -> Advice | None:
    skipped = facts.steps and facts.skipped_steps > _SKIPPED * facts.steps
    first, last = facts.loss_first, facts.loss_last
    rose = first is not None and last is not None and _known(first, last) and last > _ROSE * first
    if not (skipped or rose or not math.isfinite(facts.adapter_loss)):
        return None
    if rose:
        found = f"The training loss rose, from {facts.loss_first:.2f} to {facts.loss_last:.2f}."
    else:
        found = f"In {facts.skipped_steps} steps the numbers ran out of bounds."
    rate = f", for example {facts.learning_rate / 4:.1g}" if facts.learning_rate else ""
    return Advice("diverged", "fit", found, f"Choose a smaller learning rate{rate}.")


def _left_out(facts: Facts) -> Advice | None:
    if not facts.train_records or facts.left_out <= _LEFT_OUT * facts.train_records:
        return None
    found = (
        f"{facts.left_out:,} of {facts.train_records:,} records were left out of training, "
        f"{facts.too_long:,} of them because they are too long."
    )
    if facts.too_long * 2 >= facts.left_out:
        longer = f" than {facts.context:,} tokens" if facts.context else ""
        return Advice("left_out", "fit", found, f"Choose a longer context{longer}.")
    change = "Look at the data: records without an answer, or in a shape that the model refuses."
    return Advice("left_out", "data", found, change)


def _few_trained(facts: Facts) -> Advice | None:
    if not 0 < facts.train_records < FEW_TRAINED:
        return None
    found = f"There were only {facts.train_records} records to learn from."
    return Advice("few_trained", "data", found, "Add records: some hundreds make a difference.")


def _overfit(facts: Facts) -> Advice | None:
    best, last, end = facts.eval_best, facts.eval_last, facts.loss_last
    if best is None or last is None:
        return None
    rose = last > _OVERFIT * best
    gap = end is not None and last > _GAP * end and last - end > _LEAST_GAP
    if not (rose or gap):
        return None
    if not rose:
        found = (
            f"It knows what it was shown by heart (loss {end:.2f}) and does less well on what it "
            f"was not shown ({last:.2f})."
        )
        return Advice("overfit", "data", found, "Add records, or train for fewer epochs in Fit.")
    found = (
        f"It learnt by heart: the held-out loss rose from {best:.2f} to {last:.2f} while the "
        f"training loss fell. The weights of step {facts.best_step}, the best, were kept."
    )
    share = facts.best_step / facts.steps if facts.steps else 0.5
    fewer = max(math.ceil(facts.epochs * share * 2) / 2, 0.5)
    epochs = f": {fewer:g} instead of {facts.epochs:g}" if 0 < fewer < facts.epochs else ""
    return Advice("overfit", "fit", found, f"Train for fewer epochs{epochs}, or add records.")


def _still_learning(facts: Facts) -> Advice | None:
    before, last = facts.eval_before, facts.eval_last
    if facts.stopped:
        found = "The run was stopped before its end."
        return Advice("stopped", "train", found, "Train once more, to the end.")
    if before is None or last is None or last > _STILL_FALLING * before:
        return None
    if facts.eval_best is None or last > facts.eval_best or facts.adapter_loss < _LEAST_GAP:
        return None  # what is left to learn is not worth the time
    found = f"It was still learning at the end: the held-out loss fell from {before:.2f} to "
    more = f": {2 * facts.epochs:g} instead of {facts.epochs:g}" if facts.epochs else ""
    return Advice("still_learning", "fit", f"{found}{last:.2f}.", f"Train for more epochs{more}.")


def _no_better(facts: Facts) -> Advice | None:
    if not _known(facts.base_loss, facts.adapter_loss) or facts.base_loss <= 0:
        return None
    if facts.adapter_loss <= _NEARLY * facts.base_loss:
        return None
    if facts.adapter_loss > facts.base_loss:
        found = "The adapter does worse on held-out records than the base without it."
    else:
        found = "The adapter is hardly better than the base without it."
    if facts.answers and facts.base_matches * 2 > facts.answers:
        change = "The base answers most records right: it may do as it is, or take a smaller model."
        return Advice("no_better", "model", found, change)
    rank = f", or a rank of {2 * facts.rank}" if facts.rank else ""
    change = f"Choose a higher learning rate, more epochs{rank}."
    return Advice("no_better", "fit", found, change)


def _no_better_than_guessing(facts: Facts) -> Advice | None:
    if facts.accuracy is None or facts.majority is None:
        return None
    if facts.accuracy > facts.majority + 0.02:
        return None
    found = (
        f"Always giving the commonest label would be right in {facts.majority:.0%}; the adapter "
        f"is right in {facts.accuracy:.0%}."
    )
    change = "Look at the data: labels of about the same number, each told apart by its text."
    return Advice("guessing", "data", found, change)


def _endless(facts: Facts) -> Advice | None:
    if not facts.answers or facts.endless <= _ENDLESS * facts.answers:
        return None
    found = f"{facts.endless} of {facts.answers} answers of the adapter did not come to an end."
    change = "Train for more epochs; and see in Data that the answers there are whole."
    return Advice("endless", "fit", found, change)


def _few_held_out(facts: Facts) -> Advice | None:
    if facts.records >= FEW_HELD_OUT:
        return None
    found = f"{facts.records} held-out records are too few to tell: chance decides."
    change = "Hold out more when you import: a larger share for test, or more records."
    return Advice("few_held_out", "data", found, change)


def _known(*values: float | None) -> bool:
    return all(value is not None and math.isfinite(value) for value in values)


_RULES: tuple[Callable[[Facts], Advice | None], ...] = (
    _diverged,
    _left_out,
    _overfit,
    _few_trained,
    _no_better,
    _no_better_than_guessing,
    _endless,
    _still_learning,
    _few_held_out,
)
