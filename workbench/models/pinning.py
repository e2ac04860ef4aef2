"""Copying files while hashing them, and the one hash that stands for a whole model."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from workbench import durable
from workbench.errors import BadInput, DoesNotFit

Progress = Callable[[int, int, str], None]

_PIECE = 4 << 20
_SPARE = 64 << 20


@dataclass(frozen=True)
class Pin:
    """The bytes that a file must have: their SHA-256 (hex) and their number."""

    sha256: str
    bytes: int


class Meter:
    """Adds up the bytes of several files for one progress report."""

    def __init__(self, total: int, phase: str, progress: Progress | None) -> None:
        self._done = 0
        self._total = total
        self._phase = phase
        self._progress = progress

    def add(self, count: int) -> None:
        self._done += count
        if self._progress is not None:
            self._progress(self._done, self._total, self._phase)


def pin_file(path: Path, meter: Meter, *, copy_to: Path | None = None) -> Pin:
    """Hash a file, and copy the very bytes that were hashed when `copy_to` is given.

    Raises:
        BadInput: The file cannot be read.
        DoesNotFit: The disk is full.
    """
    digest = hashlib.sha256()
    size = 0
    try:
        with path.open("rb", buffering=0) as source:
            target = None if copy_to is None else _create(copy_to)
            try:
                while piece := source.read(_PIECE):
                    digest.update(piece)
                    if target is not None:
                        _write_all(target, piece)
                    size += len(piece)
                    meter.add(len(piece))
            finally:
                if target is not None:
                    os.close(target)
    except OSError as error:
        raise BadInput(
            f"{path.name} cannot be read ({error.strerror}).", code="unreadable_file"
        ) from error
    return Pin(digest.hexdigest(), size)


def overall_sha256(pins: Mapping[str, Pin]) -> str:
    """SHA-256 over the lines that `sha256sum` would print for the files, sorted by name."""
    lines = "".join(f"{pins[name].sha256}  {name}\n" for name in sorted(pins))
    return hashlib.sha256(lines.encode()).hexdigest()


def require_room(folder: Path, sizes: Iterable[int]) -> None:
    """Check that the disk has room for files of these sizes.

    Raises:
        DoesNotFit: It has not (code `disk_full`).
    """
    needed = sum(sizes) + _SPARE
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise DoesNotFit(
            f"The model needs {needed / 1e9:.2f} GB on the disk of the vault; "
            f"{free / 1e9:.2f} GB are free.",
            hint="Free some space, or register the model with its weights referenced in place.",
            code="disk_full",
        )


def _create(path: Path) -> int:
    return durable.open_private(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)


def _write_all(descriptor: int, piece: bytes) -> None:
    view = memoryview(piece)
    try:
        while view:
            view = view[os.write(descriptor, view) :]
    except OSError as error:
        raise DoesNotFit(
            f"Writing to the vault's disk failed ({error.strerror}); nothing was kept.",
            hint="Free some space and try again.",
            code="disk_full",
        ) from error
