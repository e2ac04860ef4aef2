"""Work that takes longer than a frame: done in a thread, told in past-tense messages.

A room's function runs in a worker; the screen that started it gets `WorkProgressed`, then
`WorkDone` or `WorkFailed`, and changes what it shows in its own handlers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from textual.message import Message
from textual.message_pump import MessagePump
from textual.worker import Worker, get_current_worker

from workbench.airgap.leaks import describe
from workbench.errors import InternalError, WorkbenchError, told_by_system

Progress = Callable[[int, int, str], None]


class WorkStopped(WorkbenchError):
    """The user stopped this piece of work, or left its screen."""

    default_code = "stopped"


class WorkProgressed(Message):
    """Some work is `done` of `total` (0: unknown) through a phase."""

    def __init__(self, work: str, done: int, total: int, phase: str) -> None:
        super().__init__()
        self.work = work
        self.done = done
        self.total = total
        self.phase = phase


class WorkDone(Message):
    """Some work came to its end with `result`."""

    def __init__(self, work: str, result: Any) -> None:
        super().__init__()
        self.work = work
        self.result = result


class WorkFailed(Message):
    """Some work failed; `error` has a message that holds no record text."""

    def __init__(self, work: str, error: WorkbenchError) -> None:
        super().__init__()
        self.work = work
        self.error = error


def begin(
    node: MessagePump, work: str, task: Callable[[Progress], object], *, exclusive: bool = True
) -> Worker[None]:
    """Run `task` in a thread for `node`, a screen or widget, and post to it what becomes of it.

    Args:
        work: What the messages call it; with `exclusive` an earlier piece of the same name is
            cancelled and its messages are dropped.
        task: Gets a progress callback `(done, total, phase)`, which raises `WorkStopped` once the
            worker was cancelled, so that rooms clean up as they do for an interrupt.
    """

    def run() -> None:
        worker = get_current_worker()

        def tell(done: int, total: int, phase: str) -> None:
            if worker.is_cancelled:
                raise WorkStopped("Stopped.")
            node.post_message(WorkProgressed(work, done, total, phase))

        told: Message
        try:
            told = WorkDone(work, task(tell))
        except WorkbenchError as error:
            told = WorkFailed(work, error)
        except OSError as error:
            told = WorkFailed(work, told_by_system(error) or _own_fault(error))
        except Exception as error:  # its text may hold record text
            told = WorkFailed(work, _own_fault(error))
        if not worker.is_cancelled:
            node.post_message(told)

    # Every node that is given here is a DOMNode; MessagePump is what `post_message` needs.
    worker = cast(Any, node).run_worker(
        run, name=work, group=work, exclusive=exclusive, thread=True, exit_on_error=False
    )
    return cast("Worker[None]", worker)


def _own_fault(error: Exception) -> InternalError:
    told = describe(error)
    return InternalError(
        f"Something in the workbench itself failed ({told['error_type']} at {told['place']}).",
        hint="Your vault is as it was. Look at Doctor, and report this line.",
    )
