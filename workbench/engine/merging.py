"""A merge that is faithful: the weights that the adapter was trained on, plus the adapter.

For a 4-bit base these are the dequantised weights of all its quantised layers, also of those
without an adapter, not the original 16-bit ones: merging into the originals adds NF4's own error
to every answer. Both are offered. Sums are taken in float32 and stored in bfloat16.

Memory stays flat: tensors are read from the base's files, changed and written one at a time.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import safetensors
import torch
from torch import Tensor

from workbench.adapters.storage import StoredAdapter
from workbench.engine import nf4
from workbench.engine.tensorfile import TensorFile
from workbench.errors import InternalError, Refused

_PREFIX = "base_model.model."
_BFLOAT16_BYTES = 2
_EMBEDDING, _HEAD = "model.embed_tokens.weight", "lm_head.weight"


@dataclass(frozen=True)
class LoraDelta:
    """What one adapted layer adds: A [rank, inputs], B [outputs, rank], DoRA's magnitudes."""

    down: Tensor
    up: Tensor
    scale: float
    magnitude: Tensor | None = None

    def merged_into(self, weight: Tensor) -> Tensor:
        """Return the float32 weight [outputs, inputs] that computes what layer and adapter did."""
        total: Tensor = weight.float() + self.scale * (self.up.float() @ self.down.float())
        if self.magnitude is None:
            return total
        # DoRA rescales each output row to a trained length (peft's `get_weight_norm`).
        factors: Tensor = self.magnitude.float().reshape(-1) / total.norm(dim=1)
        return total * factors.unsqueeze(1)


def lora_deltas(stored: StoredAdapter) -> dict[str, LoraDelta]:
    """Return the change of each adapted layer by the layer's name in the model.

    Raises:
        Refused: the adapter holds something that this merge does not know (code `unmergeable`).
    """
    config = stored.config
    if config.get("alpha_pattern") or config.get("modules_to_save") or config.get("lora_bias"):
        raise _unmergeable()
    tensors = dict(TensorFile(stored.tensors))
    deltas: dict[str, LoraDelta] = {}
    taken = 0
    for key, down in tensors.items():
        if not key.endswith(".lora_A.weight"):
            continue
        stem = key.removesuffix(".lora_A.weight")
        rank = down.shape[0]
        root = rank**0.5 if config.get("use_rslora") else rank
        magnitude = tensors.get(f"{stem}.lora_magnitude_vector")
        deltas[stem.removeprefix(_PREFIX)] = LoraDelta(
            down=down,
            up=tensors[f"{stem}.lora_B.weight"],
            scale=float(config["lora_alpha"]) / root,
            magnitude=magnitude,
        )
        taken += 2 + (magnitude is not None)
    if taken != len(tensors):
        raise _unmergeable()
    return deltas


def _unmergeable() -> Refused:
    return Refused(
        "This adapter holds more than low-rank changes of linear layers and cannot be merged.",
        hint="Export it with `--to peft`.",
        code="unmergeable",
    )


def faithful_weights(
    deltas: Mapping[str, LoraDelta], quantised: Mapping[str, Any]
) -> Callable[[str, Tensor], Tensor]:
    """Return how each tensor of the base's files becomes one of the merged model.

    Args:
        deltas: Layer name to its change; see `lora_deltas`.
        quantised: Layer name to 4-bit layer, whose dequantised weight then stands in for the
            file's; empty to merge into the original weights.
    """

    def merged(name: str, original: Tensor) -> Tensor:
        layer = name.removesuffix(".weight")
        weight = nf4.dequantise(quantised[layer]).cpu() if layer in quantised else original
        if layer in deltas:
            weight = deltas[layer].merged_into(weight)
        return weight

    return merged


def replaced_weights(tensors: Mapping[str, Tensor]) -> Callable[[str, Tensor], Tensor]:
    """Return the trained tensor for each name, for a full fine-tuning; others stay.

    Where input and output embeddings are one weight, some bases store it under both names.
    """
    same = {_HEAD: _EMBEDDING} if _EMBEDDING in tensors and _HEAD not in tensors else {}

    def replaced(name: str, original: Tensor) -> Tensor:
        return tensors.get(same.get(name, name), original)

    return replaced


def merge_files(
    files: Mapping[str, Path],
    out: Path,
    change: Callable[[str, Tensor], Tensor],
    wanted: set[str],
    *,
    on_tensor: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """Write every weight file of the base anew, changed tensor by tensor, with its index.

    Args:
        files: Name of each of the base's safetensors files to its path.
        out: An existing folder.
        change: Called with name and original tensor; its result is stored in bfloat16 where it
            is a floating point tensor.
        wanted: Names of weights that must be found in the files, so that nothing that was
            trained is left out in silence.
        on_tensor: Told the tensors done and in all.

    Raises:
        InternalError: a wanted weight is in none of the files (code `weights_not_found`).
    """
    layouts = {name: _layout(path) for name, path in sorted(files.items())}
    where = {tensor: name for name, layout in layouts.items() for tensor in layout}
    missing = wanted - where.keys()
    if missing:
        raise InternalError(
            f"{len(missing)} trained weights are not in the base's files under their own names.",
            hint="Export with `--to peft` instead; please report the model's family.",
            code="weights_not_found",
        )
    done = 0
    for name, path in sorted(files.items()):
        with safetensors.safe_open(path, framework="pt") as source, (out / name).open("xb") as sink:
            _write_header(sink, layouts[name])
            for tensor in layouts[name]:
                _write_tensor(
                    sink, change(tensor, source.get_tensor(tensor)), layouts[name][tensor]
                )
                done += 1
                on_tensor(done, len(where))
    if len(files) > 1:
        _write_index(out, where, layouts)


@dataclass(frozen=True)
class _Place:
    dtype: str
    shape: tuple[int, ...]
    bytes: int


_WIDTHS = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}


def _layout(path: Path) -> dict[str, _Place]:
    """Return what each tensor of a file will be in the merged one: floats become bfloat16."""
    with safetensors.safe_open(path, framework="pt") as source:
        places = {}
        for name in sorted(source.keys()):
            view = source.get_slice(name)
            shape = tuple(int(side) for side in view.get_shape())
            if view.get_dtype() not in _WIDTHS:
                raise Refused(
                    f"A weight of the base has the type {view.get_dtype()}: not mergeable.",
                    code="unmergeable",
                )
            count = 1
            for side in shape:
                count *= side
            places[name] = _Place("BF16", shape, count * _BFLOAT16_BYTES)
        return places


def _write_header(sink: BinaryIO, layout: Mapping[str, _Place]) -> None:
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    start = 0
    for name, place in layout.items():
        header[name] = {
            "dtype": place.dtype,
            "shape": list(place.shape),
            "data_offsets": [start, start + place.bytes],
        }
        start += place.bytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the data begins on a multiple of 8 bytes
    sink.write(struct.pack("<Q", len(text)) + text)


def _write_tensor(sink: BinaryIO, tensor: Tensor, place: _Place) -> None:
    if tuple(tensor.shape) != place.shape:
        raise InternalError("A merged weight has another shape than the base's.", code="bad_shape")
    plain = tensor.detach().to("cpu", torch.bfloat16).contiguous()
    sink.write(plain.reshape(-1).view(torch.uint8).numpy().data)


def _write_index(
    out: Path, where: Mapping[str, str], layouts: Mapping[str, Mapping[str, _Place]]
) -> None:
    total = sum(place.bytes for layout in layouts.values() for place in layout.values())
    index = {"metadata": {"total_size": total}, "weight_map": dict(sorted(where.items()))}
    (out / "model.safetensors.index.json").write_text(json.dumps(index, indent=2) + "\n")
