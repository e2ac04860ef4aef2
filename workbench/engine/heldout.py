"""Records of a split as what a model is asked and what it should have answered."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from workbench.datasets.records import Record
from workbench.engine.batches import Example
from workbench.engine.prepare import ALL_MASKED, TOO_LONG, encode
from workbench.errors import BadInput
from workbench.models.codec import TextCodec


@dataclass(frozen=True, repr=False)
class HeldOut:
    """One record that was not trained on.

    Attributes:
        number: Its number in the dataset.
        example: All of its tokens, and which of them the loss counts.
        prompt: Token ids up to where the last answer begins; None for plain text.
        reference: The last answer; None for plain text.
    """

    number: int
    example: Example
    prompt: tuple[int, ...] | None
    reference: str | None


@dataclass(frozen=True, repr=False)
class HeldOutSplit:
    """The records that can be scored, and how many could not, by reason."""

    records: list[HeldOut]
    skipped: dict[str, int]

    @property
    def examples(self) -> list[Example]:
        """What the loss is measured on."""
        return [record.example for record in self.records]


def encode_split(
    records: Iterable[Record], codec: TextCodec, *, context: int, limit: int | None = None
) -> HeldOutSplit:
    """Encode records for scoring; nothing is cut, what does not fit is counted.

    Args:
        records: The split's records.
        codec: Tokenizer and template of the model that is asked.
        context: Longest record in tokens.
        limit: Stop after this many usable records.

    Raises:
        BadInput: no record is left (code `nothing_to_score`).
    """
    kept: list[HeldOut] = []
    skipped: Counter[str] = Counter()
    for record in records:
        if limit is not None and len(kept) >= limit:
            break
        try:
            item = _encode(record, codec)
        except BadInput as error:
            skipped[error.code] += 1
            continue
        if len(item.example) > context:
            skipped[TOO_LONG] += 1
        elif item.example.targets == 0:
            skipped[ALL_MASKED] += 1
        else:
            kept.append(item)
    if not kept:
        raise BadInput(
            "No record of this split can be scored.",
            hint="Choose another --split; `workbench dataset show` lists them.",
            code="nothing_to_score",
        )
    return HeldOutSplit(kept, dict(skipped))


def _encode(record: Record, codec: TextCodec) -> HeldOut:
    encoded = encode(record, codec)
    example = Example.compact(encoded.ids, encoded.counted)
    turns = [(message.role, message.content) for message in record.messages]
    answers = [place for place, (role, _) in enumerate(turns) if role == "assistant"]
    if not answers:
        return HeldOut(record.number, example, None, None)
    last = answers[-1]
    prompt = tuple(codec.encode_prompt(turns[:last]))
    return HeldOut(record.number, example, prompt, turns[last][1])
