"""What the Data step asks the rooms for, in a worker thread; it changes nothing on the screen."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.errors import WorkbenchError
from workbench.runs.drafts import Draft
from workbench.tui.data_words import in_order, left_out

if TYPE_CHECKING:
    from workbench.datasets.importing import ImportReport
    from workbench.datasets.peeking import Peek
    from workbench.datasets.records import Record
    from workbench.datasets.rejects import Reject
    from workbench.models.previewing import Rendering
    from workbench.tui.widgets.records import Piece
    from workbench.tui.work import Progress
    from workbench.vault.catalogue import Entry
    from workbench.vault.store import Vault

SHOWN = 5  # records to look at
SAMPLED = 1000  # records whose lengths are measured
_NOT_IN_NAME = re.compile(r"[^\w .+-]+")


@dataclass(frozen=True, repr=False)
class Preview:
    """Some records as a model will see them.

    Attributes:
        model: The model's name; empty where there is none on the shelf.
        pieces: Of each record, as `RecordView` shows them.
        captions: What is said of each: tokens, or why training leaves it out.
        lengths: Tokens of the records that were measured.
        left_out: How many of those training leaves out, by reason.
        context: The longest record that the model takes.
        fault: Why the model could not be asked; the records are then shown as they are.
    """

    model: str = ""
    pieces: tuple[tuple[Piece, ...], ...] = ()
    captions: tuple[str, ...] = ()
    lengths: tuple[int, ...] = ()
    left_out: Mapping[str, int] = field(default_factory=dict)
    context: int = 0
    fault: WorkbenchError | None = None


@dataclass(frozen=True, repr=False)
class Looked:
    """Files as they would be imported.

    Attributes:
        peek: What stands at their beginnings, without the records.
        preview: Their first records.
        fields: The fields that each kind takes, and whether a record may lack it.
        names: Of the datasets that there are.
    """

    peek: Peek
    preview: Preview
    fields: Mapping[str, tuple[tuple[str, bool], ...]]
    names: frozenset[str]


@dataclass(frozen=True, repr=False)
class Opened:
    """A sealed dataset.

    Attributes:
        facts: As `show_dataset` returns them.
        rejects: The records that were not taken, at most `MOST_REJECTS`.
        preview: Its first records, and lengths from all over it.
    """

    facts: dict[str, Any]
    rejects: tuple[Reject, ...]
    preview: Preview


MOST_REJECTS = 500


def reading_of(draft: Draft) -> dict[str, Any]:
    """Return how files are read according to the draft, with the defaults filled in."""
    told: dict[str, Any] = {
        "kind": "auto",
        "mapping": {},
        "header": True,
        "name": "",
        "splits": {"validation": 0.05, "test": 0.05},
        "dedupe": "exact",
        "redact": "none",
    }
    return told | {key: value for key, value in draft.reading.items() if key in told}


def look(vault: Vault, draft: Draft) -> Looked:
    """Look at the draft's files as they would be read; raises as `peek` does."""
    from workbench.datasets.columns import OPTIONAL, fields_of
    from workbench.datasets.peeking import peek
    from workbench.datasets.records import KINDS

    reading = reading_of(draft)
    seen = peek(
        [Path(name) for name in draft.files],
        kind=reading["kind"],
        mapping=reading["mapping"],
        header=reading["header"],
        redact=reading["redact"],
        count=SAMPLED,
    )
    fields = {
        kind: tuple((name, name in OPTIONAL[kind]) for name in fields_of(kind)) for kind in KINDS
    }
    names = frozenset(entry.name for entry in vault.catalogue.entries("dataset"))
    preview = _preview(vault, draft, seen.records[:SHOWN], seen.records)
    # What is shown of them stands in the preview; the others are not held any longer.
    return Looked(replace(seen, records=()), preview, fields, names)


def bring_in(vault: Vault, draft: Draft, progress: Progress) -> ImportReport:
    """Import the draft's files; raises as `import_files` does."""
    from workbench.datasets.importing import import_files

    reading = reading_of(draft)
    return import_files(vault, [Path(name) for name in draft.files], progress=progress, **reading)


def open_sealed(vault: Vault, draft: Draft) -> Opened:
    """Open the draft's dataset; raises NotFound where it was removed meanwhile."""
    from itertools import islice

    from workbench.datasets.collection import preview, rejects, sample, show_dataset

    facts = show_dataset(vault, draft.dataset)
    facts["splits"] = in_order(facts["splits"])
    split = next((name for name, rows in facts["splits"].items() if rows), "train")
    first = preview(vault, draft.dataset, SHOWN, split)
    spread = sample(vault, draft.dataset, SAMPLED, split)
    refused = tuple(islice(rejects(vault, draft.dataset), MOST_REJECTS))
    return Opened(facts, refused, _preview(vault, draft, first, spread))


def proposed_name(files: Sequence[str], taken: frozenset[str], *, masked: bool = False) -> str:
    """Return a name for a dataset of `files` that no other has."""
    stem = _NOT_IN_NAME.sub("-", Path(files[0]).stem).strip("-. ")[:60] if files else ""
    name = stem if stem[:1].isalnum() else f"data {stem}".strip()
    name = f"{name}-masked" if masked else name
    number = 2
    free = name
    while free in taken:
        free = f"{name}-{number}"
        number += 1
    return free


def preview_model(vault: Vault, chosen: str) -> Entry | None:
    """Return the model that records are shown for: the chosen one, the last used, the starter."""
    models = {entry.object_id: entry for entry in vault.catalogue.entries("model")}
    used = [
        base.get("object_id")
        for entry in reversed(vault.catalogue.entries("adapter"))
        if isinstance(base := entry.record.get("base"), dict)
    ]
    starters = [key for key, entry in models.items() if entry.name == "starter"]
    for object_id in (chosen, *used, *starters, *reversed(models)):
        if object_id in models:
            return models[object_id]
    return None


def _preview(
    vault: Vault, draft: Draft, first: Sequence[Record], measured: Sequence[Record]
) -> Preview:
    """Show the first records, and measure others."""
    from workbench.models.shelf import model_facts, model_folder

    plain = tuple(_plain(record) for record in first)
    numbers = tuple(f"record {record.number + 1}" for record in first)
    try:
        entry = preview_model(vault, draft.model)
        if entry is None:
            return Preview(pieces=plain, captions=numbers)
        from workbench.models.previewing import render

        samples = [_sample(record) for record in (*first, *measured)]
        found = render(model_folder(vault, entry.object_id), samples, whole=len(first))
    except WorkbenchError as error:
        return Preview(pieces=plain, captions=numbers, fault=error)
    shown, lengths = found[: len(first)], found[len(first) :]
    captions = [
        f"{number} · {_caption(item)}" for number, item in zip(numbers, shown, strict=False)
    ]
    return Preview(
        model=entry.name,
        # Very long records may not fit into one question to the model; they are shown as they are.
        pieces=(*(item.pieces or plain[n] for n, item in enumerate(shown)), *plain[len(shown) :]),
        captions=(*captions, *numbers[len(shown) :]),
        lengths=tuple(item.tokens for item in lengths if item.tokens),
        left_out=dict(Counter(item.reason for item in lengths if item.reason)),
        context=int(draft.settings.get("context") or model_facts(entry).context),
    )


def _sample(record: Record) -> list[tuple[str, str]] | str:
    if record.text is not None:
        return record.text
    return [(message.role, message.content) for message in record.messages]


def _plain(record: Record) -> tuple[Piece, ...]:
    if record.text is not None:
        return ((record.text, None),)
    return tuple((f"{turn.role}: {turn.content}\n", None) for turn in record.messages)


def _caption(found: Rendering) -> str:
    if found.reason:
        return f"▲ training leaves it out: {left_out(found.reason)}"
    return f"{found.tokens} tokens, {found.counted} of them learnt"
