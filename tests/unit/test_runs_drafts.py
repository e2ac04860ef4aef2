"""The sealed draft of the guided path."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fixtures.vaults import Original, make_original, reopened
from workbench.airgap.canary import Needle, scan
from workbench.runs.drafts import Draft, discard_draft, keep_draft, load_draft

NEEDLE = "zanzibar-ward-7-admissions"


@pytest.fixture
def original(tmp_path: Path) -> Original:
    return make_original(tmp_path / "original")


def test_a_draft_is_kept_sealed_and_shredded(original: Original, tmp_path: Path) -> None:
    home = tmp_path / "home"
    vault = original.copy(home)
    assert load_draft(vault) is None
    first = Draft(files=(f"/data/{NEEDLE}.csv",), reading={"kind": "chat"})
    keep_draft(vault, first)
    assert load_draft(reopened(home, original)) == first

    second = first.with_changes(step="fit", settings={"rank": 32, "targets": ["q_proj"]})
    keep_draft(vault, second)
    assert load_draft(vault) == second
    assert len(vault.catalogue.entries("draft")) == 1
    assert scan([home], Needle(NEEDLE)) == []
    assert vault.verify().ok

    discard_draft(vault)
    discard_draft(vault)
    assert load_draft(vault) is None
    assert vault.key_ids() == []
    assert vault.verify().ok


def test_fields_of_another_version_are_left_out() -> None:
    draft = Draft.from_json({"step": "model", "files": ["a"], "wings": 2})
    assert draft == Draft(step="model", files=("a",))
