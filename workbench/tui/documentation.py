"""The pages of the product's documentation, and finding words in them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.resources import files

_FIRST = ("index", "data", "models", "planning", "training", "recipe", "library")
_LAST = ("security", "commands")
_HEADING = re.compile(r"^# (.+)$", re.MULTILINE)
_MARKS = re.compile(r"^#+ |[*`|]", re.MULTILINE)
_AROUND = 30


@dataclass(frozen=True)
class Page:
    """One page: its name, its title, and its Markdown."""

    name: str
    title: str
    text: str

    @property
    def is_of_screen(self) -> bool:
        """Whether it explains one screen."""
        return self.name.startswith("screen-")


@dataclass(frozen=True)
class Found:
    """A page in which something was found, and the words around its first place there."""

    page: Page
    excerpt: str


def read_pages() -> list[Page]:
    """Return every page: those that are read through first, then one for each screen."""
    found = []
    for item in files("workbench").joinpath("help").iterdir():
        name, dot, kind = item.name.rpartition(".")
        if dot and kind == "md":
            text = item.read_text("utf-8")
            heading = _HEADING.search(text)
            found.append(Page(name, heading[1].strip() if heading else name, text))
    return sorted(found, key=_place)


def _place(page: Page) -> tuple[int, int, str]:
    if page.name in _FIRST:
        return (0, _FIRST.index(page.name), "")
    if page.name in _LAST:
        return (2, _LAST.index(page.name), "")
    return (3 if page.is_of_screen else 1, 0, page.title)


def find(pages: list[Page], wanted: str) -> list[Found]:
    """Return the pages that hold every word of `wanted`, those with it in their title first."""
    words = wanted.lower().split()
    hits = []
    for page in pages:
        plain = " ".join(_MARKS.sub("", page.text).split())
        if all(word in plain.lower() for word in words):
            hits.append(Found(page, _excerpt(plain, words)))
    return sorted(hits, key=lambda hit: not any(w in hit.page.title.lower() for w in words))


def _excerpt(text: str, words: list[str]) -> str:
    at = min((text.lower().find(word) for word in words), default=0)
    start, end = max(0, at - _AROUND), at + _AROUND
    return ("…" if start else "") + text[start:end] + ("…" if end < len(text) else "")
