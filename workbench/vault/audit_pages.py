"""The audit log from its newest entry back, a page at a time.

Where each line begins is remembered, so a page opens its own lines only, however long the log is.
"""

from __future__ import annotations

from array import array
from typing import BinaryIO

from workbench.errors import VaultDamaged
from workbench.vault.audit import AuditLog
from workbench.vault.audit_chain import AuditEntry

_CHUNK = 1 << 20


class AuditPages:
    """Reads one log; not for several threads at once."""

    def __init__(self, log: AuditLog) -> None:
        self._log = log
        self._starts = array("q", [0])  # of every whole line, and of what follows the last

    @property
    def total(self) -> int:
        """How many whole lines the latest `refresh` saw."""
        return len(self._starts) - 1

    def refresh(self) -> int:
        """Look for entries that were appended since; return how many there are."""
        at = self._starts[-1]
        try:
            source = self._log.path.open("rb")
        except FileNotFoundError:
            return self.total
        with source:
            source.seek(at)
            while chunk := source.read(_CHUNK):
                place = chunk.find(b"\n")
                while place >= 0:
                    self._starts.append(at + place + 1)
                    place = chunk.find(b"\n", place + 1)
                at += len(chunk)
        return self.total

    def page(self, first: int, count: int) -> list[AuditEntry | None]:
        """Return up to `count` entries, newest first; None stands for a line that does not open.

        Args:
            first: How many of the newest to pass over.
        """
        newest = self.total - first
        numbers = range(newest - 1, max(newest - count, 0) - 1, -1)
        if not numbers:
            return []
        with self._log.path.open("rb") as source:
            return [self._open(source, number) for number in numbers]

    def _open(self, source: BinaryIO, number: int) -> AuditEntry | None:
        start, end = self._starts[number], self._starts[number + 1]
        source.seek(start)
        try:
            return self._log.open_line(source.read(end - start - 1))
        except (VaultDamaged, ValueError):  # ValueError: sealed, but not JSON of ours
            return None
