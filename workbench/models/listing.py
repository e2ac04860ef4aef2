"""Which files of a model's folder are taken, which are left, and where links may lead."""

from __future__ import annotations

import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from workbench.errors import BadInput, Refused
from workbench.models.reading import read_object
from workbench.text import printable

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
_TEXTS = frozenset(
    {
        CONFIG,
        "generation_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "chat_template.jinja",
        # The terms go where the weights go.
        "LICENSE",
        "LICENSE.md",
        "LICENSE.txt",
        "NOTICE",
        "NOTICE.txt",
        "USE_POLICY.md",
    }
)
_SHARD = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]{0,200}\.safetensors")
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".joblib")
_CODE = (".py", ".pyc", ".so", ".dll", ".dylib", ".sh", ".ipynb")
_FORMATS = (".gguf", ".ggml", ".h5", ".msgpack", ".onnx", ".tflite", ".ot", ".safetensors")
_MOST_FILES = 10_000


@dataclass(frozen=True)
class IgnoredFile:
    """A file that is left where it is, unopened, and why; the name is safe to print."""

    name: str
    reason: str


@dataclass(frozen=True)
class Listing:
    """A folder sorted into what is taken and what is left.

    Attributes:
        folder: The folder, links resolved.
        files: Names taken and the regular files behind them, links resolved.
        weights: Those of the names that are safetensors files, sorted.
        weight_map: Tensor name to file as the index has it; empty without an index.
        ignored: What is left, sorted by name.
    """

    folder: Path
    files: dict[str, Path]
    weights: tuple[str, ...]
    weight_map: Mapping[str, str]
    ignored: tuple[IgnoredFile, ...]


def list_folder(folder: Path) -> Listing:
    """Sort the files of a model's folder; opens none but the index of the weights.

    Raises:
        BadInput: No such folder, no or missing weights, a broken link, a file that is none.
        Refused: Only pickles, or a link that leads outside (`only_pickles`, `link_outside`).
    """
    try:
        root = folder.resolve(strict=True)
        names = sorted(item.name for item in root.iterdir())
    except (OSError, RuntimeError) as error:
        raise BadInput(
            f"The folder {folder} cannot be read.",
            hint="Give the folder that holds config.json and the .safetensors files.",
            code="no_folder",
        ) from error
    if len(names) > _MOST_FILES:
        raise BadInput("The folder holds too many files to be a model's.", code="no_folder")
    allowed = _allowed_roots(root)
    weight_map: dict[str, str] = {}
    if WEIGHTS in names:  # the order in which transformers looks
        weights = [WEIGHTS]
    elif INDEX in names:
        weight_map = _weight_map(_follow(root / INDEX, allowed))
        weights = sorted(set(weight_map.values()))
        _all_there(weights, names)
    else:
        raise _no_weights(names)
    taken = {name for name in names if name in _TEXTS} | set(weights)
    if weight_map:
        taken.add(INDEX)
    if CONFIG not in taken:
        raise BadInput("The folder has no config.json.", code="no_config")
    return Listing(
        folder=root,
        files={name: _follow(root / name, allowed) for name in sorted(taken)},
        weights=tuple(weights),
        weight_map=weight_map,
        ignored=tuple(_ignored(root / name) for name in names if name not in taken),
    )


def _allowed_roots(root: Path) -> tuple[Path, ...]:
    """The folder itself, and the blobs of the hub cache that it is a snapshot in."""
    if root.parent.name == "snapshots" and root.parent.parent.name.startswith("models--"):
        return root, root.parent.parent / "blobs"
    return (root,)


def _follow(path: Path, allowed: tuple[Path, ...]) -> Path:
    try:
        real = path.resolve(strict=True)
        mode = real.stat().st_mode
    except (OSError, RuntimeError) as error:
        raise BadInput(
            f"{printable(path.name, limit=80)} is a link that leads nowhere.",
            hint="Copy the model again; a hub cache needs its blobs folder too.",
            code="broken_link",
        ) from error
    if not any(real.is_relative_to(root) for root in allowed):
        raise Refused(
            f"{printable(path.name, limit=80)} is a link to a place outside the model's folder.",
            hint="Replace the link by the file itself.",
            code="link_outside",
        )
    if not stat.S_ISREG(mode):
        raise BadInput(f"{printable(path.name, limit=80)} is no file.", code="unreadable_file")
    return real


def _weight_map(index: Path) -> dict[str, str]:
    found = read_object(index, limit=16 << 20).get("weight_map")
    if not isinstance(found, dict) or not found:
        raise BadInput(f"{INDEX} has no weight_map.", code="broken_index")
    weight_map: dict[str, str] = {}
    for tensor, shard in found.items():
        if not isinstance(shard, str) or _SHARD.fullmatch(shard) is None:
            raise Refused(
                f"{INDEX} names a file that is no plain .safetensors name.",
                code="unsafe_index",
            )
        weight_map[tensor] = shard
    return weight_map


def _all_there(shards: list[str], names: list[str]) -> None:
    missing = [shard for shard in shards if shard not in names]
    if missing:
        raise BadInput(
            f"{len(missing)} of {len(shards)} weight files are missing, the first is {missing[0]}.",
            hint="Copy them into the folder; the index names all of them.",
            code="missing_shards",
        )


def _no_weights(names: list[str]) -> BadInput | Refused:
    if any(name.endswith(_PICKLES) for name in names):
        return Refused(
            "The model has only pickle files, which can run code when they are read.",
            hint="Convert it to .safetensors where that is safe, and bring that folder.",
            code="only_pickles",
        )
    return BadInput(
        f"The folder holds neither {WEIGHTS} nor {INDEX}.",
        hint="Give the folder that holds config.json and the .safetensors files.",
        code="no_weights",
    )


def _ignored(path: Path) -> IgnoredFile:
    name = path.name
    lower = name.lower()
    if not path.is_symlink() and path.is_dir():
        reason = "a folder"
    elif lower.endswith(_PICKLES):
        reason = "a pickle: reading it can run code"
    elif lower.endswith(_CODE):
        reason = "code: a model's code is never run"
    elif name in {INDEX, WEIGHTS} or lower.endswith(_FORMATS):
        reason = "weights that this model does not need"
    else:
        reason = "not needed"
    return IgnoredFile(printable(name, limit=120), reason)
