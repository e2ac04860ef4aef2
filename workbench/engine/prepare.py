"""From sealed records to token ids: encode, and count what training cannot take.

Nothing is cut: a record longer than the context is left out whole and counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from workbench.datasets.records import Record
from workbench.engine.batches import Example
from workbench.errors import BadInput
from workbench.models.codec import Encoded, TextCodec

TOO_LONG = "too_long"
ALL_MASKED = "all_masked"
NO_END_TOKEN = "no_end_token"  # noqa: S105  a reason code
_REPORT_EVERY = 512


class Source(Protocol):
    """A sealed dataset, as far as it is read here."""

    @property
    def splits(self) -> dict[str, int]:
        """Rows by split."""

    def records(self, split: str) -> Iterable[Record]:
        """Yield the records of a split."""


@dataclass(frozen=True, repr=False)
class Prepared:
    """The usable records of one split.

    Attributes:
        examples: In the order of the split.
        numbers: The record number of each example.
        skipped: How many records were left out, by reason code.
    """

    examples: list[Example]
    numbers: list[int]
    skipped: dict[str, int]

    @property
    def tokens(self) -> int:
        """Tokens of all examples."""
        return sum(len(example) for example in self.examples)

    @property
    def targets(self) -> int:
        """Tokens that the loss counts."""
        return sum(example.targets for example in self.examples)


def prepare(
    source: Source,
    split: str,
    codec: TextCodec,
    *,
    context: int,
    loss_on: str = "assistant",
    progress: Callable[[int, int], None] | None = None,
) -> Prepared:
    """Encode one split; an absent split gives no examples.

    Args:
        context: Longest record in tokens.
        loss_on: `assistant` counts the assistant's tokens, `all` every token.
        progress: Called with the records done and all; it may raise to interrupt.
    """
    examples: list[Example] = []
    numbers: list[int] = []
    skipped: Counter[str] = Counter()
    total = source.splits.get(split, 0)
    for done, record in enumerate(source.records(split) if total else ()):
        if progress is not None and done % _REPORT_EVERY == 0:
            progress(done, total)
        try:
            encoded = encode(record, codec)
        except BadInput as error:
            skipped[error.code] += 1
            continue
        reason = _unusable(encoded, context)
        if reason is not None:
            skipped[reason] += 1
            continue
        counted = [True] * len(encoded.ids) if loss_on == "all" else encoded.counted
        examples.append(Example.compact(encoded.ids, counted))
        numbers.append(record.number)
    return Prepared(examples, numbers, dict(sorted(skipped.items())))


def encode(record: Record, codec: TextCodec) -> Encoded:
    """Encode a conversation or a plain text.

    Raises:
        BadInput: The template refuses the conversation.
    """
    if record.text is not None:
        return codec.encode_text(record.text)
    return codec.encode_chat([(message.role, message.content) for message in record.messages])


def _unusable(encoded: Encoded, context: int) -> str | None:
    if len(encoded.ids) > context:
        return TOO_LONG
    if not any(encoded.counted[1:]):
        return ALL_MASKED
    return None if encoded.ended else NO_END_TOKEN
