"""The scrub: read everything that the vault seals and check every seal.

Covered: the header, the keyring, the audit log, the catalogue, and of each object its sealed
files and DuckDB files to the last chunk. Left to their own rooms: the models' pinned SHA-256 and
the clear protocol files of runs, which hold numbers only.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import duckdb

from workbench.errors import VaultDamaged
from workbench.vault import formats
from workbench.vault.audit import AuditLog
from workbench.vault.catalogue import Catalogue, Entry
from workbench.vault.checked import read_checked
from workbench.vault.custody import KEYRING_NAME, Custody
from workbench.vault.duck import open_database
from workbench.vault.home import HEADER_NAME
from workbench.vault.sealed import ChunkOpener, DataKey, is_sealed_file, open_blob, read_sealed

_SUFFIX = "*.sealed"


@dataclass
class VerifyReport:
    """What a scrub found.

    Attributes:
        objects: Files that were checked.
        bytes: Their sizes together.
        bad: Paths relative to the home that are missing or do not verify, sorted.
        leftovers: Files whose key was shredded: unreadable, harmless, free to be removed.
    """

    objects: int = 0
    bytes: int = 0
    bad: list[str] = field(default_factory=list)
    leftovers: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether nothing is bad."""
        return not self.bad


_Check = Callable[[], object]


def verify(
    home: Path,
    custody: Custody,
    catalogue: Catalogue,
    audit: AuditLog,
    progress: Callable[[int, int, str], None] | None = None,
) -> VerifyReport:
    """Check a whole vault; damage is reported, not raised.

    Args:
        home: The home folder.
        custody: The unlocked keys.
        catalogue: The catalogue, whose entries say which objects there must be.
        audit: The audit log.
        progress: Called with checks done, checks in all, and the path being checked.

    Raises:
        Busy: Another process held a part for too long.
    """
    report = VerifyReport()
    keys: dict[str, DataKey] = {}
    entries: list[Entry] = []
    core: list[tuple[Path, _Check]] = [
        (home / HEADER_NAME, custody.header),
        (home / KEYRING_NAME, lambda: keys.update(custody.data_keys())),
        (audit.path, lambda: _check_audit(audit)),
        (audit.head_path, lambda: read_checked(audit.head_path)),
        (catalogue.path, lambda: entries.extend(catalogue.entries())),
    ]
    for path, check in core:
        _run(report, home, path, check)
    if KEYRING_NAME in report.bad:
        return report  # without keys nothing can be said of the objects
    checks = list(_object_checks(home, keys, entries, report))
    for done, (path, check) in enumerate(checks):
        if progress:
            progress(done, len(checks), str(path.relative_to(home)))
        _run(report, home, path, check)
    if progress:
        progress(len(checks), len(checks), "")
    if report.bad:
        # What another front door, or the end of a job, removed meanwhile is no damage.
        gone = keys.keys() - custody.data_keys().keys()
        report.bad = sorted({name for name in report.bad if _object_of(name) not in gone})
    return report


def _object_of(name: str) -> str:
    """Return the id of the object that a path below the home belongs to; "" for the core's."""
    parts = Path(name).parts
    return parts[1].removesuffix(".duckdb") if len(parts) > 1 else ""


def _run(report: VerifyReport, home: Path, path: Path, check: _Check) -> None:
    name = str(path.relative_to(home))
    report.objects += 1
    try:
        report.bytes += path.stat().st_size
        check()
    except FileNotFoundError:
        # A running job replaces its checkpoints and samples; whatever else is gone is missed.
        if not formats.BY_FOLDER.keys() & set(path.relative_to(home).parts):
            report.bad.append(name)
    except (VaultDamaged, OSError, duckdb.Error, ValueError, KeyError):
        # ValueError, KeyError: sealed JSON of a shape that no version of ours wrote.
        report.bad.append(name)


def _check_audit(audit: AuditLog) -> None:
    if not audit.verify().ok:
        raise VaultDamaged("The audit log does not verify.")


def _object_checks(
    home: Path, keys: dict[str, DataKey], entries: list[Entry], report: VerifyReport
) -> Iterator[tuple[Path, _Check]]:
    expected = {path for entry in entries for path in _main_paths(home, entry)}
    records = {entry.object_id: entry.record for entry in entries}
    found: set[Path] = set()
    for path, object_id in _sealed_paths(home):
        found.add(path)
        key = keys.get(object_id)
        if key is None:
            report.leftovers.append(str(path.relative_to(home)))
        elif path.suffix == ".duckdb":
            digest = str(records.get(object_id, {}).get("file_sha256", ""))
            yield path, partial(_check_dataset, path, key, digest)
        else:
            forms = _forms(path.relative_to(home).parts)
            yield path, partial(_check_sealed, path, key, forms)
    for path in sorted(expected - found):
        yield path, path.stat


def _main_paths(home: Path, entry: Entry) -> tuple[Path, ...]:
    """Return the paths without which the object of an entry is lost."""
    adapter = home / "adapters" / entry.object_id
    return {
        "dataset": (home / "datasets" / f"{entry.object_id}.duckdb",),
        "adapter": (adapter / "adapter.sealed", adapter / "manifest.sealed"),
        "model": (home / "models" / entry.object_id,),
        "run": (home / "runs" / entry.object_id / "spec.sealed",),
        "draft": (),  # all of it stands in the catalogue
    }[entry.kind]


def _sealed_paths(home: Path) -> Iterator[tuple[Path, str]]:
    for path in sorted((home / "datasets").glob("*.duckdb")):
        yield path, path.stem
    for folder in ("adapters", "runs"):
        for item in sorted((home / folder).glob("*-*")):
            for path in sorted(item.rglob(_SUFFIX)):
                if not any(part.startswith(".") for part in path.relative_to(home).parts):
                    yield path, item.name


def _check_dataset(path: Path, key: DataKey, digest: str) -> None:
    if digest:
        with path.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != digest:
                raise VaultDamaged("The file differs from what was published.")
    with contextlib.closing(open_database(path, read_only=True)) as connection:
        manifests = connection.execute("SELECT body FROM manifest").fetchall()
        if len(manifests) != 1:
            raise VaultDamaged("A dataset has one manifest.")
        opener = ChunkOpener(key, formats.DATASET, manifests[0][0])
        numbers = [n for (n,) in connection.execute("SELECT number FROM chunks").fetchall()]
        opener.check_complete(numbers)
        cursor = connection.execute("SELECT number, body FROM chunks")
        while row := cursor.fetchone():
            opener.open(*row)


def _forms(parts: tuple[str, ...]) -> tuple[str, ...]:
    """Return the formats that a sealed file may have, from its path below the home."""
    folders = (formats.BY_FOLDER.get(part) for part in parts[:-1])
    form = next(filter(None, folders), None) or formats.BY_FILE_NAME.get(parts[-1])
    return (form,) if form else formats.OF_OBJECTS


def _check_sealed(path: Path, key: DataKey, forms: tuple[str, ...]) -> None:
    for form in forms:
        try:
            _open_whole(path, key, form)
        except VaultDamaged:
            if form == forms[-1]:
                raise
        else:
            return


def _open_whole(path: Path, key: DataKey, form: str) -> None:
    if is_sealed_file(path):
        for _ in read_sealed(path, key, form).chunks():
            pass
    else:
        open_blob(key, form, path.read_bytes())
