"""The composition root: reads the command line, locks the process down, hands over to a front door.

Nothing heavy is imported here: `workbench --version` and `--help` answer without DuckDB, Textual
or torch.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from workbench.cli.access import home_of
from workbench.cli.main import parse, run


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    command = parse(sys.argv[1:] if argv is None else argv)
    if command.failed is None:
        # Before any handler imports a library that starts threads: a network namespace can only
        # be entered while there is one.
        from workbench.airgap.front_door import lock_front_door

        lock_front_door()
        if command.opens_screens and sys.stdin.isatty() and sys.stdout.isatty():
            from workbench.tui.session import Session
            from workbench.tui.start import open_ui

            return open_ui(Session(home_of(command.options)))
    return run(command)


if __name__ == "__main__":
    sys.exit(main())
