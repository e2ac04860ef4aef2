"""Tensors as the bytes of a safetensors file, one tensor in memory at a time.

The layout is that of safetensors: the header's length (8 bytes, little-endian), a JSON header
padded with spaces to a multiple of 8, then the tensors back to back.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

_DTYPES = {
    torch.float32: "F32",
    torch.bfloat16: "BF16",
    torch.float16: "F16",
    torch.uint8: "U8",
    torch.int64: "I64",
}
PART_BYTES = 16 * 1024 * 1024


def tensor_bytes(tensors: Mapping[str, Tensor]) -> int:
    """Return what the tensors take, the header left out."""
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())


def stream_tensors(
    tensors: Mapping[str, Tensor], dtype: torch.dtype | None = None
) -> Iterator[bytes]:
    """Yield the file in parts of at most 16 MiB; equal tensors give equal bytes.

    Args:
        dtype: Convert floating-point tensors to it.
    """

    # Widest elements first keeps every tensor aligned; names settle the rest.
    def kind(tensor: Tensor) -> torch.dtype:
        return dtype if dtype is not None and tensor.is_floating_point() else tensor.dtype

    order = sorted(tensors, key=lambda name: (-kind(tensors[name]).itemsize, name))
    header, offset = {}, 0
    for name in order:
        tensor = tensors[name]
        end = offset + tensor.numel() * kind(tensor).itemsize
        header[name] = {
            "dtype": _DTYPES[kind(tensor)],
            "shape": list(tensor.shape),
            "data_offsets": [offset, end],
        }
        offset = end
    body = json.dumps(header, separators=(",", ":")).encode()
    body += b" " * (-len(body) % 8)
    pending = bytearray(struct.pack("<Q", len(body)) + body)
    for name in order:
        flat = tensors[name].detach().to("cpu", kind(tensors[name])).contiguous().reshape(-1)
        view = memoryview(flat.view(torch.uint8).numpy().data)
        for start in range(0, len(view), PART_BYTES):
            pending += view[start : start + PART_BYTES]
            while len(pending) >= PART_BYTES:
                yield bytes(pending[:PART_BYTES])
                del pending[:PART_BYTES]
    yield bytes(pending)
