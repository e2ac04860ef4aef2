"""Tensors as the bytes of a safetensors file and back, one tensor in memory at a time.

The layout is that of safetensors: the header's length (8 bytes, little-endian), a JSON header
padded with spaces to a multiple of 8, then the tensors back to back.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from workbench.errors import VaultDamaged
from workbench.vault.ranged import SealedBytes

_DTYPES = {
    torch.float32: "F32",
    torch.bfloat16: "BF16",
    torch.float16: "F16",
    torch.uint8: "U8",
    torch.int64: "I64",
}
_KINDS = {name: dtype for dtype, name in _DTYPES.items()}
PART_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True)
class _Entry:
    dtype: torch.dtype
    shape: tuple[int, ...]
    start: int
    stop: int


class TensorFile(Mapping[str, Tensor]):
    """The tensors of a safetensors file by name, each read anew whenever it is asked for.

    Iterating goes by the order in the file, which reads every chunk of it once.
    """

    def __init__(self, data: SealedBytes | bytes) -> None:
        """Read the header.

        Raises:
            VaultDamaged: There is none, or a chunk does not verify.
        """
        self._data = data
        try:
            length = int(struct.unpack("<Q", self._read(0, 8))[0])
            header = json.loads(self._read(8, 8 + length))
            header.pop("__metadata__", None)
            entries = {name: _entry(8 + length, fields) for name, fields in header.items()}
        except (ValueError, KeyError, TypeError, AttributeError, struct.error):
            raise VaultDamaged("Stored weights are not in the form they were written in.") from None
        self._entries = dict(sorted(entries.items(), key=lambda item: item[1].start))

    def __getitem__(self, name: str) -> Tensor:
        """Read one tensor onto the CPU.

        Raises:
            VaultDamaged: A chunk does not verify.
        """
        entry = self._entries[name]
        if entry.start == entry.stop:
            return torch.empty(entry.shape, dtype=entry.dtype)
        body = self._read(entry.start, entry.stop)
        return torch.frombuffer(body, dtype=entry.dtype).reshape(entry.shape)

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def under(self, prefix: str) -> TensorFile:
        """Return those whose name begins with `prefix`, under the rest of their names."""
        part = object.__new__(TensorFile)
        part._data = self._data
        part._entries = {
            name.removeprefix(prefix): entry
            for name, entry in self._entries.items()
            if name.startswith(prefix)
        }
        return part

    def outlines(self) -> dict[str, Tensor]:
        """Return tensors without content: see `outlines`."""
        return {
            name: torch.empty(entry.shape, dtype=entry.dtype, device="meta")
            for name, entry in self._entries.items()
        }

    def _read(self, start: int, stop: int) -> bytearray:
        if isinstance(self._data, bytes):
            return bytearray(self._data[start:stop])
        return self._data.read(start, stop)


def _entry(base: int, fields: Mapping[str, Any]) -> _Entry:
    start, stop = fields["data_offsets"]
    return _Entry(_KINDS[fields["dtype"]], tuple(fields["shape"]), base + start, base + stop)


def outlines(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return each tensor's dtype and shape as a tensor without content; nothing is read."""
    if isinstance(tensors, TensorFile):
        return tensors.outlines()
    return {name: torch.empty_like(tensor, device="meta") for name, tensor in tensors.items()}


def tensor_bytes(tensors: Mapping[str, Tensor]) -> int:
    """Return what the tensors take, the header left out."""
    return sum(each.numel() * each.element_size() for each in outlines(tensors).values())


def stream_tensors(
    tensors: Mapping[str, Tensor], dtype: torch.dtype | None = None
) -> Iterator[bytes]:
    """Yield the file in parts of at most 16 MiB; equal tensors give equal bytes.

    Args:
        dtype: Convert floating-point tensors to it.
    """

    def kind(tensor: Tensor) -> torch.dtype:
        return dtype if dtype is not None and tensor.is_floating_point() else tensor.dtype

    drawn = outlines(tensors)
    kinds = {name: kind(outline) for name, outline in drawn.items()}
    # Widest elements first keeps every tensor aligned; names settle the rest.
    order = sorted(drawn, key=lambda name: (-kinds[name].itemsize, name))
    header, offset = {}, 0
    for name in order:
        end = offset + drawn[name].numel() * kinds[name].itemsize
        header[name] = {
            "dtype": _DTYPES[kinds[name]],
            "shape": list(drawn[name].shape),
            "data_offsets": [offset, end],
        }
        offset = end
    body = json.dumps(header, separators=(",", ":")).encode()
    body += b" " * (-len(body) % 8)
    pending = bytearray(struct.pack("<Q", len(body)) + body)
    for name in order:
        flat = tensors[name].detach().to("cpu", kinds[name]).contiguous().reshape(-1)
        view = memoryview(flat.view(torch.uint8).numpy().data)
        for start in range(0, len(view), PART_BYTES):
            pending += view[start : start + PART_BYTES]
            while len(pending) >= PART_BYTES:
                yield bytes(pending[:PART_BYTES])
                del pending[:PART_BYTES]
    yield bytes(pending)
