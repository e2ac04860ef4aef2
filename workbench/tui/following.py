"""Following one run for a screen: every event from the first, then what is new, ten times a second.

The thread tells again only after what it told last was taken, so a slow terminal gets fewer and
larger pieces and never a queue of them.
"""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any, cast

from textual.message import Message
from textual.message_pump import MessagePump
from textual.worker import Worker, get_current_worker

from workbench.errors import WorkbenchError, told_by_system
from workbench.runs.follow import Watch
from workbench.runs.protocol import Event
from workbench.runs.state import RunState

_POLL_SECONDS = 0.1
# A run that is over may be resumed, by this front door or by another.
_OVER_POLL_SECONDS = 0.5


class RunMoved(Message):
    """The followed run stands at `state`, after these new events; call `taken` when it is shown."""

    def __init__(self, state: RunState, events: list[Event], taken: threading.Event) -> None:
        super().__init__()
        self.state = state
        self.events = events
        self._taken = taken

    def taken(self) -> None:
        """Let the follower tell what came meanwhile."""
        self._taken.set()


class RunLost(Message):
    """The run cannot be followed any more: its folder is gone, damaged or of a newer format."""

    def __init__(self, error: WorkbenchError) -> None:
        super().__init__()
        self.error = error


def follow_run(node: MessagePump, run_folder: Path) -> Worker[None]:
    """Follow a run in a thread for `node`, which gets the messages, until the node goes away."""

    def run() -> None:
        worker = get_current_worker()
        try:
            _follow(node, run_folder, worker)
        except WorkbenchError as error:
            lost = error
        except OSError as error:
            lost = told_by_system(error) or WorkbenchError(
                f"The run's folder cannot be read ({error.strerror}).", code="unreadable"
            )
        else:
            return
        if not worker.is_cancelled:
            node.post_message(RunLost(lost))

    # Every node that is given here is a DOMNode; MessagePump is what `post_message` needs.
    worker = cast(Any, node).run_worker(
        run, name="follow", group="follow", exclusive=True, thread=True, exit_on_error=False
    )
    return cast("Worker[None]", worker)


def _follow(node: MessagePump, run_folder: Path, worker: Worker[Any]) -> None:
    watch = Watch(run_folder)
    taken = threading.Event()
    taken.set()
    told: RunState | None = None
    while not worker.is_cancelled:
        if taken.wait(_POLL_SECONDS):
            events = watch.poll()
            if events or watch.state != told:
                told = watch.state
                taken.clear()
                node.post_message(RunMoved(told, events, taken))
            time.sleep(_OVER_POLL_SECONDS if told is not None and told.is_over else _POLL_SECONDS)
