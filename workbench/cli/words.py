"""What a command line holds: checks of its words, and argparse's complaints in plain ones."""

from __future__ import annotations

import argparse
import difflib
import re
from collections.abc import Callable

_NO_NUMBER = re.compile(r"argument (.+?): invalid int value: '(.*)'", re.DOTALL)
_NO_CHOICE = re.compile(r"argument (.+?): invalid choice: '(.*)' \(choose from (.+)\)", re.DOTALL)
_MISSING = "the following arguments are required: "
_ONE_OF = re.compile(r"one of the arguments (.+) is required")


def at_least(least: int) -> Callable[[str], int]:
    """Return what turns an option's text into a whole number that is not below `least`."""

    def whole(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None
        if number < least:
            raise argparse.ArgumentTypeError(f"{number} is less than {least}")
        return number

    return whole


def told_plainly(message: str) -> str:
    """Return what argparse found wrong, in a sentence without its own words for things."""
    if found := _NO_NUMBER.fullmatch(message):
        return f"{found[1]} takes a whole number, not {_shown(found[2])}."
    if found := _NO_CHOICE.fullmatch(message):
        choices = [choice.strip("' ") for choice in found[3].split(",")]
        what = f"is no {found[1].lower()}" if found[1].isupper() else f"is nothing for {found[1]}"
        near = difflib.get_close_matches(found[2], choices, n=1)
        meant = f" Did you mean {near[0]}?" if near else ""
        return f"{_shown(found[2])} {what}; there are {', '.join(choices)}.{meant}"
    if message.startswith(_MISSING):
        return f"Missing: {message.removeprefix(_MISSING)}."
    if found := _ONE_OF.fullmatch(message):
        return f"Missing: {' or '.join(found[1].split())}."
    plain = message.removeprefix("argument ")
    return plain if plain.endswith(".") else f"{plain}."


def _shown(text: str) -> str:
    return (text if len(text) <= 40 else text[:39] + "…") or "(nothing)"
