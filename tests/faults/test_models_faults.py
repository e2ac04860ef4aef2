"""A registration that dies at any moment leaves nothing, or a whole model."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.fixtures import tiny_models as tiny
from workbench.errors import DoesNotFit
from workbench.models import pinning, shelf
from workbench.vault.store import Vault

pytestmark = pytest.mark.faults

SECRET = "correct horse battery staple"

_ADD = """
import sys
from pathlib import Path
from workbench.models import shelf
from workbench.vault.store import Vault
vault = Vault.unlock(Path(sys.argv[1]), sys.argv[2])
print("unlocked", flush=True)
shelf.add_model(vault, Path(sys.argv[3]), "tiny")
print("added", flush=True)
"""


def test_a_killed_registration_leaves_no_half_model(tmp_path: Path) -> None:
    home = tmp_path / "home"
    Vault.create(home, SECRET, kdf="light")
    source = tiny.write_model(tmp_path / "tiny", num_hidden_layers=40)
    dice = random.Random(3)
    outcomes = set()
    for _ in range(12):
        child = subprocess.Popen(
            [sys.executable, "-I", "-c", _ADD, str(home), SECRET, str(source)],
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        assert child.stdout is not None
        assert child.stdout.readline() == b"unlocked\n"
        time.sleep(dice.uniform(0, 1.5))
        os.killpg(child.pid, signal.SIGKILL)
        added = b"added" in child.stdout.read()
        child.wait()
        child.stdout.close()
        vault = Vault.unlock(home, SECRET)
        models = [entry.name for entry in vault.catalogue.entries("model")]
        assert models in ([], ["tiny"])
        assert models or not added
        outcomes.add(bool(models))
        if models:
            assert shelf.verify_model(vault, "tiny").bad == ()
            shelf.remove_model(vault, "tiny")
    assert False in outcomes
    vault = Vault.unlock(home, SECRET)
    entry = shelf.add_model(vault, source, "tiny")
    assert [item.name for item in vault.models_folder.iterdir()] == [entry.object_id]
    assert [key for key in vault.key_ids() if key.startswith("mo-")] == [entry.object_id]


@pytest.mark.parametrize("fails_at", [0, 1, 2])
def test_a_disk_that_fills_up_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails_at: int
) -> None:
    home = tmp_path / "home"
    vault, _ = Vault.create(home, SECRET, kdf="light")
    source = tiny.write_model(tmp_path / "tiny")
    whole = pinning._write_all
    calls = 0

    def write_until_full(descriptor: int, piece: bytes) -> None:
        nonlocal calls
        calls += 1
        if calls > fails_at:
            raise DoesNotFit("full", code="disk_full")
        whole(descriptor, piece)

    monkeypatch.setattr(pinning, "_write_all", write_until_full)
    with pytest.raises(DoesNotFit):
        shelf.add_model(vault, source, "tiny")
    assert list(vault.models_folder.iterdir()) == []
    assert vault.catalogue.entries("model") == []
    assert [key for key in vault.key_ids() if key.startswith("mo-")] == []
    shutil.rmtree(home)
