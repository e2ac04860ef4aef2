"""What a command prints: one JSON document, or short text; progress and warnings go to stderr."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from workbench.errors import WorkbenchError
from workbench.text import printable
from workbench.wording import count, duration

_BAR_WIDTH = 24
_REDRAW_SECONDS = 0.1


class Console:
    """The output of one command.

    Args:
        as_json: Print the result as one JSON document and nothing else on stdout.
    """

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        self._progress = ProgressLine()

    def result(self, document: Mapping[str, Any], lines: Sequence[str]) -> None:
        """Print the command's result: `document` with --json, otherwise `lines`."""
        self._progress.clear()
        if self.as_json:
            # ASCII escapes keep whatever stands in names and answers from reaching the terminal.
            sys.stdout.write(json.dumps(document) + "\n")
        else:
            for line in lines:
                sys.stdout.write(printable(line, multiline=True) + "\n")
        sys.stdout.flush()

    def say(self, line: str) -> None:
        """Tell how things go: on stdout for people, on stderr beside a JSON result."""
        self._progress.clear()
        stream = sys.stderr if self.as_json else sys.stdout
        stream.write(printable(line, multiline=True) + "\n")
        stream.flush()

    def warn(self, line: str) -> None:
        """Print a warning to stderr."""
        self._progress.clear()
        sys.stderr.write(printable(line, multiline=True) + "\n")

    def progress(self, done: int, total: int, phase: str) -> None:
        """Show how far a long piece of work has come; `total` 0 means unknown."""
        self._progress.show(done, total, phase)

    def error(self, error: WorkbenchError) -> None:
        """Print what went wrong and what to do next."""
        self._progress.clear()
        if self.as_json:
            fields = {"code": error.code, "message": error.message, "hint": error.hint}
            sys.stdout.write(json.dumps({"error": fields}) + "\n")
            sys.stdout.flush()
            return
        sys.stderr.write(f"workbench: {printable(error.message, multiline=True)}\n")
        if error.hint:
            sys.stderr.write(f"  {printable(error.hint, multiline=True)}\n")


class ProgressLine:
    """One line on stderr with a bar, a rate and the time left; silent when nobody watches."""

    def __init__(self) -> None:
        self._phase = ""
        self._began = 0.0
        self._drawn = 0.0
        self._shown = False

    def show(self, done: int, total: int, phase: str) -> None:
        """Redraw at most ten times a second; a new phase starts its own clock."""
        if not sys.stderr.isatty():
            return
        now = time.monotonic()
        if phase != self._phase:
            self._phase, self._began, self._drawn = phase, now, 0.0
        if now - self._drawn < _REDRAW_SECONDS and not (total and done >= total):
            return
        self._drawn, self._shown = now, True
        sys.stderr.write(f"\r\x1b[K{printable(_describe(done, total, phase, now - self._began))}")
        sys.stderr.flush()

    def clear(self) -> None:
        """Take the line away, so that the next output stands alone."""
        if self._shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
            self._shown = False


def _describe(done: int, total: int, phase: str, seconds: float) -> str:
    rate = done / seconds if seconds > 0.5 else 0.0
    if total <= 0:
        return f"{phase}: {count(done)} ({rate:,.0f}/s)" if rate else f"{phase}: {count(done)}"
    share = min(done / total, 1.0)
    filled = int(share * _BAR_WIDTH)
    bar = "#" * filled + "-" * (_BAR_WIDTH - filled)
    left = f", {duration((total - done) / rate)} left" if rate and done < total else ""
    speed = f"  {rate:,.1f}/s{left}" if rate else ""
    return f"{phase} [{bar}] {share:4.0%}{speed}"


def table(rows: Sequence[Sequence[str]], header: Sequence[str]) -> list[str]:
    """Return `rows` below `header` in aligned columns; cells are cut at 48 characters."""
    cells = [[printable(cell, limit=48) for cell in row] for row in [header, *rows]]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    ]
