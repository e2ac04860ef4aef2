"""Import against plain DuckDB, on the same file in the same run.

    .venv/bin/python tests/benchmarks/import_ratio.py [--rows 1000000] [--rounds 3]

A CSV file of about 500 bytes a row is made (a third of the rows quoted, 2 % of them with an
electronic mail address and a telephone number, 1 % duplicates, one torn row in 10 000). Then, in
turns and each in a process of its own: `CREATE TABLE AS read_csv` into a DuckDB file, and an import
with checks, de-duplication and the search for identifiers, sealed and published. Printed as JSON:
the medians of wall and processor seconds, the ratio of wall times (to be <= 1.0) and the import's
peak resident memory (to be <= 1 GiB). The vault's key derivation is outside the timed part.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

_WORDS, _SEED = 5000, 1

_PLAIN = """
import duckdb, json, resource, sys, time
wall, cpu = time.perf_counter(), time.process_time()
connection = duckdb.connect(sys.argv[2])
connection.execute('SET enable_progress_bar = false')
connection.execute(
    f"CREATE TABLE t AS SELECT * FROM read_csv('{sys.argv[1]}', ignore_errors=true)")
connection.close()
wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
print(json.dumps({"wall": wall, "cpu": cpu,
    "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}))
"""

_IMPORT = """
import json, resource, sys, time
from pathlib import Path
from workbench.datasets.importing import import_files
from workbench.vault.store import Vault
vault, _ = Vault.create(Path(sys.argv[2]), "a passphrase of the benchmark", kdf="light")
wall, cpu = time.perf_counter(), time.process_time()
report = import_files(vault, [Path(sys.argv[1])], "benchmark")
wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
print(json.dumps({"wall": wall, "cpu": cpu, "rows": report.rows, "rejected": report.rejected,
    "duplicates": report.duplicates, "sensitive": report.sensitive, "bytes": report.bytes,
    "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}))
"""


def make_file(path: Path, rows: int) -> None:
    """Write the benchmark's CSV file."""
    import numpy as np

    rng = np.random.default_rng(_SEED)
    letters = rng.integers(97, 123, (_WORDS, 10)).astype(np.uint8)
    lengths = rng.integers(2, 10, _WORDS)
    words = [bytes(row[:n]).decode() for row, n in zip(letters, lengths, strict=True)]
    with path.open("w", encoding="utf-8") as file:
        file.write("id,date,prompt,completion\n")
        previous = ""
        for number in range(rows):
            picked = [words[i] for i in rng.integers(0, _WORDS, 74).tolist()]
            prompt, completion = " ".join(picked[:40]), " ".join(picked[40:])
            if number % 50 == 0:
                prompt += f" {picked[0]}.{picked[1]}@example.org or +44 20 7946 {number % 10000:04}"
            if number % 3 == 0:
                prompt = f'"{prompt}, he said ""{picked[2]}"", so"'
            tail = f"{prompt},{completion}\n"
            if number % 100 == 99:
                tail = previous
            if number % 10_000 == 5_000:
                tail = prompt + "\n"
            previous = tail
            file.write(f"{number},2024-0{1 + number % 9}-1{number % 10},{tail}")


def measure(script: str, *arguments: str) -> dict[str, float]:
    """Run one contender in a fresh process and return what it printed."""
    command = [sys.executable, "-c", script, *arguments]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    result: dict[str, float] = json.loads(done.stdout)
    return result


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="import-ratio-"))
    try:
        source = folder / "rows.csv"
        make_file(source, options.rows)
        plain, ours = [], []
        for _ in range(options.rounds):
            plain.append(measure(_PLAIN, str(source), str(folder / "plain.duckdb")))
            (folder / "plain.duckdb").unlink()
            ours.append(measure(_IMPORT, str(source), str(folder / "home")))
            shutil.rmtree(folder / "home")
        walls = [statistics.median(run["wall"] for run in runs) for runs in (plain, ours)]
        facts = {
            "rows": options.rows,
            "source_bytes": source.stat().st_size,
            "plain_seconds": round(walls[0], 2),
            "import_seconds": round(walls[1], 2),
            "ratio": round(walls[1] / walls[0], 2),
            "ratios": [round(b["wall"] / a["wall"], 2) for a, b in zip(plain, ours, strict=True)],
            "plain_cpu_seconds": round(statistics.median(run["cpu"] for run in plain), 2),
            "import_cpu_seconds": round(statistics.median(run["cpu"] for run in ours), 2),
            "import_peak_bytes": int(max(run["peak"] for run in ours)),
            "import": ours[-1],
        }
        print(json.dumps(facts, indent=2))
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
