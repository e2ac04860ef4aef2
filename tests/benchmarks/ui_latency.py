"""How quickly the screens answer, on a real pseudo-terminal.

    .venv/bin/python tests/benchmarks/ui_latency.py [--keys 120] [--starts 7] [--size 80x24]

Printed as JSON:

- `first_paint`: seconds from starting a process until its first words stand on the terminal, for
  a bare Textual app and for the workbench at its locked door (with its lock-down), in turns;
  medians and their ratio (to be <= 2, and the workbench under 0.5 s);
- `key_to_repaint`: milliseconds from a key's byte to the words that it brings, on the screen of a
  run that emits 50 events a second (to be < 50 at the 95th percentile), and on one that is quiet;
- `watching_cpu`: share of a processor that following this run takes;
- `idle_cpu`: the same for Home with nothing running (to be < 0.02), and with 1,000 old runs.

`machine_load` tells how busy the machine was meanwhile: the figures mean little on a busy one.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import pty
import select
import shutil
import signal
import statistics
import struct
import sys
import tempfile
import termios
import threading
import time
from pathlib import Path
from typing import Any

from workbench.runs.job import JobFolder
from workbench.runs.launch import create_run
from workbench.runs.protocol import RunSpec
from workbench.vault.ids import new_id
from workbench.vault.store import Vault

PASSPHRASE = "a passphrase of the benchmark"
EVENTS_A_SECOND = 50
_QUIET = 0.01
_IDLE_SECONDS = 15.0
_PATIENCE = 60.0

_BARE = """
from textual.app import App
from textual.widgets import Footer, Static
class Bare(App):
    BINDINGS = [("q", "quit", "Quit")]
    def compose(self):
        yield Static("Ready here")
        yield Footer()
Bare().run()
"""
_OPEN = """
import sys
from pathlib import Path
from workbench.tui.app import WorkbenchApp
from workbench.tui.session import Session
from workbench.vault.store import Vault
home = Path(sys.argv[1])
app = WorkbenchApp(Session(home, vault=Vault.unlock(home, sys.argv[2])))
if len(sys.argv) > 3:
    from workbench.tui.screens.run import RunScreen
    app.call_later(lambda: app.go("runs", RunScreen(sys.argv[3])))
app.run()
"""


class Terminal:
    """A program on a pseudo-terminal of its own."""

    def __init__(self, argv: list[str], size: tuple[int, int]) -> None:
        self.began = time.perf_counter()
        self.pid, self.master = pty.fork()
        if self.pid == 0:
            os.environ.update(TERM="xterm-256color", COLORTERM="truecolor")
            os.execv(argv[0], argv)
        width, height = size
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))

    def wait_for(self, words: str, seconds: float = _PATIENCE) -> float:
        """Read until `words` came and return the moment; what came before is thrown away."""
        wanted, seen = words.encode(), b""
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            if select.select([self.master], [], [], 0.5)[0]:
                try:
                    seen = seen[-256:] + os.read(self.master, 65536)
                except OSError:
                    break
                if wanted in seen:
                    return time.perf_counter()
        raise SystemExit(f"{words!r} did not come")

    def drain(self, seconds: float) -> None:
        """Read what comes, for so long."""
        end = time.perf_counter() + seconds
        while (left := end - time.perf_counter()) > 0:
            if select.select([self.master], [], [], left)[0]:
                os.read(self.master, 65536)

    def press(self, key: str) -> float:
        """Send a key and return the moment."""
        moment = time.perf_counter()
        os.write(self.master, key.encode())
        return moment

    def cpu_seconds(self) -> float:
        """Return the processor time that the program took so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def close(self) -> None:
        """End the program."""
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self.master)


def first_paint(home: Path, starts: int, size: tuple[int, int]) -> dict[str, Any]:
    """Start both programs in turns."""
    workbench = str(Path(sys.executable).with_name("workbench"))
    programs = {
        "bare": ([sys.executable, "-c", _BARE], "Ready here"),
        "workbench": ([sys.executable, workbench, "--home", str(home)], "Passphrase"),
    }
    times: dict[str, list[float]] = {name: [] for name in programs}
    for _ in range(starts + 1):  # the first of each warms the caches
        for name, (argv, words) in programs.items():
            terminal = Terminal(argv, size)
            times[name].append(terminal.wait_for(words) - terminal.began)
            terminal.close()
    medians = {name: statistics.median(found[1:]) for name, found in times.items()}
    return {
        **{f"{name}_s": round(value, 3) for name, value in medians.items()},
        "ratio": round(medians["workbench"] / medians["bare"], 2),
    }


def make_run(vault: Vault) -> Path:
    """Make a run's folder; nothing is launched."""
    spec = RunSpec(
        run=new_id("ru"), kind="train", created="2026-01-31T12:00:00Z", device="cpu",
        objects={"model": new_id("mo")}, numbers={"predicted_bytes": 900 << 20},
    )  # fmt: skip
    return create_run(vault, spec, {"recipe": {"rank": 8}})


def emit(folder: JobFolder, over: threading.Event, rate: float) -> None:
    """Write so many events a second, as a training run of short steps does."""
    steps = 100_000
    with folder.held(), folder.writer() as writer:
        writer.write("launched")
        writer.write("started", resumed=False)
        writer.write("measured", records=623, tokens=42262, skipped={}, steps=steps,
                     micro_batch=8, accumulate=1)  # fmt: skip
        step, due = 0, time.monotonic()
        while not over.is_set():
            step += 1
            memory = dict.fromkeys(("allocated", "reserved", "peak", "host"), 850_000_000 + step)
            writer.write("step", step=step, steps=steps, loss=0.1 + 9 / step, lr=0.002 / step,
                         grad_norm=3.0, tokens=1900 * step, seconds=0.02 * step,
                         tokens_per_second=95_000.0, eta_seconds=0.02 * (steps - step),
                         memory=memory)  # fmt: skip
            if step % (5 * EVENTS_A_SECOND) == 0:
                writer.write("evaluated", step=step, loss=0.2 + 9 / step, tokens=287)
            due += 1 / rate
            over.wait(max(0.0, due - time.monotonic()))


def while_running(
    vault: Vault, keys: int, size: tuple[int, int], rate: float
) -> tuple[dict[str, Any], float]:
    """Press keys on the screen of a run that works; return their times and the share of a
    processor that following it takes."""
    folder, over = JobFolder(make_run(vault)), threading.Event()
    writer = threading.Thread(target=emit, args=(folder, over, rate))
    writer.start()
    argv = [sys.executable, "-c", _OPEN, str(vault.home), PASSPHRASE, folder.run]
    terminal = Terminal(argv, size)
    try:
        terminal.wait_for("held-out")
        terminal.drain(8)  # so that the curve is no empty one
        took = []
        for number in range(keys):
            key, words = (("m", "Memory of"), ("a", "Protection of"))[number % 2]
            pressed = terminal.press(key)
            took.append(1000 * (terminal.wait_for(words) - pressed))
            terminal.drain(0.13 + 0.011 * (number % 17))  # at no fixed distance from a poll
        terminal.press("c")
        before, began = terminal.cpu_seconds(), time.perf_counter()
        terminal.drain(_IDLE_SECONDS)
        share = (terminal.cpu_seconds() - before) / (time.perf_counter() - began)
    finally:
        terminal.close()
        over.set()
        writer.join()
        shutil.rmtree(folder.path)
    took.sort()
    times = {
        "p50_ms": round(statistics.median(took), 1),
        "p95_ms": round(took[int(0.95 * len(took))], 1),
        "max_ms": round(took[-1], 1),
        "keys": len(took),
    }
    return times, round(share, 4)


def idle(vault: Vault, size: tuple[int, int]) -> float:
    """Return the share of a processor that Home takes while nothing happens."""
    terminal = Terminal([sys.executable, "-c", _OPEN, str(vault.home), PASSPHRASE], size)
    try:
        terminal.wait_for("Home")
        terminal.drain(12)
        before, began = terminal.cpu_seconds(), time.perf_counter()
        terminal.drain(_IDLE_SECONDS)
        return round((terminal.cpu_seconds() - before) / (time.perf_counter() - began), 4)
    finally:
        terminal.close()


def leave_old_runs(vault: Vault, number: int) -> None:
    """Leave so many ended runs behind, of 200 steps each; none that the library waits for."""
    first = JobFolder(make_run(vault))
    with first.held(), first.writer() as writer:
        writer.write("launched")
        for step in range(1, 201):
            writer.write("step", step=step, steps=200, loss=1 / step, tokens=step)
        writer.write("failed", error_type="ValueError", place="benchmark:1", code="crashed")
    spec = first.spec().to_json()
    for index in range(number - 1):
        path = first.path.with_name(f"ru-{index:016x}")
        shutil.copytree(first.path, path)
        (path / "spec.json").write_text(json.dumps({**spec, "run": path.name}))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--keys", type=int, default=120)
    parser.add_argument("--starts", type=int, default=7)
    parser.add_argument("--size", default="80x24")
    options = parser.parse_args()
    width, _, height = options.size.partition("x")
    size = (int(width), int(height))
    root = Path(tempfile.mkdtemp(prefix="workbench-latency-"))
    try:
        vault, _ = Vault.create(root / "home", PASSPHRASE, kdf="light")
        load = [os.getloadavg()[0]]
        result: dict[str, Any] = {"size": options.size}
        result["first_paint"] = first_paint(vault.home, options.starts, size)
        quiet, _ = while_running(vault, options.keys, size, _QUIET)
        busy, share = while_running(vault, options.keys, size, EVENTS_A_SECOND)
        result["key_to_repaint"] = {"quiet": quiet, "50_events_a_second": busy}
        result["watching_cpu"] = share
        result["idle_cpu"] = {"empty": idle(vault, size)}
        leave_old_runs(vault, 1000)
        result["idle_cpu"]["1000_old_runs"] = idle(vault, size)
        load.append(os.getloadavg()[0])
        result["machine_load"] = [round(value, 1) for value in load]
        result["processors"] = os.cpu_count()
    finally:
        shutil.rmtree(root)
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
