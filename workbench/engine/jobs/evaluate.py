"""The evaluate job: base and adapter on the same held-out records.

Loss and perplexity weigh every counted token the same, whichever record it stands in. Answers are
greedy, in batches, and stand in the sealed result alone.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.adapters.results import write_result
from workbench.datasets.store import SealedDataset
from workbench.engine.forward import Passes
from workbench.engine.generation import Decoding, Ends, continue_prompts
from workbench.engine.heldout import HeldOut, HeldOutSplit, encode_split
from workbench.engine.loading import load_base
from workbench.engine.reporting import Reporter
from workbench.engine.scoring import score
from workbench.engine.sides import OpenedAdapter, Sides, common_method
from workbench.engine.usage import peak_bytes
from workbench.models.codec import TextCodec

if TYPE_CHECKING:
    from workbench.engine.session import Session

# A label has few tokens; a base that never ends is not waited for.
_LABEL_MARGIN = 4


def run(session: Session) -> None:
    """Score base and adapter, let both answer if asked to, and seal the result.

    Raises:
        Refused: the adapter belongs to another base. BadInput: there is nothing to score.
    """
    started = time.monotonic()
    sealed = session.sealed
    session.events.write("loading")
    opened = [_adapter(session)] if sealed.get("adapter") else []
    base = load_base(
        sealed["model"],
        method=common_method(opened),
        device=session.device,
        progress=Reporter(session, "loading"),
    )
    sides = Sides(base)
    for adapter in opened:
        sides.add(adapter)
    codec = TextCodec.open(Path(sealed["model"]["folder"]))
    split, kind = _held_out(session, codec, base.facts.context)
    session.events.write(
        "measured",
        records=len(split.records),
        tokens=sum(example.targets for example in split.examples),
        skipped=split.skipped,
    )
    exam = _Exam.prepare(session, split, kind, codec, base.facts.context)
    document: dict[str, Any] = {
        "kind": kind,
        "skipped": split.skipped,
        "references": [{"number": r.number, "text": r.reference} for r in exam.asked],
    }
    with sides.base() as model:
        document["base"] = exam.sit("base", Passes(model, base.device, base.compute))
    for adapter in opened:
        with sides.adapter(adapter.object_id) as model:
            document["adapter"] = exam.sit("adapter", Passes(model, base.device, base.compute))
    document["records"] = document["base"].pop("records")
    document["tokens"] = document["base"].pop("tokens")
    write_result(session.folder, session.key(session.spec.run), document)
    session.events.write(
        "finished",
        records=document["records"],
        tokens=document["tokens"],
        peak_bytes=peak_bytes(base.device),
        seconds=round(time.monotonic() - started, 3),
    )


def _adapter(session: Session) -> OpenedAdapter:
    part = session.sealed["adapter"]
    return OpenedAdapter.open(part, session.key(part["object_id"]))


def _held_out(session: Session, codec: TextCodec, context: int) -> tuple[HeldOutSplit, str]:
    part = session.sealed["dataset"]
    with SealedDataset.open(Path(part["path"]), session.key(part["object_id"])) as dataset:
        records = dataset.records(session.sealed["split"])
        limit = session.sealed.get("limit")
        return encode_split(records, codec, context=context, limit=limit), dataset.kind


@dataclass(frozen=True, repr=False)
class _Exam:
    """What every side is given: records to be scored on and prompts to answer."""

    session: Session
    split: HeldOutSplit
    asked: list[HeldOut]
    codec: TextCodec
    ends: Ends
    decoding: Decoding

    @classmethod
    def prepare(
        cls, session: Session, split: HeldOutSplit, kind: str, codec: TextCodec, context: int
    ) -> _Exam:
        asked = _asked(split.records, session.sealed, kind)
        ends = Ends(codec.eos_ids, codec.pad_id, context)
        cap = _cap(asked, codec, int(session.sealed.get("max_tokens", 64)), kind)
        return cls(session, split, asked, codec, ends, Decoding(cap))

    def sit(self, name: str, passes: Passes) -> dict[str, Any]:
        """Score one side and let it answer."""
        scored = score(
            passes,
            self.split.examples,
            pad_id=self.codec.pad_id,
            progress=Reporter(self.session, f"score_{name}"),
        )
        report = Reporter(self.session, f"answer_{name}")
        answers = continue_prompts(
            passes.model,
            [record.prompt or () for record in self.asked],
            self.ends,
            self.decoding,
            on_done=lambda done: report(done, len(self.asked)),
        )
        return {
            "loss": scored.loss,
            "records": scored.records,
            "tokens": scored.tokens,
            "answers": [
                {
                    "number": record.number,
                    "text": self.codec.decode(answer.ids),
                    "ended": answer.ended,
                }
                for record, answer in zip(self.asked, answers, strict=True)
            ],
        }


def _asked(records: Sequence[HeldOut], sealed: dict[str, Any], kind: str) -> list[HeldOut]:
    """The records that both sides answer: all, or the first few; labels need all of them."""
    answerable = [record for record in records if record.prompt is not None]
    if kind == "classification":
        return answerable
    if not sealed.get("answers"):
        return []
    return answerable[: sealed.get("answer_limit")]


def _cap(asked: Sequence[HeldOut], codec: TextCodec, most: int, kind: str) -> int:
    if kind != "classification" or not asked:
        return most
    labels = {record.reference or "" for record in asked}
    return max(len(codec.encode_text(label).ids) for label in labels) + _LABEL_MARGIN
