"""What files would be read as, before anything is imported: a look at their beginnings.

The same code reads them as the import does, so that what is shown here is what will be sealed.
Nothing is kept.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from workbench.datasets.columns import Layout, missing_fields
from workbench.datasets.fingerprints import Fingerprinter, SeenFingerprints
from workbench.datasets.preparing import (
    Opened,
    Prepared,
    choose_layouts,
    open_source,
    prepare_block,
)
from workbench.datasets.records import Record, records_from_batch
from workbench.datasets.rejects import Reject
from workbench.datasets.source import RECORD_BYTES, Source
from workbench.errors import BadInput, UsageError

HEAD_BYTES = 1 << 20  # of each file
MOST_FILES = 16  # that are looked into; the columns of all of them are checked
_FARTHEST = RECORD_BYTES + 2 * HEAD_BYTES  # to get past one overlong record
_LISTED = 1000


@dataclass(frozen=True)
class PeekedFile:
    """One file as it would be read.

    Attributes:
        name: Without its folder.
        bytes: Its size.
        headings: Its columns, or the keys of its first records.
        columns: {field: heading} that would be read; empty where nothing fits.
        doubtful: Whether the headings look like a record: the file may have no header.
    """

    name: str
    bytes: int
    headings: tuple[str, ...]
    columns: dict[str, str]
    doubtful: bool = False


@dataclass(frozen=True)
class Peek:
    """What the beginnings of the files show.

    Attributes:
        files: In the order of the import.
        kind: What they would be read as; empty where no kind fits, and then `fault` says why and
            nothing below is filled.
        fault: Why the columns do not fit, or None.
        missing: The fields of the kind asked for that no column feeds, where that is why.
        records: The first records that would be taken.
        looked: How many records were looked at, taken or not.
        taken: How many of them would be taken.
        duplicates: How many equal an earlier one among them.
        rejects: Those that would not be taken (the first 1,000), by file, line and code.
        rejected_by_code: All of those, counted.
        sensitive: Likely identifiers among those that would be taken, by kind.
        whole: Whether the files were read to their ends, so that the counts are final.
    """

    files: tuple[PeekedFile, ...]
    kind: str = ""
    fault: BadInput | UsageError | None = None
    missing: tuple[str, ...] = ()
    records: tuple[Record, ...] = ()
    looked: int = 0
    taken: int = 0
    duplicates: int = 0
    rejects: tuple[Reject, ...] = ()
    rejected_by_code: Mapping[str, int] = field(default_factory=dict)
    sensitive: Mapping[str, int] = field(default_factory=dict)
    whole: bool = False

    @property
    def headings(self) -> tuple[str, ...]:
        """The columns of the first file, which decides the kind."""
        return self.files[0].headings

    @property
    def columns(self) -> dict[str, str]:
        """{field: heading} of the first file."""
        return self.files[0].columns


def peek(
    files: Sequence[Path],
    *,
    kind: str = "auto",
    mapping: Mapping[str, str] | None = None,
    header: bool = True,
    redact: str = "none",
    count: int = 5,
) -> Peek:
    """Look at the beginnings of files as `import_files` would read them.

    Args:
        files: In the order of the import.
        kind: "auto", or one of `workbench.datasets.records.KINDS`.
        mapping: {field: heading}; other fields are detected.
        header: Whether the first line of a CSV file names its columns.
        redact: "mask" shows the records as they are after masking.
        count: How many records to return.

    Raises:
        BadInput: A file cannot be read at all. Columns that do not fit are no such error: they
            are told in `Peek.fault`, so that a person can choose others.
        UsageError: No file was named.
    """
    if not files:
        raise UsageError("No file was named.", code="no_files")
    opened = [open_source(Source(path), header=header) for path in files]
    try:
        layouts = choose_layouts(opened, kind, mapping or {})
    except (BadInput, UsageError) as error:
        missing: list[str] = []
        if error.code == "kind_unknown" and kind != "auto":
            missing = missing_fields(opened[0].headings, kind, mapping or {})
        seen = tuple(_seen(item, {}) for item in opened)
        return Peek(seen, fault=error, missing=tuple(missing))
    look = _Look(layouts[0].kind, count)
    with contextlib.closing(Fingerprinter(layouts[0].kind)) as fingerprinter:
        for place, (item, layout) in enumerate(zip(opened, layouts, strict=True)):
            if place < MOST_FILES:
                look.into(item, layout, place, fingerprinter, masked=redact == "mask")
    return look.told(opened, layouts)


def look_at(path: Path) -> PeekedFile:
    """Say what a file is called, how large it is and what its headings are.

    Raises:
        BadInput: It is missing, unreadable, of an unknown form, or has no usable beginning.
    """
    return _seen(open_source(Source(path)), {})


def _seen(item: Opened, columns: dict[str, str]) -> PeekedFile:
    return PeekedFile(
        item.source.path.name, item.source.size, item.headings, columns, item.doubtful
    )


class _Look:
    """Gathers what the first blocks of the files hold."""

    def __init__(self, kind: str, count: int) -> None:
        self._kind = kind
        self._count = count
        self._known = SeenFingerprints()
        self._records: list[Record] = []
        self._rejects: list[tuple[int, int, str]] = []
        self._codes: Counter[str] = Counter()
        self._sensitive: Counter[str] = Counter()
        self._looked = self._taken = self._duplicates = 0
        self._ended = 0

    def into(
        self,
        item: Opened,
        layout: Layout,
        place: int,
        fingerprinter: Fingerprinter,
        *,
        masked: bool,
    ) -> None:
        """Read the beginning of one file: a block at least, and on until a record was met."""
        met = 0
        with contextlib.closing(item.blocks(HEAD_BYTES)) as blocks:
            for block in blocks:
                prepared = prepare_block(block, item, layout, place, fingerprinter, masked=masked)
                met += prepared.records
                self._take(place, prepared)
                if item.source.done < item.source.size and (met or item.source.done > _FARTHEST):
                    return
        self._ended += 1

    def _take(self, place: int, prepared: Prepared) -> None:
        fresh = self._known.add(prepared.high, prepared.low)
        self._duplicates += int((~fresh).sum())
        self._taken += int(fresh.sum())
        self._sensitive.update(kind for row, kind in prepared.hits if fresh[row])
        self._codes.update(code for _, code in prepared.refused)
        room = max(_LISTED - len(self._rejects), 0)
        self._rejects += [(place, line, code) for line, code in prepared.refused[:room]]
        lacking = self._count - len(self._records)
        if lacking > 0:
            found = records_from_batch(prepared.batch.slice(0, lacking), self._kind)
            self._records += [
                Record(self._looked + record.number, record.messages, record.text)
                for record in found
            ]
        self._looked += prepared.records

    def told(self, opened: Sequence[Opened], layouts: Sequence[Layout]) -> Peek:
        """Return what was gathered."""
        files = tuple(
            _seen(item, layout.columns) for item, layout in zip(opened, layouts, strict=True)
        )
        return Peek(
            files=files,
            kind=self._kind,
            records=tuple(self._records),
            looked=self._looked,
            taken=self._taken,
            duplicates=self._duplicates,
            rejects=tuple(
                Reject(files[place].name, line, code) for place, line, code in self._rejects
            ),
            rejected_by_code=dict(self._codes.most_common()),
            sensitive=dict(self._sensitive),
            whole=self._ended == len(opened),
        )
