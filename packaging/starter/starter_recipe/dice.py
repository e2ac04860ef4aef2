"""Seeded choices, and the bracket notation in which the grammar is written."""

import random
import re
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")

_INNERMOST = re.compile(r"\[([^\[\]]*)\]")
_SENTENCE_START = re.compile(r"(^|[.?!] |\n)([a-z])")


class Dice:
    """Choices drawn from one seed.

    Only ``random.Random.random`` is used: Python promises that its sequence stays the same from
    version to version, which it does not promise for ``choice`` or ``shuffle``.
    """

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed).random

    def below(self, limit: int) -> int:
        """A whole number in ``[0, limit)``."""
        return int(self._random() * limit)

    def pick(self, options: Sequence[T]) -> T:
        """One of ``options``, each as likely as the next."""
        return options[self.below(len(options))]

    def chance(self, share: float) -> bool:
        """True in ``share`` of the calls."""
        return self._random() < share

    def sample(self, options: Sequence[T], count: int) -> list[T]:
        """``count`` different ``options`` in random order."""
        rest = list(options)
        return [rest.pop(self.below(len(rest))) for _ in range(count)]

    def expand(self, pattern: str) -> str:
        """Replace each ``[a|b|c]`` of ``pattern``, innermost first, by one of its branches."""
        while True:
            expanded = _INNERMOST.sub(lambda match: self.pick(match.group(1).split("|")), pattern)
            if expanded == pattern:
                return expanded
            pattern = expanded


def listed(text: str) -> tuple[str, ...]:
    """The items of ``text``: parted by bars where it has some, by white space where not."""
    return tuple(text.split("|" if "|" in text else None))


def sentence_case(text: str) -> str:
    """``text`` with a capital after each full stop, question mark and line break."""
    return _SENTENCE_START.sub(lambda match: match.group(1) + match.group(2).upper(), text)
