"""Memory does not grow with the file."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

_IMPORT = """
import re, sys
from pathlib import Path
from workbench.datasets.importing import import_files
from workbench.vault.store import Vault
vault, _ = Vault.create(Path(sys.argv[1]), "a passphrase", kdf="light")
report = import_files(vault, [Path(sys.argv[2])], "a")
# Not getrusage: its peak counts that of the process that started this one.
status = Path("/proc/self/status").read_text()
print(report.rows, int(re.search(r"VmHWM:\\s+(\\d+) kB", status)[1]) * 1024)
"""
_MIB = 1 << 20


def _peak(home: Path, source: Path) -> tuple[int, int]:
    command = [sys.executable, "-c", _IMPORT, str(home), str(source)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    rows, peak = done.stdout.split()
    return int(rows), int(peak)


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_peak_memory_is_flat(tmp_path: Path, suffix: str) -> None:
    import numpy as np

    rng = np.random.default_rng(2)
    peaks = []
    for size in (160, 400):  # both beyond a full row group of the writer
        source = tmp_path / f"{size}.{suffix}"
        written = 0
        with source.open("w") as file:
            file.write("prompt,completion\n" if suffix == "csv" else "")
            while written < size * _MIB:
                prompt, completion = rng.bytes(300).hex(), rng.bytes(100).hex()
                row = {"prompt": prompt, "completion": completion}
                line = f"{prompt},{completion}" if suffix == "csv" else json.dumps(row)
                written += file.write(line + "\n")
        rows, peak = _peak(tmp_path / f"home{size}", source)
        assert rows > size * 1000
        peaks.append(peak)
        source.unlink()
    assert peaks[1] < peaks[0] + 200 * _MIB
    assert peaks[1] < 1024 * _MIB
