"""The composition root: reads the command line, locks the process down, hands over to a front door.

Nothing heavy is imported here: `workbench --version` and `--help` answer without DuckDB, Textual
or torch.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        _open_missing_streams()
        return _enter(arguments)
    except KeyboardInterrupt:
        # Ctrl+C while things were still being loaded: `run` catches the later ones.
        from workbench.cli.main import tell_interrupted

        return tell_interrupted(as_json="--json" in arguments)


def _enter(arguments: list[str]) -> int:
    on_terminal = sys.stdin.isatty() and sys.stdout.isatty()
    if on_terminal and (not arguments or (len(arguments) == 2 and arguments[0] == "--home")):
        # Nobody who opens the screens should wait for the parsers of all the commands.
        return _open_screens(arguments[-1] if arguments else None)
    from workbench.cli.main import parse, run

    command = parse(arguments)
    if command.failed is None:
        if command.opens_screens and on_terminal:
            return _open_screens(command.options.home)
        _lock_down()
    return run(command)


def _open_missing_streams() -> None:
    """Open whatever of stdin, stdout and stderr the caller has closed on /dev/null.

    Otherwise the next file to be opened, perhaps one of the vault's, would get the number of a
    standard stream, and what a library prints would land in it.
    """
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free: this one
            setattr(sys, name, os.fdopen(number, mode, closefd=False))


def _open_screens(home: str | None) -> int:
    _lock_down()
    from workbench.cli.access import home_named
    from workbench.tui.session import Session
    from workbench.tui.start import open_ui

    return open_ui(Session(home_named(home)))


def _lock_down() -> None:
    # Before anything imports a library that starts threads: a network namespace can only be
    # entered while there is one.
    from workbench.airgap.front_door import lock_front_door

    lock_front_door()


if __name__ == "__main__":
    sys.exit(main())
