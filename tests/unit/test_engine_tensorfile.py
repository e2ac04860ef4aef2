"""Stored tensors: the layout of safetensors, read and written with one tensor in memory."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import safetensors.torch
import torch
from torch import Tensor

from workbench.adapters.storage import open_adapter
from workbench.engine import publish, tensorfile
from workbench.engine.checkpoints import Checkpoints
from workbench.engine.lora import full_tensors, load_full
from workbench.engine.tensorfile import TensorFile, outlines, stream_tensors
from workbench.errors import VaultDamaged
from workbench.recipe import Recipe
from workbench.vault.sealed import DataKey

KEY = DataKey("v", "o", bytes(32))
MIB = 1 << 20
# A step may hold a tensor or two and a chunk, sealed and open; the model is many times that.
TENSORS, TENSOR_BYTES, MOST_BYTES = 40, 4 * MIB, 5 * 4 * MIB


def _mixed() -> dict[str, Tensor]:
    torch.manual_seed(0)
    return {
        "b/wide": torch.randn(3, 5),
        "a/half": torch.randn(7, 2).bfloat16(),
        "b/bytes": torch.arange(9, dtype=torch.uint8),
        "a/one": torch.tensor(2.5),
        "a/none": torch.empty(0, 4),
        "a/count": torch.tensor([1, 2], dtype=torch.int64),
    }


def test_what_is_written_is_safetensors_and_comes_back() -> None:
    tensors = _mixed()
    body = b"".join(stream_tensors(tensors))
    found, plain = TensorFile(body), safetensors.torch.load(body)
    assert found.keys() == plain.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert found[name].dtype == plain[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor)
        assert torch.equal(plain[name], tensor)
    assert {n: (o.shape, o.dtype) for n, o in outlines(found).items()} == {
        n: (t.shape, t.dtype) for n, t in tensors.items()
    }
    part = found.under("a/")
    assert set(part) == {"half", "one", "none", "count"}
    assert torch.equal(part["half"], tensors["a/half"])
    assert "wide" not in part
    with pytest.raises(KeyError):
        part["wide"]


def test_a_file_that_safetensors_wrote_is_read() -> None:
    tensors = _mixed()
    found = TensorFile(safetensors.torch.save(tensors, metadata={"format": "pt"}))
    assert all(torch.equal(found[name], tensor) for name, tensor in tensors.items())


@pytest.mark.parametrize("body", [b"", b"\x05" + bytes(7), b"\x02" + bytes(7) + b"[]"])
def test_other_bytes_are_refused(body: bytes) -> None:
    with pytest.raises(VaultDamaged):
        TensorFile(body)


def _peak(work: Callable[[], object]) -> int:
    """Return the most bytes that Python's allocator held: torch's own tensors do not count."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


class _Model(torch.nn.Module):
    def __init__(self, value: float) -> None:
        super().__init__()
        rows = TENSOR_BYTES // 4 // 1024
        self.parts = torch.nn.ParameterList(
            torch.full((rows, 1024), value + number) for number in range(TENSORS)
        )


def _session(tmp_path: Path) -> Any:
    part = {"object_id": "o", "name": "n", "sha256": "", "root": "r", "folder": str(tmp_path / "a")}
    return SimpleNamespace(
        sealed={"adapter": part, "model": part, "dataset": part},
        spec=SimpleNamespace(run="r"),
        key=lambda _: KEY,
        protection=SimpleNamespace(to_json=dict),
        events=SimpleNamespace(write=lambda *_, **__: None),
    )


def test_a_whole_model_is_checkpointed_published_and_restored_in_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory stays that of a few tensors where the model has forty."""
    monkeypatch.setattr(tensorfile, "PART_BYTES", MIB)
    model, checkpoints = _Model(1.0), Checkpoints(tmp_path / "c", KEY)
    session = _session(tmp_path)

    def write() -> None:
        checkpoints.write(
            1, {f"weights/{n}": t for n, t in full_tensors(model).items()}, {}, best=1
        )

    def finish() -> None:
        publish.publish(
            cast("Any", session),
            Recipe(method="full"),
            config={"method": "full"},
            tensors=checkpoints.read(1).tensors.under("weights/"),
            fingerprint="",
            metrics={},
            steps=1,
        )

    def resume() -> None:
        newest = checkpoints.newest()
        assert newest is not None
        load_full(model, newest.tensors.under("weights/"))

    def apply() -> None:
        load_full(model, TensorFile(open_adapter(tmp_path / "a", KEY).tensors))

    peaks = {work.__name__: _peak(work) for work in (write, finish)}
    model = _Model(9.0)
    peaks["resume"] = _peak(resume)
    assert [part[0, 0].item() for part in model.parts] == [1.0 + n for n in range(TENSORS)]
    model = _Model(9.0)
    peaks["apply"] = _peak(apply)
    assert [part[0, 0].item() for part in model.parts] == [1.0 + n for n in range(TENSORS)]
    assert max(peaks.values()) < MOST_BYTES < TENSORS * TENSOR_BYTES // 4, peaks
