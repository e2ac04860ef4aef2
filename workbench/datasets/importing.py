"""Importing files: read, checked, de-duplicated, split, sealed, published; or nothing at all.

The key is made before the first sealed byte is written. The file is published under its final
name only when it is whole, the catalogue's entry follows, then the audit log's. Whatever fails
before that entry is undone: file and key go. What a killed import left behind is swept by the
next one.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from workbench import durable
from workbench.datasets.assembling import Assembler
from workbench.datasets.columns import Layout
from workbench.datasets.fingerprints import Fingerprinter
from workbench.datasets.preparing import (
    Opened,
    Prepared,
    choose_layouts,
    open_source,
    prepare_block,
)
from workbench.datasets.rejects import LISTED, Reject
from workbench.datasets.source import Source
from workbench.datasets.store import REJECTS, DatasetWriter
from workbench.errors import BadInput, DoesNotFit, UsageError, VaultError
from workbench.vault.ids import new_id
from workbench.vault.locking import hold
from workbench.vault.sealed import JSON
from workbench.wording import size

if TYPE_CHECKING:
    from workbench.vault.store import Vault

Progress: TypeAlias = Callable[[int, int, str], None]

DEFAULT_SPLITS: Mapping[str, float] = {"validation": 0.05, "test": 0.05}
_SPARE_DISK = 64 << 20
_NAME = re.compile(r"\w[\w .+-]{0,99}")
_SPLIT_NAME = re.compile(r"[a-z][a-z0-9_]{0,30}")


@dataclass(frozen=True)
class ImportReport:
    """What an import did. `rows + rejected + duplicates` is the number of records read.

    Attributes:
        dataset: The name that was given.
        object_id: The dataset's id.
        kind: One of `workbench.datasets.records.KINDS`.
        rows: Rows taken.
        rejected: Records refused.
        rejects: The first of them (at most `rejects.LISTED`), with file, line and code.
        rejected_by_code: All of them, counted.
        duplicates: Records left out as equal to an earlier one.
        splits: Rows by split.
        sensitive: Likely identifiers in the rows taken, by kind.
        seconds: Wall time.
        columns: {field: heading} that was chosen for the first file.
        root: Names this version of the data (hexadecimal).
        bytes: Size of the sealed file.
        doubtful_headers: Files whose first line was taken for names of columns but looks like a
            record.
    """

    dataset: str
    object_id: str
    kind: str
    rows: int
    rejected: int
    rejects: list[Reject]
    rejected_by_code: dict[str, int]
    duplicates: int
    splits: dict[str, int]
    sensitive: dict[str, int]
    seconds: float
    columns: dict[str, str]
    root: str
    bytes: int
    doubtful_headers: list[str]


@dataclass(frozen=True)
class _Request:
    """The settings of one import, checked."""

    name: str
    splits: dict[str, float]
    dedupe: bool
    masked: bool
    seed: int


def import_files(
    vault: Vault,
    files: Sequence[Path],
    name: str,
    *,
    kind: str = "auto",
    mapping: Mapping[str, str] | None = None,
    header: bool = True,
    splits: Mapping[str, float] = DEFAULT_SPLITS,
    dedupe: str = "exact",
    redact: str = "none",
    seed: int = 0,
    progress: Progress | None = None,
) -> ImportReport:
    """Import CSV (.csv, .tsv) and JSON lines (.jsonl, .ndjson) as one new dataset.

    Args:
        vault: Where it is sealed.
        files: Read in this order; all of them give the same kind of records.
        name: The new dataset's name.
        kind: "auto", or one of `workbench.datasets.records.KINDS`.
        mapping: {field: heading}; other fields are detected.
        header: Whether the first line of a CSV file names its columns; without one they are
            called `column_1` and so on.
        splits: Share of each split that is held out; the rest is `train`.
        dedupe: "exact" leaves out records equal to an earlier one; "off" keeps them.
        redact: "mask" replaces likely identifiers, as in `[EMAIL]`, before anything is kept.
        seed: Of the splits.
        progress: Called with bytes done, bytes in all, and the phase.

    Raises:
        UsageError: A setting makes no sense.
        BadInput: A file cannot be used, changed meanwhile, or no record of it can be taken.
        DoesNotFit: The disk has no room.
        Busy: Another import is at work.
    """
    began = time.monotonic()
    request = _checked_request(name, splits, dedupe, redact, seed)
    if not files:
        raise UsageError("No file was named.", code="no_files")
    with hold(vault.locks_folder / "import.lock", wait=1.0):
        sweep_unfinished(vault)
        if any(entry.name == name for entry in vault.catalogue.entries("dataset")):
            raise BadInput(
                "There is already a dataset with this name.",
                hint="Choose another name, or remove the old one first.",
                code="name_taken",
            )
        opened = [open_source(Source(path), header=header) for path in files]
        layouts = choose_layouts(opened, kind, mapping or {})
        _check_room(vault.datasets_folder, sum(item.source.size for item in opened))
        return _import(vault, request, opened, layouts, began, progress)


def _checked_request(
    name: str, splits: Mapping[str, float], dedupe: str, redact: str, seed: int
) -> _Request:
    if not _NAME.fullmatch(name):
        raise UsageError(
            "This is no name for a dataset.",
            hint="Letters, digits, space, '.', '_', '+' and '-', at most 100.",
            code="bad_name",
        )
    if dedupe not in {"exact", "off"}:
        raise UsageError("De-duplication is `exact` or `off`.", code="bad_dedupe")
    if redact not in {"none", "mask"}:
        raise UsageError("Redaction is `none` or `mask`.", code="bad_redact")
    for split, share in splits.items():
        if split == "train":
            raise UsageError(
                "The train split is what the others leave over; its share is not given.",
                hint="Name the others, e.g. `--split validation=0.05,test=0.05`.",
                code="bad_split",
            )
        if not _SPLIT_NAME.fullmatch(split) or split == REJECTS:
            raise UsageError("A split has a name such as `validation`.", code="bad_split")
        if not 0 <= share <= 1:
            raise UsageError("The share of a split is from 0 to 1.", code="bad_split")
    # All of it may be put aside: a dataset to evaluate on has no records to train on.
    if sum(splits.values()) > 1:
        raise UsageError("The splits' shares add up to more than all records.", code="bad_split")
    return _Request(name, dict(splits), dedupe == "exact", redact == "mask", seed)


def _check_room(folder: Path, needed: int) -> None:
    # Sealed rows take less than their source, unless that is incompressible.
    free = shutil.disk_usage(folder).free
    if free < needed + _SPARE_DISK:
        raise DoesNotFit(
            f"The import may need {size(needed + _SPARE_DISK)} of disk, "
            f"{size(free)} are free. Nothing was kept.",
            hint="Free some space, or choose another home.",
            code="disk_full",
        )


def sweep_unfinished(vault: Vault) -> list[str]:
    """Remove what killed imports left: staged files, unlisted datasets, and their keys.

    Call it only while holding the import lock.

    Returns:
        Names of the files and ids of the keys that went.
    """
    folder = vault.datasets_folder
    durable.make_private_folder(folder)
    gone = durable.sweep_stages(folder)
    listed = {entry.object_id for entry in vault.catalogue.entries("dataset")}
    orphans = {key for key in vault.key_ids() if key.startswith("ds-")} - listed
    files = {path.stem for path in folder.glob("ds-*.duckdb")} - listed
    for object_id in sorted(orphans | files):
        _undo(vault, object_id)
        gone.append(object_id)
    return gone


def _undo(vault: Vault, object_id: str) -> None:
    vault.shred(object_id)
    (vault.datasets_folder / f"{object_id}.duckdb").unlink(missing_ok=True)
    vault.catalogue.remove(object_id)


def _import(
    vault: Vault,
    request: _Request,
    opened: Sequence[Opened],
    layouts: Sequence[Layout],
    began: float,
    progress: Progress | None,
) -> ImportReport:
    object_id = new_id("ds")
    path = vault.datasets_folder / f"{object_id}.duckdb"
    key = vault.new_key(object_id)
    kind = layouts[0].kind
    try:
        with durable.staged_file(path) as stage, _disk_errors():
            writer = DatasetWriter(stage, key)
            try:
                done = _read_all(writer, request, opened, layouts, progress)
                meta = _meta(request, opened, layouts, done)
                root = writer.finish(meta)
            finally:
                writer.close()
            digest = file_digest(stage)
        record: dict[str, JSON] = {
            "kind": kind,
            "rows": sum(done.rows.values()),
            "splits": done.rows,
            "root": root,
            "file_sha256": digest,
            "tokens": {},
        }
        vault.catalogue.put("dataset", object_id, request.name, record)
    except BaseException:
        with contextlib.suppress(VaultError, OSError):  # the first error is the one to tell
            _undo(vault, object_id)
        raise
    noted: dict[str, JSON] = {
        "dataset": object_id,
        "name": request.name,
        "rows": sum(done.rows.values()),
        "rejected": done.rejects.total,
        "root": root,
    }
    vault.audit.append("dataset_imported", noted)
    return ImportReport(
        dataset=request.name,
        object_id=object_id,
        kind=kind,
        rows=sum(done.rows.values()),
        rejected=done.rejects.total,
        rejects=done.rejects.listed([item.source.path.name for item in opened]),
        rejected_by_code=dict(done.rejects.by_code),
        duplicates=done.duplicates,
        splits=dict(done.rows),
        sensitive=dict(done.sensitive),
        seconds=time.monotonic() - began,
        columns=layouts[0].columns,
        root=root,
        bytes=path.stat().st_size,
        doubtful_headers=[item.source.path.name for item in opened if item.doubtful],
    )


@contextlib.contextmanager
def _disk_errors() -> Iterator[None]:
    """Tell a full disk as such; DuckDB's own texts may quote what it was writing."""
    import duckdb

    try:
        yield
    except (duckdb.IOException, duckdb.FatalException, OSError):
        raise DoesNotFit(
            "The dataset could not be written. Nothing was kept.",
            hint="Check the disk's space and health.",
            code="disk_write",
        ) from None


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read_all(
    writer: DatasetWriter,
    request: _Request,
    opened: Sequence[Opened],
    layouts: Sequence[Layout],
    progress: Progress | None,
) -> Assembler:
    """Run all blocks through the pipeline; memory is bounded by the blocks in flight."""
    total = sum(item.source.size for item in opened)
    threads = max(2, min(8, os.cpu_count() or 2))
    fingerprinter = Fingerprinter(layouts[0].kind)
    with contextlib.closing(fingerprinter), ThreadPoolExecutor(threads) as pool:
        assembler = Assembler(
            layouts[0].kind,
            writer,
            pool,
            splits=request.splits,
            seed=request.seed,
            dedupe=request.dedupe,
        )
        flight: deque[tuple[int, Future[Prepared]]] = deque()
        for file, item in enumerate(opened):
            for block in item.blocks():
                task = pool.submit(
                    prepare_block,
                    block,
                    item,
                    layouts[file],
                    file,
                    fingerprinter,
                    masked=request.masked,
                )
                flight.append((file, task))
                if len(flight) > threads:
                    _land(assembler, flight)
                    if progress is not None:
                        progress(sum(each.source.done for each in opened), total, "import")
        while flight:
            _land(assembler, flight)
        assembler.finish()
    if not any(assembler.rows.values()):
        _refuse_empty(assembler)
    return assembler


def _land(assembler: Assembler, flight: deque[tuple[int, Future[Prepared]]]) -> None:
    file, task = flight.popleft()
    assembler.add(file, task.result())


def _refuse_empty(assembler: Assembler) -> None:
    counts = ", ".join(
        f"{code} {count}" for code, count in assembler.rejects.by_code.most_common(5)
    )
    raise BadInput(
        f"None of the {assembler.records} records could be taken. Nothing was kept.",
        hint=f"Refused: {counts}." if counts else "The files hold no records.",
        code="no_rows",
    )


def _meta(
    request: _Request, opened: Sequence[Opened], layouts: Sequence[Layout], done: Assembler
) -> dict[str, Any]:
    return {
        "version": 1,
        "kind": layouts[0].kind,
        "columns": layouts[0].columns,
        "splits": done.rows,
        "shares": request.splits,
        "seed": request.seed,
        "dedupe": "exact" if request.dedupe else "off",
        "redact": "mask" if request.masked else "none",
        "records": done.records,
        "duplicates": done.duplicates,
        "rejected": dict(done.rejects.by_code),
        "rejects_listed": min(done.rejects.total, LISTED),
        "sensitive": dict(done.sensitive),
        "created": time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime()),
        "sources": [
            {
                "name": item.source.facts().name,
                "sha256": item.source.facts().sha256,
                "bytes": item.source.facts().bytes,
                "columns": layout.columns,
            }
            for item, layout in zip(opened, layouts, strict=True)
        ],
    }
