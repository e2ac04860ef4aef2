"""What a stranger's folder may hold: every refusal has its class, its code and its hint."""

from __future__ import annotations

import importlib.util
import json
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures import tiny_models as tiny
from workbench.errors import BadInput, Refused, WorkbenchError
from workbench.models.facts import facts_from_config, tensor_shapes
from workbench.models.inspection import check_files, inspect_folder
from workbench.models.listing import list_folder
from workbench.models.weights import HEADER_LIMIT, read_header


def accept(folder: Path) -> None:
    """Everything but the trial of the codec, which has tests of its own."""
    listing = list_folder(folder)
    check_files(listing.files, listing.weights, listing.weight_map)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write_model(tmp_path_factory.mktemp("made") / "tiny")


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    copy = tmp_path / "model"
    copy.mkdir()
    for item in made.iterdir():
        (copy / item.name).write_bytes(item.read_bytes())
    return copy


def rewrite(folder: Path, name: str = "config.json", **changes: Any) -> None:
    value = json.loads((folder / name).read_text())
    (folder / name).write_text(json.dumps(value | changes))


def shard(folder: Path) -> None:
    """Split the weights of a folder over two files and an index."""
    config = json.loads((folder / "config.json").read_text())
    shapes = tensor_shapes(facts_from_config(config))
    names = sorted(shapes)
    half = {name: shapes[name] for name in names[::2]}
    rest = {name: shapes[name] for name in names[1::2]}
    tiny.write_safetensors(folder / "model-00001-of-00002.safetensors", half)
    tiny.write_safetensors(folder / "model-00002-of-00002.safetensors", rest)
    weight_map = dict.fromkeys(half, "model-00001-of-00002.safetensors")
    weight_map |= dict.fromkeys(rest, "model-00002-of-00002.safetensors")
    index = {"metadata": {"total_size": 1}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    (folder / "model.safetensors").unlink()


def test_a_sound_folder_is_accepted_and_the_rest_listed(folder: Path) -> None:
    for name in ("old.bin", "modeling_x.py", "consolidated.safetensors", "x.gguf", "README.md"):
        (folder / name).write_bytes(b"anything")
    (folder / "onnx").mkdir()
    (folder / "\x1b]0;evil\x07.txt").write_bytes(b"")
    os.mkfifo(folder / "pipe.pkl")
    found = inspect_folder(folder)
    reasons = {item.name: item.reason for item in found.ignored}
    assert reasons["old.bin"] == reasons["pipe.pkl"] == "a pickle: reading it can run code"
    assert reasons["modeling_x.py"] == "code: a model's code is never run"
    assert reasons["consolidated.safetensors"] == "weights that this model does not need"
    assert reasons["onnx"] == "a folder"
    assert reasons["README.md"] == "not needed"
    assert not any("\x1b" in name for name in reasons)
    assert set(found.listing.files) == {
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    }
    assert found.facts.parameters == 10_320
    assert found.facts.weight_bytes == 2 * 10_320
    assert found.codec.origin == "own"
    assert found.codec.marks_answers


def test_shards_are_read_by_their_index(folder: Path) -> None:
    shard(folder)
    found = inspect_folder(folder)
    assert len(found.listing.weights) == 2
    assert found.facts.weight_bytes == 2 * 10_320


def test_a_hub_cache_snapshot_is_accepted(folder: Path, tmp_path: Path) -> None:
    root = tmp_path / "models--acme--tiny"
    snapshot = root / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (root / "blobs").mkdir()
    for number, item in enumerate(sorted(folder.iterdir())):
        (root / "blobs" / str(number)).write_bytes(item.read_bytes())
        (snapshot / item.name).symlink_to(f"../../blobs/{number}")
    accept(snapshot)
    (snapshot / "config.json").unlink()
    (snapshot / "config.json").symlink_to(folder / "config.json")
    with pytest.raises(Refused):
        accept(snapshot)


Change = Callable[[Path], object]
UNSAFE: dict[str, tuple[str, Change]] = {
    "auto_map": ("unsafe_config", lambda f: rewrite(f, auto_map={"AutoModel": "x.Y"})),
    "deep auto_map": (
        "unsafe_config",
        lambda f: rewrite(f, text_config=[{"a": {"auto_map": {}}}]),
    ),
    "remote code": ("unsafe_config", lambda f: rewrite(f, trust_remote_code=False)),
    "internal": (
        "unsafe_config",
        lambda f: rewrite(f, _attn_implementation_internal="a/b"),
    ),
    "kernel": ("unsafe_config", lambda f: rewrite(f, attn_implementation="evil/kernel")),
    "tokenizer code": (
        "unsafe_config",
        lambda f: rewrite(f, "tokenizer_config.json", auto_map={}),
    ),
    "only pickles": (
        "only_pickles",
        lambda f: (f / "model.safetensors").rename(f / "pytorch_model.bin"),
    ),
    "link outside": ("link_outside", lambda f: _relink(f / "config.json", f.parent / "c.json")),
    "weights outside": (
        "link_outside",
        lambda f: _relink(f / "model.safetensors", f.parent / "w.safetensors"),
    ),
    "link to a secret": ("link_outside", lambda f: _point(f / "tokenizer.json", "/etc/passwd")),
    "index with a path": (
        "unsafe_index",
        lambda f: _shard_and_index(f, "model.norm.weight", "../model.safetensors"),
    ),
    "tensor with a path": ("unsafe_tensor_name", lambda f: _tensors(f, {"../../x": [1]})),
    "tensor with a slash": ("unsafe_tensor_name", lambda f: _tensors(f, {"a/b": [1]})),
}
UNUSABLE: dict[str, tuple[str, Change]] = {
    "unknown family": ("unknown_family", lambda f: rewrite(f, model_type="mamba")),
    "classifier": (
        "unknown_architecture",
        lambda f: rewrite(f, architectures=["LlamaForSequenceClassification"]),
    ),
    "quantised config": (
        "already_quantised",
        lambda f: rewrite(f, quantization_config={"quant_method": "gptq"}),
    ),
    "quantised tensors": ("already_quantised", lambda f: _tensors(f, {"x": [2]}, dtype="I16")),
    "no config": ("no_config", lambda f: (f / "config.json").unlink()),
    "broken config": ("bad_json", lambda f: (f / "config.json").write_text("{")),
    "doubled key": ("bad_json", lambda f: (f / "config.json").write_text('{"a":1,"a":2}')),
    "huge config": (
        "file_too_large",
        lambda f: (f / "config.json").write_bytes(b" " * ((4 << 20) + 1)),
    ),
    "config is a pipe": ("unreadable_file", lambda f: _pipe(f / "config.json")),
    "no weights": ("no_weights", lambda f: (f / "model.safetensors").unlink()),
    "cut weights": ("broken_safetensors", lambda f: _cut(f / "model.safetensors", -1)),
    "cut header": ("broken_safetensors", lambda f: _cut(f / "model.safetensors", 100)),
    "empty weights": ("broken_safetensors", lambda f: _cut(f / "model.safetensors", 0)),
    "longer weights": (
        "broken_safetensors",
        lambda f: _extend(f / "model.safetensors"),
    ),
    "missing shard": (
        "missing_shards",
        lambda f: _shard_without(f, "model-00002-of-00002.safetensors"),
    ),
    "index lies": (
        "broken_index",
        lambda f: _shard_and_index(f, "model.extra", "model-00001-of-00002.safetensors"),
    ),
    "other shapes": ("bad_shape", lambda f: rewrite(f, intermediate_size=32)),
    "fewer tensors": ("tensors_missing", lambda f: rewrite(f, num_hidden_layers=3)),
    "more tensors": ("tensors_unexpected", lambda f: rewrite(f, num_hidden_layers=1)),
    "untied without head": ("tensors_missing", lambda f: rewrite(f, tie_word_embeddings=False)),
    "dangling link": ("broken_link", lambda f: _point(f / "tokenizer.json", "nowhere")),
    "looping link": ("broken_link", lambda f: _point(f / "tokenizer.json", "tokenizer.json")),
    "no folder": ("no_folder", lambda f: f.rename(f.parent / "elsewhere")),
}


def _relink(path: Path, target: Path) -> None:
    path.rename(target)
    path.symlink_to(target)


def _point(path: Path, target: str) -> None:
    path.unlink()
    path.symlink_to(target)


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _cut(path: Path, size: int) -> None:
    path.write_bytes(path.read_bytes()[:size])


def _extend(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"x")


def _shard_without(folder: Path, name: str) -> None:
    shard(folder)
    (folder / name).unlink()


def _shard_and_index(folder: Path, tensor: str, file: str) -> None:
    shard(folder)
    path = folder / "model.safetensors.index.json"
    value = json.loads(path.read_text())
    value["weight_map"][tensor] = file
    path.write_text(json.dumps(value))


def _tensors(folder: Path, shapes: dict[str, list[int]], dtype: str = "BF16") -> None:
    tiny.write_safetensors(folder / "model.safetensors", shapes, dtype=dtype)


@pytest.mark.parametrize("case", UNSAFE)
def test_unsafe_models_are_refused(case: str, folder: Path) -> None:
    code, change = UNSAFE[case]
    change(folder)
    _is_refused(folder, code, Refused)


@pytest.mark.parametrize("case", UNUSABLE)
def test_unusable_models_are_refused(case: str, folder: Path) -> None:
    code, change = UNUSABLE[case]
    change(folder)
    _is_refused(folder, code, BadInput)


def _is_refused(folder: Path, code: str, kind: type[WorkbenchError]) -> None:
    with pytest.raises(WorkbenchError) as refusal:
        accept(folder)
    assert refusal.value.code == code
    assert type(refusal.value) is kind
    assert refusal.value.message.endswith(".")


def test_kernels_are_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec("json")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: found)
    with pytest.raises(Refused) as refusal:
        inspect_folder(folder)
    assert refusal.value.code == "kernels_installed"


def test_a_tokenizer_of_another_model_is_refused(folder: Path) -> None:
    rewrite(folder, vocab_size=300)
    config = json.loads((folder / "config.json").read_text())
    shapes = tensor_shapes(facts_from_config(config))
    tiny.write_safetensors(folder / "model.safetensors", shapes)
    with pytest.raises(BadInput) as refusal:
        inspect_folder(folder)
    assert refusal.value.code == "tokenizer_does_not_fit"


def test_a_template_that_reaches_out_is_refused(folder: Path) -> None:
    (folder / "chat_template.jinja").write_text("{{ messages.__class__.__mro__ }}")
    with pytest.raises(Refused) as refusal:
        inspect_folder(folder)
    assert refusal.value.code == "unsafe_template"


def _header(path: Path, header: object, data: bytes = b"", length: int | None = None) -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    size = len(text) if length is None else length
    path.write_bytes(struct.pack("<Q", size) + text + data)
    return path


def _tensor(first: int, last: int, dtype: object = "U8", **other: Any) -> dict[str, Any]:
    return {"dtype": dtype, "shape": [last - first], "data_offsets": [first, last]} | other


@pytest.mark.parametrize(
    "header",
    [
        [],
        b"",
        b"\xff\xfe",
        b'{"a": NaN}',
        b"{" + b'"a":{' * 50_000,
        b'{"a":%b,"a":%b}' % ((json.dumps(_tensor(0, 4)).encode(),) * 2),
        {"__metadata__": {"a": 1}},
        {"__metadata__": []},
        {"a": 1},
        {"a": {"dtype": "U8", "shape": [4]}},
        {"a": _tensor(0, 4, extra=1)},
        {"a": _tensor(0, 4, "X8")},
        {"a": _tensor(0, 4, dtype=[])},
        {"a": _tensor(0, 4, shape=[4.0])},
        {"a": _tensor(0, 4, shape=[-4])},
        {"a": _tensor(0, 4, shape=[True])},
        {"a": _tensor(0, 4, shape=[1] * 9 + [4])},
        {"a": _tensor(0, 4, shape=[1 << 40, 1 << 40])},
        {"a": _tensor(0, 4, shape=[3])},
        {"a": _tensor(4, 0)},
        {"a": _tensor(0, 5)},
        {"a": _tensor(0, 3)},
        {"a": _tensor(1, 4)},
        {"a": _tensor(0, 3), "b": _tensor(2, 4)},
        {"a": _tensor(0, 4), "b": _tensor(0, 4)},
        {"a": _tensor(0, 1), "b": _tensor(2, 4)},
    ],
)
def test_broken_headers_are_refused(header: object, tmp_path: Path) -> None:
    with pytest.raises(BadInput) as refusal:
        read_header(_header(tmp_path / "x.safetensors", header, b"1234"))
    assert refusal.value.code == "broken_safetensors"


@pytest.mark.parametrize("length", [3, HEADER_LIMIT + 1, (1 << 64) - 1])
def test_headers_of_a_wrong_length_are_refused(length: int, tmp_path: Path) -> None:
    path = _header(tmp_path / "x.safetensors", {"a": _tensor(0, 4)}, b"1234", length)
    with pytest.raises(BadInput):
        read_header(path)


def test_headers_equal_what_the_library_writes(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from safetensors.torch import save_file

    tensors = {
        "a": torch.zeros(2, 3, dtype=torch.bfloat16),
        "b.c": torch.zeros(4, dtype=torch.float32),
        "empty": torch.zeros(0, 4),
        "scalar": torch.tensor(1.0),
    }
    save_file(tensors, tmp_path / "x.safetensors", metadata={"format": "pt"})
    found = read_header(tmp_path / "x.safetensors")
    assert {name: entry.shape for name, entry in found.items()} == {
        name: tuple(tensor.shape) for name, tensor in tensors.items()
    }
    assert found["a"].dtype == "BF16"
    assert found["a"].bytes == 12
