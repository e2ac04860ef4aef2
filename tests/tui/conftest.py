"""What every test of the screens may take for granted."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual.widgets import Input, TextArea

from tests.fixtures.vaults import Original, make_original
from workbench.vault.store import Vault


@pytest.fixture(autouse=True)
def _still_cursor(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep cursors from blinking, so that pictures of one screen are alike."""
    monkeypatch.setattr(Input, "_toggle_cursor", lambda self: None)
    monkeypatch.setattr(TextArea, "_toggle_cursor_blink_visible", lambda self: None)


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Original:
    """An empty vault; a file whose tests need another makes its own."""
    return make_original(tmp_path_factory.mktemp("original") / "home")


@pytest.fixture
def vault(original: Original, tmp_path: Path) -> Vault:
    """An unlocked copy of the file's original."""
    return original.copy(tmp_path / "home")
