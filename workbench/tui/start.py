"""Opening the terminal UI, and opening it again after it crashed."""

from __future__ import annotations

import sys

from workbench.tui.session import Session


def open_ui(session: Session) -> int:
    """Run the UI until somebody leaves it; return the exit code."""
    from workbench.tui.app import WorkbenchApp

    while True:
        app = WorkbenchApp(session)
        code = app.run()
        if not app.failure:
            return code or 0
        sys.stderr.write(
            f"\nworkbench: The screen failed ({app.failure}); details are withheld, for they may "
            "hold record text.\n  Your vault is as it was, and what trains goes on.\n"
        )
        if not _asks_to_reopen():
            return 70


def _asks_to_reopen() -> bool:
    if not sys.stdin.isatty():
        return False
    sys.stderr.write("  Press Enter to open it again, or type q and Enter to leave: ")
    sys.stderr.flush()
    try:
        answer = sys.stdin.readline()
    except (KeyboardInterrupt, OSError):
        return False
    return bool(answer) and answer.strip().lower() != "q"
