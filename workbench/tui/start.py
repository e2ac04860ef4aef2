"""Opening the terminal UI, and opening it again after it crashed."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

from workbench.airgap.leaks import guard_logging
from workbench.tui.hang_up import heed_hang_up
from workbench.tui.session import Session

_USAGE = 2
_CANNOT_PLACE_TEXT = ("", "dumb", "unknown")


def open_ui(session: Session) -> int:
    """Run the UI until somebody leaves it; return the exit code."""
    if refusal := refused_terminal(os.environ):
        sys.stderr.write(f"workbench: {refusal}\n")
        return _USAGE
    from workbench.tui.app import WorkbenchApp

    guard_logging()
    heed_hang_up()
    warning = doubtful_locale(os.environ)
    if warning:
        sys.stderr.write(f"workbench: {warning}\n")
    while True:
        app = WorkbenchApp(session, warning=warning)
        code = app.run()
        if not app.failure:
            return code or 0
        sys.stderr.write(
            f"\nworkbench: The screen failed ({app.failure}); details are withheld, for they may "
            "hold record text.\n  Your vault is as it was, and what trains goes on.\n"
        )
        if not _asks_to_reopen():
            return 70


def refused_terminal(environment: Mapping[str, str]) -> str:
    """Say why this terminal cannot show screens; empty: it can."""
    kind = environment.get("TERM", "")
    if kind not in _CANNOT_PLACE_TEXT:
        return ""
    named = f"TERM={kind}" if kind else "TERM is not set"
    return (
        f"This terminal cannot place text, or does not say that it can ({named}), so the screens "
        "were not opened.\n  Set TERM to what it is, for example xterm-256color. Every command "
        "works without: `workbench help`."
    )


def doubtful_locale(environment: Mapping[str, str]) -> str:
    """Say, in ASCII, that lines and signs may look wrong; empty: they should not."""
    for name in ("LC_ALL", "LC_CTYPE", "LANG"):
        if told := environment.get(name, ""):
            # Python sets this one itself where LANG is C or POSIX (PEP 538): it says nothing.
            if name == "LC_CTYPE" and environment.get("LANG") in ("C", "POSIX"):
                continue
            if "utf-8" in told.lower() or "utf8" in told.lower():
                return ""
            # Somebody's setting goes through a terminal: only what is plain is repeated.
            plain = told if told.isascii() and told.isprintable() else "..."
            return (
                f"{name}={plain} does not say UTF-8: lines and signs may look wrong. "
                "If they do, set LANG=C.UTF-8."
            )
    return ""


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
