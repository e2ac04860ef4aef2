"""The composition root: reads the command line, locks the process down, hands over to a front door.

Nothing heavy is imported here: `workbench --version` and `--help` answer without DuckDB, Textual
or torch.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from workbench.cli.access import home_of


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    on_terminal = sys.stdin.isatty() and sys.stdout.isatty()
    if on_terminal and (not arguments or (len(arguments) == 2 and arguments[0] == "--home")):
        # Nobody who opens the screens should wait for the parsers of all the commands.
        return _open_screens(argparse.Namespace(home=arguments[-1] if arguments else None))
    from workbench.cli.main import parse, run

    command = parse(arguments)
    if command.failed is None:
        if command.opens_screens and on_terminal:
            return _open_screens(command.options)
        _lock_down()
    return run(command)


def _open_screens(options: argparse.Namespace) -> int:
    _lock_down()
    from workbench.tui.session import Session
    from workbench.tui.start import open_ui

    return open_ui(Session(home_of(options)))


def _lock_down() -> None:
    # Before anything imports a library that starts threads: a network namespace can only be
    # entered while there is one.
    from workbench.airgap.front_door import lock_front_door

    lock_front_door()


if __name__ == "__main__":
    sys.exit(main())
