"""Following a file of lines that another process appends to."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from workbench.errors import NotFound

_CHUNK = 64 * 1024
_LONGEST_LINE = 1024 * 1024


class LineTail:
    """Follows a growing file of lines by byte offset, in bounded memory.

    A last line without its line feed waits for the rest; a line beyond 1 MiB is dropped.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self._rest = b""
        self._skipping = False

    def lines(self) -> Iterator[bytes]:
        """Yield the complete lines that arrived since the last call.

        A file that does not exist yet holds no line.

        Raises:
            NotFound: code `run_gone`: the file or its folder vanished or shrank while followed.
        """
        try:
            descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            if self._offset or not self._path.parent.exists():
                raise self._gone() from None
            return
        with os.fdopen(descriptor, "rb", buffering=0) as file:
            if os.fstat(descriptor).st_size < self._offset:
                raise self._gone()
            file.seek(self._offset)
            while chunk := file.read(_CHUNK):
                self._offset += len(chunk)
                yield from self._complete(chunk)

    def _complete(self, chunk: bytes) -> Iterator[bytes]:
        *whole, rest = (self._rest + chunk).split(b"\n")
        for line in whole:
            if not self._skipping:
                yield line
            self._skipping = False
        if len(rest) > _LONGEST_LINE:
            self._skipping, rest = True, b""
        self._rest = rest

    def _gone(self) -> NotFound:
        return NotFound(
            "The run's folder was removed or replaced while it was followed.",
            hint="`workbench run list` shows the runs that are there.",
            code="run_gone",
        )
