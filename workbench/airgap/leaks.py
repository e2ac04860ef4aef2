"""What a crash may say: the type of the exception and the place, never its message or locals.

Messages of parsers, tokenizers and databases quote the records that they stumbled over.
"""

from __future__ import annotations

import re
import sys
import threading
from pathlib import Path
from types import TracebackType

_NOT_A_CODE = re.compile(r"[^A-Za-z0-9_.:-]")
_PACKAGE = Path(__file__).resolve().parent.parent


def place_of(error: BaseException) -> str:
    """Return where `error` was raised as a code, `module:line`.

    The innermost frame of our own code is named, because a line of a library says less; the
    innermost of all when none is ours.
    """
    return _place(error.__traceback__)


def describe(error: BaseException) -> dict[str, str]:
    """Return `error_type` and `place`, fit for a `failed` event."""
    return {"error_type": _type_name(type(error)), "place": place_of(error)}


def _type_name(kind: type[BaseException]) -> str:
    module = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
    return _NOT_A_CODE.sub("-", f"{module}{kind.__qualname__}")[-80:]


def _place(traceback: TracebackType | None) -> str:
    innermost = ours = ""
    while traceback is not None:
        frame = traceback.tb_frame
        # A module's name in its globals can be set by data; the code's file cannot.
        file = Path(frame.f_code.co_filename)
        innermost = f"{file.stem}:{traceback.tb_lineno}"
        if file.is_relative_to(_PACKAGE):
            parts = file.relative_to(_PACKAGE.parent).with_suffix("").parts
            ours = f"{'.'.join(parts)}:{traceback.tb_lineno}"
        traceback = traceback.tb_next
    return _NOT_A_CODE.sub("-", ours or innermost or "unknown")[-80:]


def _tell(kind: type[BaseException], place: str, where: str) -> None:
    if sys.stderr is not None:
        print(f"{_type_name(kind)} at {place}{where}; details are withheld", file=sys.stderr)


def _on_error(
    kind: type[BaseException], error: BaseException, traceback: TracebackType | None
) -> None:
    _tell(kind, _place(traceback), "")


def _on_thread_error(arguments: threading.ExceptHookArgs) -> None:
    if arguments.exc_type is not SystemExit:
        _tell(arguments.exc_type, _place(arguments.exc_traceback), " in a thread")


def _on_unraisable(arguments: sys.UnraisableHookArgs) -> None:
    _tell(arguments.exc_type, _place(arguments.exc_traceback), " while cleaning up")


def guard_tracebacks() -> None:
    """Replace the three hooks that print exceptions nobody caught."""
    sys.excepthook = _on_error
    threading.excepthook = _on_thread_error
    sys.unraisablehook = _on_unraisable


def guard_logging() -> None:
    """Withhold what libraries log for want of a better place, tracebacks and messages alike."""
    import logging  # a command that opens no screens does without it

    class Withheld(logging.Handler):
        """Tells who logged and of what kind, never what."""

        def emit(self, record: logging.LogRecord) -> None:
            error = record.exc_info[1] if record.exc_info else None
            if error is not None:
                _tell(type(error), place_of(error), f" in {_NOT_A_CODE.sub('-', record.name)}")

    logging.lastResort = Withheld(logging.WARNING)
