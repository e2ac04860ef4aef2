"""What is said to somebody who leaves, and of a screen that left by itself."""

from __future__ import annotations

from collections.abc import Sequence

from workbench.airgap.leaks import describe
from workbench.tui.session import Tour


def on_leaving(live: Sequence[object], tour: Tour | None) -> str:
    """Say what becomes of what runs; `live` are the runs that have not ended."""
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
