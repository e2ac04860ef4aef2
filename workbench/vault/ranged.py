"""Any part of a sealed file's plaintext, with one chunk in memory instead of the file.

Like `workbench.vault.sealed`, this is what the engine imports.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from itertools import accumulate

from workbench.vault.sealed import OVERHEAD, SealedFile


class SealedBytes:
    """The plaintext of a sealed file. Every chunk is verified each time that it is read.

    The chunk that was read last is held, so that small neighbouring parts cost one decryption.
    Use one object from one thread.
    """

    def __init__(self, file: SealedFile) -> None:
        self._file = file
        sizes = file.opener.sizes
        plain = [size - OVERHEAD for size in sizes]
        self._starts = [0, *accumulate(plain)][: len(plain)]
        self._places = [0, *accumulate(sizes)][: len(sizes)]
        self._held: tuple[int, bytes] = (-1, b"")
        self.size = sum(plain)

    def parts(self) -> Iterator[bytes]:
        """Yield the plaintext in order, a chunk at a time.

        Raises:
            VaultDamaged: A chunk does not verify.
        """
        return self._file.chunks()

    def read(self, start: int, stop: int) -> bytearray:
        """Return the bytes from `start` up to `stop`.

        Raises:
            ValueError: They are not within the plaintext.
            VaultDamaged: A chunk does not verify, or the file has gone.
        """
        if not 0 <= start <= stop <= self.size:
            raise ValueError(f"bytes {start} to {stop} of {self.size}")
        found = bytearray(stop - start)
        number = bisect_right(self._starts, start) - 1
        at = start
        while at < stop:
            chunk = self._chunk(number)
            begin = at - self._starts[number]
            piece = memoryview(chunk)[begin : begin + stop - at]
            found[at - start : at - start + len(piece)] = piece
            at += len(piece)
            number += 1
        return found

    def _chunk(self, number: int) -> bytes:
        if self._held[0] != number:
            self._held = (-1, b"")  # never two chunks at a time
            self._held = (number, self._file.chunk(number, self._places[number]))
        return self._held[1]

    def verify(self) -> None:
        """Read every chunk once.

        Raises:
            VaultDamaged: One does not verify.
        """
        for _ in self.parts():
            pass
