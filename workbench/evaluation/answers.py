"""Structured answers: `KEY: value | KEY: value`, read by a parser and counted, not judged by eye.

A task says which fields an answer has, in which order, and which values each may take. An answer
meets the format when it consists of exactly these fields in this order with allowed values: no
text before, between or after. White space around keys and values is ignored; case is not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from workbench.errors import BadInput

SEPARATOR = "|"


@dataclass(frozen=True)
class AnswerFormat:
    """What a structured answer looks like.

    Attributes:
        fields: Names in the order in which they must stand.
        values: Field to its allowed values; a field that is not listed takes any text.
    """

    fields: tuple[str, ...]
    values: Mapping[str, frozenset[str]]

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> AnswerFormat:
        """Read `{"fields": [{"name": "URGENCY", "values": ["urgent", …]}, …]}`.

        Raises:
            BadInput: the document has another shape; code `bad_task`.
        """
        try:
            entries = [(str(f["name"]), f.get("values")) for f in document["fields"]]
        except (KeyError, TypeError, AttributeError) as error:
            raise _bad_task() from error
        names = tuple(name for name, _ in entries)
        if not names or len(set(names)) != len(names):
            raise _bad_task()
        return cls(names, {name: frozenset(map(str, v)) for name, v in entries if v is not None})

    def parse(self, answer: str) -> dict[str, str] | None:
        """Return field to value, or None when `answer` does not meet the format."""
        parts = answer.split(SEPARATOR)
        if len(parts) != len(self.fields):
            return None
        found: dict[str, str] = {}
        for name, part in zip(self.fields, parts, strict=True):
            key, colon, value = part.partition(":")
            value = value.strip()
            allowed = self.values.get(name)
            if not colon or key.strip() != name or not value:
                return None
            if allowed is not None and value not in allowed:
                return None
            found[name] = value
        return found


@dataclass(frozen=True)
class AnswerScores:
    """How well structured answers match their references.

    Attributes:
        answers: Number of answers counted.
        format_rate: Share that meets the format.
        field_accuracy: Share of all fields whose value is right; an answer that does not meet the
            format has every field wrong.
        per_field: The same for each field.
        all_right: Share of answers with every field right.
    """

    answers: int
    format_rate: float
    field_accuracy: float
    per_field: dict[str, float]
    all_right: float


def score_answers(
    form: AnswerFormat, answers: Sequence[str], references: Sequence[str]
) -> AnswerScores:
    """Count how many answers meet the format and how many field values are right.

    Raises:
        ValueError: the two have not the same length, or there are none.
        BadInput: a reference does not meet the format itself; code `bad_reference`.
    """
    if len(answers) != len(references) or not answers:
        raise ValueError("answers and references must be of one length, and not empty")
    truth = parse_references(form, references)
    given = [form.parse(answer) for answer in answers]
    right = Counter[str]()
    complete = 0
    for wanted, found in zip(truth, given, strict=True):
        matches = [] if found is None else [n for n in form.fields if found[n] == wanted[n]]
        right.update(matches)
        complete += len(matches) == len(form.fields)
    count = len(answers)
    return AnswerScores(
        answers=count,
        format_rate=sum(found is not None for found in given) / count,
        field_accuracy=right.total() / (count * len(form.fields)),
        per_field={name: right[name] / count for name in form.fields},
        all_right=complete / count,
    )


def majority_answer(form: AnswerFormat, training: Sequence[str]) -> str:
    """Return the answer that gives each field its commonest value in `training`.

    Ties go to the value that sorts first, so that the baseline does not depend on order.

    Raises:
        BadInput: a training reference does not meet the format; code `bad_reference`.
    """
    truth = parse_references(form, training)
    parts = []
    for name in form.fields:
        counts = Counter(answer[name] for answer in truth)
        value = min(counts, key=lambda value: (-counts[value], value))
        parts.append(f"{name}: {value}")
    return f" {SEPARATOR} ".join(parts)


def majority_baseline(
    form: AnswerFormat, training: Sequence[str], references: Sequence[str]
) -> AnswerScores:
    """Score the answer that knows nothing of the note: the majority's, for every reference."""
    answer = majority_answer(form, training)
    return score_answers(form, [answer] * len(references), references)


def parse_references(form: AnswerFormat, references: Sequence[str]) -> list[dict[str, str]]:
    """Parse answers that must meet the format.

    Raises:
        BadInput: there are none, or one does not meet it; the message names its place only.
    """
    if not references:
        raise BadInput("There are no reference answers to count against.", code="bad_reference")
    parsed = []
    for number, reference in enumerate(references):
        found = form.parse(reference)
        if found is None:
            raise BadInput(
                f"Reference answer {number} does not meet the task's format.",
                hint="Check the task's fields and allowed values.",
                code="bad_reference",
            )
        parsed.append(found)
    return parsed


def _bad_task() -> BadInput:
    return BadInput(
        "A task needs a list of fields, each with a name of its own.",
        hint='For example {"fields": [{"name": "URGENCY", "values": ["urgent", "routine"]}]}.',
        code="bad_task",
    )
