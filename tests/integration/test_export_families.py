"""Merges of every supported family: biases, fused projections, soft caps, norms of their own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures import tiny
from tests.fixtures.tiny_jobs import RUN_ID, data_key, stub_session, write_adapter
from workbench.adapters.results import read_result
from workbench.engine.jobs import export

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("target", ["safetensors", "peft"])
@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_the_written_files_pass_the_gate(tmp_path: Path, family: str, target: str) -> None:
    model = tiny.model_part(tiny.write_model(tmp_path / "model", family), "mo-" + "1" * 16)
    model["sha256"] = "0" * 64
    adapter = write_adapter(tmp_path, model, taught=False)
    out = tmp_path / "out"
    out.mkdir()
    sealed: dict[str, Any] = {
        "model": model,
        "adapter": adapter,
        "target": target,
        "base": "exact",
        "out": str(out),
        "dataset": None,
    }
    with stub_session(tmp_path / "run", "export", sealed) as session:
        export.run(session)
    fidelity = read_result(tmp_path / "run", data_key(RUN_ID))["fidelity"]
    assert fidelity["mean_kl"] < 5e-3
    if target == "safetensors":
        config = json.loads((out / "config.json").read_text())
        assert config["model_type"] == family
