"""Figures of evaluations beside an adapter, whoever else notes some meanwhile."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.fixtures.libraries import PASSPHRASE
from workbench.adapters.evaluating import note_evaluation
from workbench.vault.ids import new_id
from workbench.vault.store import Vault


def test_evaluations_that_ran_side_by_side_are_both_noted(tmp_path: Path) -> None:
    vault, _ = Vault.create(tmp_path / "home", PASSPHRASE, kdf="light")
    adapter_id, data_id = new_id("ad"), new_id("ds")
    for object_id in (adapter_id, data_id):
        vault.new_key(object_id)
    adapter = vault.catalogue.put("adapter", adapter_id, "tuned", {"metrics": {"loss_last": 0.5}})
    data = vault.catalogue.put("dataset", data_id, "notes", {})
    result: dict[str, Any] = {
        "kind": "chat", "base": {"loss": 2.0}, "adapter": {"loss": 1.0}, "records": 3, "tokens": 9,
    }  # fmt: skip
    # Both hold the entry as it was when they began.
    note_evaluation(vault, adapter, data, "test", result)
    note_evaluation(vault, adapter, data, "validation", result)
    metrics = vault.catalogue.get("adapter", "tuned").record["metrics"]
    assert set(metrics["evaluations"]) == {"notes/test", "notes/validation"}
    assert metrics["loss_last"] == 0.5
