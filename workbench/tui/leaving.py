"""What is said to somebody who leaves, and of a screen that left by itself."""

from __future__ import annotations

from collections.abc import Sequence

from workbench.airgap.leaks import describe
from workbench.tui.session import Tour

# Work of the screens' own that somebody waits for; it ends with them, and leaves nothing half done.
AWAITED = frozenset({"add-model", "answer", "export", "import", "review", "starter", "verify"})


def on_leaving(live: Sequence[object], tour: Tour | None, *, at_work: bool = False) -> str:
    """Say what becomes of what runs.

    Args:
        live: The runs that have not ended.
        at_work: Whether something of `AWAITED` is under way.
    """
    if at_work:
        return "What is at work here is given up; nothing half done is kept." + (
            f" {on_leaving(live, tour)}" if live else ""
        )
    if not live:
        return "Nothing runs."
    if tour is not None and not tour.kept:
        return "The demo's run will be stopped, and all of the demo deleted."
    return "Training goes on without this screen; `workbench` shows it again."


def what_failed(error: BaseException | None) -> str:
    """Return `Type at module:line` of a failure, which is all that may be told of it."""
    if error is None:
        return "unknown"
    told = describe(error)
    return f"{told['error_type']} at {told['place']}"
