"""Reading a user's file: whole lines in blocks, hashed on the way, refused if it changes."""

from __future__ import annotations

import codecs
import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from workbench.errors import BadInput

BLOCK_BYTES = 4 << 20
RECORD_BYTES = 32 << 20  # longest record that is read


@dataclass(frozen=True)
class SourceFacts:
    """What the manifest notes of a file that was imported."""

    name: str
    sha256: str
    bytes: int


@dataclass
class Source:
    """One file of an import.

    Attributes:
        path: Where it is.
        size: Its bytes when it was looked at first; it may not change afterwards.
        done: Bytes read so far.
    """

    path: Path
    size: int = 0
    done: int = 0
    _seen: tuple[int, ...] = ()
    _digest: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        try:
            facts = self.path.stat()
        except OSError:
            raise BadInput(
                f"There is no readable file {self.path.name}.",
                hint="Check its name, and whether you may read it.",
                code="no_such_file",
            ) from None
        if not stat.S_ISREG(facts.st_mode):
            raise BadInput(
                f"{self.path.name} is not a regular file.",
                hint="Name the files themselves; folders, pipes and devices are not read.",
                code="not_a_file",
            )
        self._seen = _identity(facts)
        self.size = facts.st_size

    def blocks(self, size: int = BLOCK_BYTES) -> Iterator[bytes]:
        """Yield the file's bytes without its byte order mark; hash them and watch for changes.

        Raises:
            BadInput: The file cannot be read, is UTF-16 or UTF-32, or changed meanwhile.
        """
        digest = hashlib.sha256()
        self.done = 0
        try:
            with self.path.open("rb", buffering=0) as file:
                first = True
                size = max(size, len(codecs.BOM_UTF32_LE))
                while block := _read_full(file, size):
                    digest.update(block)
                    self.done += len(block)
                    yield _without_mark(block, self.path.name) if first else block
                    first = False
                changed = _identity(os.fstat(file.fileno())) != self._seen
            changed = changed or _identity(self.path.stat()) != self._seen
        except OSError:
            raise BadInput(f"{self.path.name} cannot be read.", code="unreadable") from None
        if changed:
            raise BadInput(
                f"{self.path.name} changed while it was read. Nothing was kept.",
                hint="Import it again when no other program writes to it.",
                code="source_changed",
            )
        self._digest = digest.hexdigest()

    def facts(self) -> SourceFacts:
        """Return name, hash and size; `blocks` has been read to its end before."""
        return SourceFacts(self.path.name, self._digest, self.size)

    def head(self, size: int) -> bytes:
        """Return the first `size` bytes without a byte order mark, to look at."""
        try:
            with self.path.open("rb") as file:
                return _without_mark(file.read(size), self.path.name)
        except OSError:
            raise BadInput(f"{self.path.name} cannot be read.", code="unreadable") from None


def _identity(facts: os.stat_result) -> tuple[int, ...]:
    return (facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns)


def _read_full(file: BinaryIO, size: int) -> bytes:
    """Read `size` bytes unless the file ends; an unbuffered read may return fewer."""
    parts: list[bytes] = []
    while size > 0 and (part := file.read(size)):
        parts.append(part)
        size -= len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _without_mark(block: bytes, name: str) -> bytes:
    if block.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise BadInput(
            f"{name} is UTF-16 or UTF-32 text.", hint="Save it as UTF-8.", code="bad_encoding"
        )
    return block.removeprefix(codecs.BOM_UTF8)
