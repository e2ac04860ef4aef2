"""Work that takes longer than a frame: done in a thread, told in past-tense messages.

A room's function runs in a worker; the screen that started it gets `WorkProgressed`, then
`WorkDone` or `WorkFailed`, and changes what it shows in its own handlers. What a cancelled or
superseded piece of work still told is dropped, even where it waits in the screen's queue already.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast
from weakref import WeakKeyDictionary

from textual.message import Message
from textual.message_pump import MessagePump
from textual.worker import Worker, get_current_worker

from workbench.airgap.leaks import describe
from workbench.errors import InternalError, WorkbenchError, told_by_system

Progress = Callable[[int, int, str], None]


class WorkStopped(WorkbenchError):
    """The user stopped this piece of work, or left its screen."""

    default_code = "stopped"


class _FromWork(Message, no_dispatch=None):
    """What some work tells; nobody hears of it once that work is void."""

    # Of the worker that posted it; a message that a test makes itself has none.
    is_void: Callable[[], bool] | None = None

    def __init__(self, work: str) -> None:
        super().__init__()
        self.work = work

    @property
    def no_dispatch(self) -> bool:  # type: ignore[override]  # Textual's own is set for a class
        """Whether Textual is to drop it."""
        return self.is_void is not None and self.is_void()


class WorkProgressed(_FromWork, no_dispatch=None):
    """Some work is `done` of `total` (0: unknown) through a phase."""

    def __init__(self, work: str, done: int, total: int, phase: str) -> None:
        super().__init__(work)
        self.done = done
        self.total = total
        self.phase = phase


class WorkDone(_FromWork, no_dispatch=None):
    """Some work came to its end with `result`."""

    def __init__(self, work: str, result: Any) -> None:
        super().__init__(work)
        self.result = result


class WorkFailed(_FromWork, no_dispatch=None):
    """Some work failed; `error` has a message that holds no record text."""

    def __init__(self, work: str, error: WorkbenchError) -> None:
        super().__init__(work)
        self.error = error


# Of each node, by the name of its work, what stands for the newest exclusive piece.
_NEWEST: WeakKeyDictionary[MessagePump, dict[str, object]] = WeakKeyDictionary()


def begin(
    node: MessagePump, work: str, task: Callable[[Progress], object], *, exclusive: bool = True
) -> Worker[None]:
    """Run `task` in a thread for `node`, a screen or widget, and post to it what becomes of it.

    Args:
        work: What the messages call it; with `exclusive` an earlier piece of the same name is
            cancelled and its messages are dropped. Its thread goes on until it tells its progress.
        task: Gets a progress callback `(done, total, phase)`, which raises `WorkStopped` once the
            worker was cancelled, so that rooms clean up as they do for an interrupt.
    """
    piece = object()
    pieces = _NEWEST.setdefault(node, {})
    if exclusive:
        pieces[work] = piece

    def run() -> None:
        worker = get_current_worker()

        def is_void() -> bool:
            # Work that has ended cannot be cancelled any more, but newer work may have followed.
            return worker.is_cancelled or (exclusive and pieces[work] is not piece)

        def post(told: _FromWork) -> None:
            told.is_void = is_void
            if not is_void():
                node.post_message(told)

        def tell(done: int, total: int, phase: str) -> None:
            if worker.is_cancelled:
                raise WorkStopped("Stopped.")
            post(WorkProgressed(work, done, total, phase))

        try:
            post(WorkDone(work, task(tell)))
        except WorkbenchError as error:
            post(WorkFailed(work, error))
        except OSError as error:
            post(WorkFailed(work, told_by_system(error) or _own_fault(error)))
        except Exception as error:  # its text may hold record text
            post(WorkFailed(work, _own_fault(error)))

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
