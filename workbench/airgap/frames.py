"""Compressed data wherever it stands: finding it, measuring it, unpacking it.

A torn or overwritten frame gives up what stands before the damage. Formats: RFC 1950 and 1952
(zlib, gzip), RFC 8878 (zstd), the LZ4 frame format.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator

_GZIP = b"\x1f\x8b\x08"
_ZSTD = b"\x28\xb5\x2f\xfd"
_LZ4 = b"\x04\x22\x4d\x18"
# The usual first bytes of a zlib stream: 32 KiB window, the four levels of effort.
_ZLIB = (b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda")
_FRAME = re.compile(b"|".join(re.escape(magic) for magic in (_GZIP, _ZSTD, _LZ4, *_ZLIB)))

_LARGEST = 256 << 20  # bytes unpacked, so that a hostile frame cannot fill the memory
_PIECE = 1 << 20
# Arrow drops a whole read when it meets damage: read little at a time to keep what came before.
_ARROW_PIECE = 1 << 12


def unpacked_frames(data: bytes) -> Iterator[tuple[str, int, bytes]]:
    """Yield (format, offset, unpacked bytes) of every frame in `data`, torn ones included."""
    for match in _FRAME.finditer(data):
        start, magic = match.start(), match.group()
        if magic == _ZSTD:
            kind, unpacked = "zstd", _arrow_unpack(data, start, _zstd_end(data, start), "zstd")
        elif magic == _LZ4:
            kind, unpacked = "lz4", _arrow_unpack(data, start, _lz4_end(data, start), "lz4")
        elif magic == _GZIP:
            kind, unpacked = "gzip", _inflate(data, start, 31)
        else:
            kind, unpacked = "zlib", _inflate(data, start, 15)
        if unpacked:
            yield kind, start, unpacked


def _inflate(data: bytes, start: int, window_bits: int) -> bytes:
    unpacker = zlib.decompressobj(window_bits)
    view = memoryview(data)
    pieces: list[bytes] = []
    size, place = 0, start
    step = 1 << 9  # most beginnings are none, and a short look tells
    try:
        while place < len(data) and not unpacker.eof and size < _LARGEST:
            pieces.append(unpacker.decompress(view[place : place + step], _LARGEST - size))
            size += len(pieces[-1])
            place += step
            step = min(2 * step, _PIECE)
    except zlib.error:
        pass  # not a stream after all, or torn here
    return b"".join(pieces)


def _number(data: bytes, start: int, size: int) -> int:
    return int.from_bytes(data[start : start + size], "little")


def _zstd_end(data: bytes, start: int) -> int:
    """Return where the frame ends, or where the data does."""
    descriptor = _number(data, start + 4, 1)
    single = descriptor & 0x20
    size_bytes = (1 if single else 0, 2, 4, 8)[descriptor >> 6]
    place = start + 5 + (not single) + (0, 1, 2, 4)[descriptor & 3] + size_bytes
    last = False
    while not last and place < len(data):
        header = _number(data, place, 3)
        last = bool(header & 1)
        repeated = (header >> 1) & 3 == 1  # one byte stands for all
        place += 3 + (1 if repeated else header >> 3)
    return min(place + (4 if descriptor & 4 else 0), len(data))


def _lz4_end(data: bytes, start: int) -> int:
    """Return where the frame ends, or where the data does."""
    flags = _number(data, start + 4, 1)
    place = start + 7 + (8 if flags & 8 else 0) + (4 if flags & 1 else 0)
    while place < len(data):
        size = _number(data, place, 4) & 0x7FFFFFFF
        place += 4
        if size == 0:
            break
        place += size + (4 if flags & 16 else 0)
    return min(place + (4 if flags & 4 else 0), len(data))


def _arrow_unpack(data: bytes, start: int, end: int, codec: str) -> bytes:
    import pyarrow as pa  # only where a scan meets such a frame: front doors never do

    pieces: list[bytes] = []
    size = 0
    try:
        reader = pa.BufferReader(memoryview(data)[start:end])
        with pa.CompressedInputStream(reader, codec) as stream:
            while size < _LARGEST and (piece := stream.read(_ARROW_PIECE)):
                pieces.append(piece)
                size += len(piece)
    except (OSError, pa.ArrowException):
        pass  # not a frame after all, or torn here
    return b"".join(pieces)
