"""An import that is killed leaves no half dataset, and the next one works and sweeps."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from workbench.datasets.importing import import_files
from workbench.vault.store import Vault

pytestmark = pytest.mark.faults

_PASSPHRASE = "a passphrase"
_IMPORT = """
import sys
from pathlib import Path
from workbench.datasets.importing import import_files
from workbench.vault.store import Vault
vault = Vault.unlock(Path(sys.argv[1]), sys.argv[2])
print("ready", flush=True)
import_files(vault, [Path(sys.argv[3])], "killed", progress=lambda *_: print("p", flush=True))
print("done", flush=True)
"""


def test_sigkill_at_random_moments(tmp_path: Path) -> None:
    vault, _ = Vault.create(tmp_path / "home", _PASSPHRASE, kdf="light")
    source = tmp_path / "a.csv"
    rng = random.Random(11)
    with source.open("w") as file:
        file.write("prompt,completion\n")
        for number in range(60_000):
            file.write(f"question {number} {rng.random()} {rng.random()},{rng.random()}\n" * 2)
    began = time.monotonic()
    import_files(vault, [source], "whole")
    whole = time.monotonic() - began
    killed = 0
    for attempt in range(10):
        child = subprocess.Popen(
            [sys.executable, "-c", _IMPORT, str(vault.home), _PASSPHRASE, str(source)],
            stdout=subprocess.PIPE,
        )
        assert child.stdout is not None
        with child:
            assert child.stdout.readline() == b"ready\n"
            time.sleep(rng.random() * whole)
            child.send_signal(signal.SIGKILL)
        names = {entry.name for entry in vault.catalogue.entries("dataset")}
        if "killed" in names:
            assert vault.verify().ok
            names.discard("killed")
            from workbench.datasets.collection import remove_dataset

            remove_dataset(vault, "killed")
        else:
            killed += 1
        assert names == {"whole"} | {f"next {n}" for n in range(attempt)}
        small = tmp_path / "small.csv"
        small.write_text(f"text\nrow {attempt}\n")
        assert import_files(vault, [small], f"next {attempt}").rows == 1
        listed = {entry.object_id for entry in vault.catalogue.entries("dataset")}
        assert {path.stem for path in vault.datasets_folder.iterdir()} == listed
        assert {key for key in vault.key_ids() if key.startswith("ds-")} == listed
    assert killed > 3
    assert vault.verify().ok
