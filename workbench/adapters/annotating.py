"""What people write on adapters in the library: tags to find them by, and notes.

Both are kept sealed with the adapter's entry, for they may say what the data was about.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from workbench.errors import UsageError

if TYPE_CHECKING:
    from workbench.vault.catalogue import Entry
    from workbench.vault.store import Vault

MOST_TAGS = 20
LONGEST_TAG = 40
LONGEST_NOTE = 20_000


def tag_adapter(
    vault: Vault, name: str, *, add: Iterable[str] = (), remove: Iterable[str] = ()
) -> list[str]:
    """Put tags on an adapter and take others off; return those it has then, sorted.

    Raises:
        NotFound: There is no such adapter.
        UsageError: A tag is empty, too long or holds a comma, or there would be too many.
    """
    entry = vault.catalogue.get("adapter", name)
    wanted = [_checked(tag) for tag in add]
    unwanted = {tag.strip().casefold() for tag in remove}
    kept = [tag for tag in tags_of(entry.record) if tag.casefold() not in unwanted]
    # Tags that differ in case only are one; the way it was written first stays.
    by_word = {tag.casefold(): tag for tag in reversed([*kept, *wanted])}
    tags = sorted(by_word.values())
    if len(tags) > MOST_TAGS:
        raise UsageError(f"An adapter takes at most {MOST_TAGS} tags.", code="too_many_tags")
    _put(vault, entry, tags=tags)
    return tags


def note_adapter(vault: Vault, name: str, text: str) -> None:
    """Put a note on an adapter in place of the one before; an empty text takes it off.

    Raises:
        NotFound: There is no such adapter.
        UsageError: The note is too long.
    """
    if len(text) > LONGEST_NOTE:
        raise UsageError(f"A note has at most {LONGEST_NOTE:,} characters.", code="long_note")
    _put(vault, vault.catalogue.get("adapter", name), notes=text)


def tags_of(record: dict[str, Any]) -> list[str]:
    """Return the tags in an adapter's record."""
    return [str(tag) for tag in record.get("tags", [])]


def search(adapters: Sequence[dict[str, Any]], query: str) -> list[dict[str, Any]]:
    """Return those of `list_adapters` in which every word of `query` occurs.

    Looked through are name, tags, notes, base, dataset and method; `#word` looks at tags alone.
    """
    terms = query.casefold().split()
    return [adapter for adapter in adapters if all(_holds(adapter, term) for term in terms)]


def _holds(adapter: dict[str, Any], term: str) -> bool:
    tags = [tag.casefold() for tag in adapter["tags"]]
    if term.startswith("#"):
        return any(tag.startswith(term[1:]) for tag in tags)
    told = (
        adapter["adapter"],
        adapter["notes"],
        adapter["base"]["name"],
        adapter["dataset"]["name"],
        adapter["method"],
    )
    return any(term in text for text in (*tags, *(str(part).casefold() for part in told)))


def _checked(tag: str) -> str:
    stripped = tag.strip()
    if not stripped or len(stripped) > LONGEST_TAG or "," in stripped or stripped.startswith("#"):
        raise UsageError(
            f"A tag has 1 to {LONGEST_TAG} characters, no comma, and does not begin with #.",
            code="bad_tag",
        )
    return stripped


def _put(vault: Vault, entry: Entry, **changes: Any) -> None:
    vault.catalogue.put("adapter", entry.object_id, entry.name, {**entry.record, **changes})
