"""Work that takes longer than a frame: done in a thread, told in past-tense messages.

A room's function runs in a worker; the screen that started it gets `WorkProgressed`, then
`WorkDone` or `WorkFailed`, and changes what it shows in its own handlers. What a cancelled or
superseded piece of work still told is dropped, even where it waits in the screen's queue already.

`begin` starts what has to come to its end whatever happens: it writes, or needs no vault. `fetch`
starts what only reads for the screen: locking the vault ends it, unlocking begins it again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any, cast
from weakref import WeakKeyDictionary, WeakSet

from textual.message import Message
from textual.message_pump import MessagePump
from textual.worker import Worker, get_current_worker

from workbench.airgap.leaks import describe
from workbench.errors import InternalError, WorkbenchError, told_by_system
from workbench.tui.session import Locked

if TYPE_CHECKING:
    from workbench.tui.app import WorkbenchApp

Progress = Callable[[int, int, str], None]
Task = Callable[[Progress], object]


class WorkStopped(WorkbenchError):
    """The user stopped this piece of work, or left its screen."""

    default_code = "stopped"


class _FromWork(Message, no_dispatch=None):
    """What some work tells; nobody hears of it once that work is void."""

    # What posted it; a message that a test makes itself has none.
    piece: _Piece | None = None

    def __init__(self, work: str) -> None:
        super().__init__()
        self.work = work

    @property
    def no_dispatch(self) -> bool:  # type: ignore[override]  # Textual's own is set for a class
        """Whether Textual, which asks as it hands the message over, is to drop it."""
        if self.piece is None:
            return False
        if self.piece.is_void:
            return True
        self.piece.has_arrived = not isinstance(self, WorkProgressed)
        return False


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


@dataclass(eq=False)
class _Piece:
    """One piece of work; its message says nothing any more once the piece is void."""

    node: MessagePump
    name: str
    task: Task
    exclusive: bool = True
    reads: bool = False
    number: int = field(default_factory=count().__next__)
    worker: Worker[None] | None = None
    is_put_off: bool = False
    has_arrived: bool = False

    @property
    def is_void(self) -> bool:
        """Whether it was cancelled, put off, or newer work of its name has begun."""
        # Work that has ended cannot be cancelled any more, but newer work may have followed.
        newer = self.exclusive and _NEWEST[self.node].get(self.name) != self.number
        cancelled = self.worker is not None and self.worker.is_cancelled
        return self.is_put_off or newer or cancelled


# Of each node, by the name of its work, the number of the newest exclusive piece.
_NEWEST: WeakKeyDictionary[MessagePump, dict[str, int]] = WeakKeyDictionary()
# What reads for a screen and is under way; and what waits for the vault to be unlocked.
_READING: WeakSet[_Piece] = WeakSet()
_WAITING: list[_Piece] = []


def begin(node: MessagePump, work: str, task: Task, *, exclusive: bool = True) -> Worker[None]:
    """Run `task` in a thread for `node`, a screen or widget, and post to it what becomes of it.

    It goes on when the vault is locked: what only reads for the screen is for `fetch`.

    Args:
        work: What the messages call it; with `exclusive` an earlier piece of the same name is
            cancelled and its messages are dropped. Its thread goes on until it tells its progress.
        task: Gets a progress callback `(done, total, phase)`, which raises `WorkStopped` once the
            worker was cancelled, so that rooms clean up as they do for an interrupt.
    """
    return _start(_Piece(node, work, task, exclusive))


def fetch(node: MessagePump, work: str, task: Task) -> None:
    """Run `task`, which only reads for the screen, as `begin` does; a lock ends it.

    What is under way when the vault is locked is cancelled, and begins again once it is unlocked;
    so does what finds the vault locked. `task` must not hold the vault, nor anything of its.
    """
    _start(_Piece(node, work, task, reads=True))


def cancel(node: MessagePump, work: str) -> None:
    """Cancel work of this name, wherever it is: under way, on its way, or waiting for the vault."""
    _NEWEST.setdefault(node, {}).pop(work, None)
    cast(Any, node).workers.cancel_group(node, work)


def put_off_reading() -> None:
    """Take what reads for the screens away from a vault that was locked."""
    for piece in list(_READING):
        if not piece.is_void and not piece.has_arrived:
            _put_off(piece)
            if piece.worker is not None:
                piece.worker.cancel()


def take_up_reading() -> None:
    """Begin again, in a vault that was unlocked, what was put off and is still wanted."""
    waiting = [piece for piece in _WAITING if _is_wanted(piece)]
    _WAITING.clear()
    for piece in waiting:
        fetch(piece.node, piece.name, piece.task)


def _put_off(piece: _Piece) -> None:
    piece.is_put_off = True
    _WAITING[:] = [each for each in _WAITING if _is_wanted(each)] + [piece]


def _wait(piece: _Piece) -> None:
    if not piece.is_void:
        _put_off(piece)
        if cast("WorkbenchApp", piece.node.app).session.is_open:  # unlocked in between
            take_up_reading()


def _is_wanted(piece: _Piece) -> bool:
    newest = _NEWEST.get(piece.node, {}).get(piece.name)
    return piece.node.is_running and newest == piece.number


def _start(piece: _Piece) -> Worker[None]:
    if piece.exclusive:
        _NEWEST.setdefault(piece.node, {})[piece.name] = piece.number
    if piece.reads:
        _READING.add(piece)
    # Every node that is given here is a DOMNode; MessagePump is what `post_message` needs.
    piece.worker = cast(Any, piece.node).run_worker(
        partial(_run, piece), name=piece.name, group=piece.name, exclusive=piece.exclusive,
        thread=True, exit_on_error=False,
    )  # fmt: skip
    return cast("Worker[None]", piece.worker)


def _run(piece: _Piece) -> None:
    worker = get_current_worker()

    def post(told: _FromWork) -> None:
        told.piece = piece
        if not piece.is_void:
            piece.node.post_message(told)

    def tell(done: int, total: int, phase: str) -> None:
        if worker.is_cancelled:
            raise WorkStopped("Stopped.")
        post(WorkProgressed(piece.name, done, total, phase))

    try:
        post(WorkDone(piece.name, piece.task(tell)))
    except Locked as error:
        if piece.reads:
            piece.node.call_later(_wait, piece)
        else:
            post(WorkFailed(piece.name, error))
    except WorkbenchError as error:
        post(WorkFailed(piece.name, error))
    except OSError as error:
        post(WorkFailed(piece.name, told_by_system(error) or _own_fault(error)))
    except Exception as error:  # its text may hold record text
        post(WorkFailed(piece.name, _own_fault(error)))


def _own_fault(error: Exception) -> InternalError:
    told = describe(error)
    return InternalError(
        f"Something in the workbench itself failed ({told['error_type']} at {told['place']}).",
        hint="Your vault is as it was. Look at Doctor, and report this line.",
    )
