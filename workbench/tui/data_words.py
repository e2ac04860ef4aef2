"""What the data rooms' codes are called on the screens."""

from __future__ import annotations

from collections.abc import Mapping

from workbench.wording import count

KINDS = {
    "chat": "conversations",
    "instruction": "tasks and answers",
    "completion": "questions and answers",
    "classification": "texts and labels",
    "text": "plain texts",
}
FIELDS = {
    "messages": "turns",
    "system": "system text",
    "instruction": "task",
    "input": "its text",
    "output": "answer",
    "prompt": "question",
    "completion": "answer",
    "text": "text",
    "label": "label",
}
# Why a record of a file was not taken.
REJECTED = {
    "torn_row": "quotes or columns do not fit the header",
    "bad_encoding": "not UTF-8 text",
    "nul_byte": "holds a NUL byte",
    "too_long": "longer than 32 MiB",
    "bad_json": "not valid JSON",
    "not_an_object": "JSON, but not an object {…}",
    "too_deep": "JSON nested too deeply",
    "lone_surrogate": "an escape that is no character",
    "missing_field": "a column or key is missing",
    "wrong_type": "something else than text",
    "empty_field": "no text, or nothing to answer",
    "empty_answer": "the answer is blank",
    "bad_role": "a turn by somebody unknown",
    "bad_order": "the turns are out of order",
    "no_answer": "nobody answers in it",
}
# Why training leaves a record of a dataset out.
LEFT_OUT = {
    "all_masked": "nothing in it would be learnt",
    "no_end_token": "its answer has no end mark",
    "template_refused_record": "the model's chat template refuses it",
    "template_not_prefix_stable": "the template hides which part is the answer",
    "bad_text": "the model's tokenizer cannot read it",
    "too_long": "longer than the context",
}
IDENTIFIERS = {
    "email": ("e-mail address", "e-mail addresses"),
    "phone": ("telephone number", "telephone numbers"),
    "iban": ("bank account (IBAN)", "bank accounts (IBAN)"),
    "card": ("payment card", "payment cards"),
    "ssn": ("US social security number", "US social security numbers"),
    "nhs_number": ("NHS number", "NHS numbers"),
    "ip": ("network address", "network addresses"),
    "mrn": ("medical record number", "medical record numbers"),
}
ABOUT_IDENTIFIERS = (
    "These look like they identify a person; the model may learn them and repeat them. Names, "
    "addresses and dates are not looked for, and some hits are none: this is a hint, and masking "
    "does not make a text anonymous."
)


def rejected(code: str) -> str:
    """Return why a record was not taken, in words."""
    return REJECTED.get(code, code)


def left_out(code: str) -> str:
    """Return why training leaves a record out, in words."""
    return LEFT_OUT.get(code, code)


def identifiers(found: Mapping[str, int], *, glue: str = ", ") -> str:
    """Return likely identifiers by kind, in words; empty where there are none."""
    parts = []
    for kind, number in found.items():
        one, many = IDENTIFIERS.get(kind, (kind, kind))
        parts.append(count(number, one, many))
    return glue.join(parts)


def in_order(splits: dict[str, int]) -> dict[str, int]:
    """Return the splits in the order in which they are used: train, validation, test, others."""
    first = [name for name in ("train", "validation", "test") if name in splits]
    return {name: splits[name] for name in [*first, *sorted(set(splits) - set(first))]}
