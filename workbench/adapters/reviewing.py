"""A finished run under review: base and adapter on held-out records, side by side, with advice.

What is kept of it are figures. The records and answers are record text: they are handed to the
screen that asked and stand nowhere else.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from workbench.adapters.bases import base_of
from workbench.adapters.evaluating import evaluate
from workbench.adapters.library import adapter_of_run
from workbench.adapters.registration import register_finished
from workbench.adapters.short_jobs import Progress
from workbench.datasets.collection import opened_dataset
from workbench.datasets.records import Record
from workbench.errors import BadInput, NotFound, WorkbenchError
from workbench.evaluation.advice import Facts
from workbench.models.codec import TextCodec
from workbench.models.shelf import model_folder
from workbench.runs.state import RunState, current_state

if TYPE_CHECKING:
    from workbench.vault.store import Vault

# Enough to tell, and still quick on a processor.
SCORED = 500
ANSWERED = 40
# Held out from training, in the order of preference.
_SPLITS = ("test", "validation")
# An answer may be longer than the longest reference by so many tokens before it counts as endless.
_MARGIN_TOKENS = 16
_LEAST_TOKENS, _MOST_TOKENS = 24, 256


@dataclass(frozen=True, repr=False)
class SideBySide:
    """One held-out record: what was asked and wanted, and what each side answered.

    Attributes:
        number: Its number in the dataset.
        base_ended: Whether the base's answer came to an end by itself; `adapter_ended` likewise.
    """

    number: int
    prompt: str
    reference: str
    base: str
    adapter: str
    base_ended: bool = True
    adapter_ended: bool = True

    @property
    def base_matches(self) -> bool:
        """Whether the base's answer is the reference, white space and case aside."""
        return _plain(self.base) == _plain(self.reference)

    @property
    def adapter_matches(self) -> bool:
        """Whether the adapter's answer is the reference, white space and case aside."""
        return _plain(self.adapter) == _plain(self.reference)


@dataclass(frozen=True, repr=False)
class Review:
    """What a review found.

    Attributes:
        figures: Plain JSON values; no record text, no labels.
        confusion: Labels and counts of both sides, for classification; labels are record text.
        rows: The answers of the first records.
    """

    figures: dict[str, Any]
    confusion: dict[str, Any] = field(default_factory=dict)
    rows: tuple[SideBySide, ...] = ()


def held_out_split(splits: Mapping[str, int]) -> str | None:
    """Return the split that a review uses: `test`, or else `validation`; None without either."""
    return next((name for name in _SPLITS if splits.get(name, 0)), None)


def made_by(vault: Vault, run: str) -> dict[str, Any] | None:
    """Return what a run made, entering it into the library if nobody has yet; None if nothing."""
    shown = adapter_of_run(vault, run)
    if shown is None:
        register_finished(vault)
        shown = adapter_of_run(vault, run)
    return shown


def review_run(vault: Vault, run: str, progress: Progress | None = None) -> Review:
    """Evaluate the adapter that a run made, on records that it was not trained on.

    Raises:
        NotFound: The run's adapter is not in the library (code `no_adapter_yet`), or its dataset
            is gone (code `dataset_removed`).
        BadInput: No records were held out (code `nothing_held_out`).
        WorkbenchError: As `evaluate`.
    """
    shown = made_by(vault, run)
    if shown is None:
        raise NotFound(
            "The run has not made an adapter yet.",
            hint="Wait until it has finished.",
            code="no_adapter_yet",
        )
    data = _dataset(vault, shown)
    split = held_out_split(data.record["splits"])
    if split is None:
        raise BadInput(
            "No records were held out, so there is nothing to compare on.",
            hint="Import the data again with a share for test.",
            code="nothing_held_out",
        )
    document = evaluate(
        vault,
        shown["object_id"],
        dataset=data.object_id,
        split=split,
        show=ANSWERED,
        max_tokens=_cap(vault, shown, data.object_id, split),
        limit=SCORED,
        progress=progress,
    )
    answers = document.pop("answers", {"references": [], "base": [], "adapter": []})
    rows = _rows(vault, data.object_id, split, answers)
    confusion = {side: document[side].pop("confusion", None) for side in ("base", "adapter")}
    document |= {
        "run": run,
        "adapter_name": shown["adapter"],
        "held_out": int(data.record["splits"][split]),
        "answers": len(rows),
        "base_matches": sum(row.base_matches for row in rows),
        "adapter_matches": sum(row.adapter_matches for row in rows),
    }
    document["facts"] = _facts(shown, data.record, document, rows, _state(vault, run)).to_json()
    found = confusion if confusion["adapter"] is not None else {}
    return Review(document, found, rows)


def _dataset(vault: Vault, shown: Mapping[str, Any]) -> Any:
    try:
        return vault.catalogue.get("dataset", shown["dataset"]["object_id"])
    except NotFound:
        raise NotFound(
            f"The dataset that {shown['adapter']} was trained on is no longer in this vault.",
            hint="Import it again, or go on without a review.",
            code="dataset_removed",
        ) from None


def _cap(vault: Vault, shown: Mapping[str, Any], dataset: str, split: str) -> int:
    """How many tokens an answer may take: those of the longest reference, and some more."""
    codec = TextCodec.open(model_folder(vault, _base_id(vault, shown)))
    longest = 0
    with opened_dataset(vault, dataset) as opened:
        for asked, record in enumerate(opened.records(split)):
            if asked >= ANSWERED:
                break
            answer = _last_answer(record)
            if answer is not None:
                longest = max(longest, len(codec.encode_text(record.messages[answer].content).ids))
    return min(max(longest + _MARGIN_TOKENS, _LEAST_TOKENS), _MOST_TOKENS)


def _base_id(vault: Vault, shown: Mapping[str, Any]) -> str:
    return base_of(vault, vault.catalogue.get("adapter", shown["object_id"])).object_id


def _rows(
    vault: Vault, dataset: str, split: str, answers: Mapping[str, Sequence[Mapping[str, Any]]]
) -> tuple[SideBySide, ...]:
    missing = {answer["number"] for answer in answers["references"]}
    prompts: dict[int, str] = {}
    with opened_dataset(vault, dataset) as opened:
        for record in opened.records(split) if missing else ():
            if record.number in missing:
                prompts[record.number] = _prompt(record)
                missing.remove(record.number)
            if not missing:
                break
    return tuple(
        SideBySide(
            number=wanted["number"],
            prompt=prompts.get(wanted["number"], ""),
            reference=wanted["text"] or "",
            base=base["text"],
            adapter=tuned["text"],
            base_ended=base["ended"],
            adapter_ended=tuned["ended"],
        )
        for wanted, base, tuned in zip(
            answers["references"], answers["base"], answers["adapter"], strict=True
        )
    )


def _last_answer(record: Record) -> int | None:
    places = [n for n, message in enumerate(record.messages) if message.role == "assistant"]
    return places[-1] if places else None


def _prompt(record: Record) -> str:
    """What stands before the last answer; roles are named where there are several turns."""
    turns = record.messages[: _last_answer(record)]
    if len(turns) == 1:
        return turns[0].content
    return "\n".join(f"{turn.role}: {turn.content}" for turn in turns)


def _state(vault: Vault, run: str) -> RunState | None:
    with contextlib.suppress(WorkbenchError):
        return current_state(vault.runs_folder / run)
    return None


def _facts(
    shown: Mapping[str, Any],
    data: Mapping[str, Any],
    document: Mapping[str, Any],
    rows: Sequence[SideBySide],
    state: RunState | None,
) -> Facts:
    metrics, recipe = shown["metrics"], shown["recipe"]
    skipped = state.counts.get("skipped") if state is not None else None
    left_out = skipped if isinstance(skipped, dict) else {}
    told = state.evaluations if state is not None else ()
    context = recipe.get("context")
    return Facts(
        base_loss=document["base"]["loss"],
        adapter_loss=document["adapter"]["loss"],
        records=document["records"],
        answers=len(rows),
        endless=sum(not row.adapter_ended for row in rows),
        base_matches=sum(row.base_matches for row in rows),
        adapter_matches=sum(row.adapter_matches for row in rows),
        accuracy=document["adapter"].get("accuracy"),
        majority=document["adapter"].get("majority"),
        train_records=int(data["splits"].get("train", 0)),
        left_out=sum(left_out.values()),
        too_long=int(left_out.get("too_long", 0)),
        loss_first=metrics.get("loss_first"),
        loss_last=metrics.get("loss_last"),
        eval_best=metrics.get("eval_loss_best"),
        eval_before=told[-2][1] if len(told) > 1 else None,
        eval_last=metrics.get("eval_loss_last"),
        best_step=int(metrics.get("best_step") or 0),
        steps=int(shown.get("steps") or 0),
        skipped_steps=int(metrics.get("skipped_steps") or 0),
        stopped=bool(metrics.get("stopped")),
        epochs=float(recipe.get("epochs") or 0),
        learning_rate=float(recipe.get("learning_rate") or 0),
        rank=int(shown.get("rank") or 0),
        context=context if isinstance(context, int) else 0,
    )


def _plain(text: str) -> str:
    return " ".join(text.split()).casefold()
