"""The folders that an export consists of, as plain peft and plain transformers read them.

The tokenizer's files are the base's, byte for byte: saving a tokenizer through transformers
loses some of them. What decides where an answer ends (end tokens, chat template) is written even
where the base left it out.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from workbench.adapters.storage import StoredAdapter
from workbench.engine import nf4
from workbench.engine.merging import (
    faithful_weights,
    lora_deltas,
    merge_files,
    replaced_weights,
)
from workbench.engine.sides import OpenedAdapter, Sides
from workbench.engine.tensorfile import TensorFile
from workbench.exports.contract import ExportRequest
from workbench.models.codec import TextCodec
from workbench.models.selection import TEMPLATE_FILE

ADAPTER_TENSORS = "adapter_model.safetensors"
ADAPTER_CONFIG = "adapter_config.json"

_WEIGHTS = ".safetensors"
_INDEX = ".safetensors.index.json"
_CONFIG = "config.json"
_GENERATION = "generation_config.json"
# What the base's config says of how its own files were stored, or of the machine they came from.
_DROPPED = ("quantization_config", "_name_or_path", "dtype", "torch_dtype", "transformers_version")


def write_peft_folder(out: Path, stored: StoredAdapter, base_name: str) -> None:
    """Write an adapter for plain peft, under the tensor names that vLLM's loader wants too.

    Args:
        out: An existing folder.
        base_name: Stands in the configuration where peft would put a local path.
    """
    with (out / ADAPTER_TENSORS).open("wb") as sink:
        sink.writelines(stored.parts())
    config = dict(stored.config) | {"base_model_name_or_path": base_name, "inference_mode": True}
    config["target_modules"] = sorted(config.get("target_modules") or [])
    _write_json(out / ADAPTER_CONFIG, config)


def read_peft_folder(folder: Path) -> StoredAdapter:
    """Read back what `write_peft_folder` wrote."""
    config = json.loads((folder / ADAPTER_CONFIG).read_text(encoding="utf-8"))
    return StoredAdapter(config=config, tensors=(folder / ADAPTER_TENSORS).read_bytes(), sha256="")


def write_model_folder(
    out: Path,
    base_folder: Path,
    files: Mapping[str, Any],
    codec: TextCodec,
    change: Callable[[str, Tensor], Tensor],
    wanted: set[str],
    *,
    on_tensor: Callable[[int, int], None],
) -> None:
    """Write a merged model for plain transformers.

    Args:
        out: An existing folder.
        base_folder: The base's clean folder.
        files: The names of its pinned files; no other file is looked at.
        codec: Its tokenizer and chat template.
        change: How each tensor of the base becomes one of the merged model.
        wanted: Weights that have to be found, see `merge_files`.
        on_tensor: Told the tensors done and in all.
    """
    weights = {name: base_folder / name for name in files if name.endswith(_WEIGHTS)}
    if len(weights) == 1:
        weights = {"model.safetensors": next(iter(weights.values()))}
    merge_files(weights, out, change, wanted, on_tensor=on_tensor)
    config = json.loads((base_folder / _CONFIG).read_text(encoding="utf-8"))
    plain = {key: value for key, value in config.items() if key not in _DROPPED}
    _write_json(out / _CONFIG, plain | {"torch_dtype": "bfloat16"})
    _write_json(out / _GENERATION, _generation_settings(base_folder, config, codec))
    for name in sorted(files):
        if not name.endswith((_WEIGHTS, _INDEX)) and name not in (_CONFIG, _GENERATION):
            (out / name).write_bytes((base_folder / name).read_bytes())
    if codec.template.origin == "chosen":
        (out / TEMPLATE_FILE).write_text(codec.template.source, encoding="utf-8")


def merge_plan(
    request: ExportRequest, adapter: OpenedAdapter, sides: Sides
) -> tuple[Callable[[str, Tensor], Tensor], set[str]]:
    """Return how the base's tensors change, and which of them have to be found in its files.

    Raises:
        Refused: the adapter cannot be merged.
    """
    if adapter.manifest.method == "full":
        tensors = TensorFile(adapter.stored.tensors)
        return replaced_weights(tensors), set(tensors)
    deltas = lora_deltas(adapter.stored)
    exact = request.base == "exact"
    quantised = dict(nf4.four_bit_layers(sides.model)) if exact else {}
    wanted = {f"{layer}.weight" for layer in deltas.keys() | quantised.keys()}
    return faithful_weights(deltas, quantised), wanted


def _generation_settings(
    base_folder: Path, config: Mapping[str, Any], codec: TextCodec
) -> dict[str, Any]:
    """The base's settings, with every token that ends an answer."""
    path = base_folder / _GENERATION
    settings = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    settings.pop("transformers_version", None)
    settings["eos_token_id"] = sorted(codec.eos_ids)
    settings.setdefault("pad_token_id", codec.pad_id)
    if config.get("bos_token_id") is not None:
        settings.setdefault("bos_token_id", config["bos_token_id"])
    return settings


def _write_json(path: Path, document: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(document, indent=2, sort_keys=True) + "\n", encoding="utf-8")
