"""The headers of safetensors files, read strictly and without touching a weight.

Format: eight bytes of little-endian length, a JSON header of that length, then the data that the
header's offsets divide without gap or overlap (https://github.com/huggingface/safetensors).
The library itself takes any tensor name, `../../x` included, and flipped data bytes without a
word; names are checked here and the bytes are pinned by SHA-256 at registration.
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from workbench.errors import BadInput, Refused
from workbench.models.facts import ModelFacts, tensor_shapes
from workbench.models.reading import parse_object

# A shard of the largest open models lists some thousand tensors in well under 1 MiB.
HEADER_LIMIT = 16 << 20
_DIMENSIONS = 8
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]{0,255}")

# Bits of one element.
_BITS = {
    "BOOL": 8,
    "U8": 8,
    "I8": 8,
    "F8_E4M3": 8,
    "F8_E5M2": 8,
    "F8_E8M0": 8,
    "F4": 4,
    "U16": 16,
    "I16": 16,
    "F16": 16,
    "BF16": 16,
    "U32": 32,
    "I32": 32,
    "F32": 32,
    "U64": 64,
    "I64": 64,
    "F64": 64,
}
_WEIGHT_TYPES = {"F16", "BF16", "F32"}


@dataclass(frozen=True)
class TensorEntry:
    """What a header says of one tensor; `bytes` is its size in the file."""

    dtype: str
    shape: tuple[int, ...]
    bytes: int


def read_header(path: Path) -> dict[str, TensorEntry]:
    """Return the tensors that a safetensors file declares.

    Raises:
        BadInput: The file is no whole safetensors file (code `broken_safetensors`).
        Refused: A tensor's name has path parts (code `unsafe_tensor_name`).
    """
    size, length, text = _raw_header(path)
    if len(text) < length or not text.startswith(b"{"):
        _broken(path, "the header is cut short or no header")
    try:
        listed = parse_object(text.decode("utf-8"), path.name)
    except (UnicodeDecodeError, BadInput):
        _broken(path, "the header is no strict JSON")
    _check_metadata(path, listed.pop("__metadata__", {}))
    entries: dict[str, TensorEntry] = {}
    places: list[tuple[int, int]] = []
    for name, item in listed.items():
        if _NAME.fullmatch(name) is None or ".." in name:
            raise Refused(
                f"{path.name} holds a tensor whose name is no plain name.",
                hint="Such names can be used to write outside a folder; do not use this model.",
                code="unsafe_tensor_name",
            )
        entry, place = _entry(path, item)
        entries[name] = entry
        places.append(place)
    _check_places(path, places, size - 8 - length)
    return entries


def _raw_header(path: Path) -> tuple[int, int, bytes]:
    """Return the file's size, the header's length as declared, and what there is of it."""
    try:
        with path.open("rb") as source:
            size = os.fstat(source.fileno()).st_size
            start = source.read(8)
            if len(start) < 8:
                _broken(path, "the file is cut short")
            length = struct.unpack("<Q", start)[0]
            if length > HEADER_LIMIT:
                _broken(path, "its header is impossibly large")
            return size, length, source.read(length)
    except OSError as error:
        raise BadInput(
            f"{path.name} cannot be read ({error.strerror}).", code="unreadable_file"
        ) from error


def check_tensors(facts: ModelFacts, tensors: Mapping[str, TensorEntry]) -> None:
    """Hold the tensors of all shards against what the config asks for.

    Raises:
        BadInput: `already_quantised`, `tensors_missing`, `tensors_unexpected` or `bad_shape`.
    """
    packed = sorted(name for name, entry in tensors.items() if entry.dtype not in _WEIGHT_TYPES)
    if packed:
        raise already_quantised(f"{packed[0]} is stored as {tensors[packed[0]].dtype}")
    wanted = tensor_shapes(facts)
    missing = [name for name in wanted if name not in tensors]
    if missing:
        raise BadInput(
            f"The weights lack {len(missing)} of {len(wanted)} tensors, the first is {missing[0]}.",
            hint="Copy the whole model again: its weights and config.json belong together.",
            code="tensors_missing",
        )
    for name, shape in wanted.items():
        if tensors[name].shape != shape:
            raise BadInput(
                f"{name} has the shape {list(tensors[name].shape)}; config.json asks for "
                f"{list(shape)}.",
                hint="Copy the whole model again: its weights and config.json belong together.",
                code="bad_shape",
            )
    extra = sorted(name for name in tensors if name not in wanted and not _tolerated(name, facts))
    if extra:
        raise BadInput(
            f"The weights hold {len(extra)} tensors that a {facts.family} model does not have, "
            f"the first is {extra[0]}.",
            hint="The model would run without them and answer otherwise than it was made to.",
            code="tensors_unexpected",
        )


def already_quantised(reason: str) -> BadInput:
    """The refusal of weights that somebody quantised before."""
    return BadInput(
        f"The weights are quantised already ({reason}).",
        hint="Register the original 16-bit model; training quantises it itself and an export "
        "can quantise the result.",
        code="already_quantised",
    )


def _tolerated(name: str, facts: ModelFacts) -> bool:
    """Old Llama files carry computed constants; tied ones sometimes a second copy of the table."""
    return name.endswith(".rotary_emb.inv_freq") or (facts.tied and name == "lm_head.weight")


def _entry(path: Path, item: object) -> tuple[TensorEntry, tuple[int, int]]:
    if not isinstance(item, dict) or set(item) != {"dtype", "shape", "data_offsets"}:
        _broken(path, "a tensor is described wrongly")
    dtype, shape, place = item["dtype"], item["shape"], item["data_offsets"]
    if not isinstance(dtype, str) or dtype not in _BITS:
        _broken(path, "a tensor has an unknown type")
    if not _counts(shape) or len(shape) > _DIMENSIONS or not _counts(place) or len(place) != 2:
        _broken(path, "a tensor is described wrongly")
    bits = _BITS[dtype]
    for side in shape:
        bits *= side
        if bits > 1 << 63:
            _broken(path, "a tensor is impossibly large")
    if place[1] - place[0] != bits // 8 or bits % 8:
        _broken(path, "a tensor's size does not match its place")
    return TensorEntry(dtype, tuple(shape), bits // 8), (place[0], place[1])


def _counts(value: object) -> bool:
    return isinstance(value, list) and all(type(n) is int and 0 <= n < 1 << 48 for n in value)


def _check_metadata(path: Path, value: object) -> None:
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        _broken(path, "its metadata is no table of texts")


def _check_places(path: Path, places: list[tuple[int, int]], size: int) -> None:
    end = 0
    for first, last in sorted(places):
        if first != end:
            _broken(path, "the tensors overlap or leave gaps")
        end = last
    if end > size:
        _broken(path, "the file is cut short")
    if end < size:
        _broken(path, "bytes follow after the last tensor")


def _broken(path: Path, reason: str) -> NoReturn:
    raise BadInput(
        f"{path.name} is broken: {reason}.",
        hint="Copy the file again and compare its SHA-256 with the publisher's.",
        code="broken_safetensors",
    )
