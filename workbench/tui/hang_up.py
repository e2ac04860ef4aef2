"""Ending with the terminal: without one, screens would go round in circles over an open vault."""

from __future__ import annotations

import os
import select
import signal
import sys
import threading


def heed_hang_up() -> None:
    """Let this process end by SIGHUP once its terminal is gone.

    The kernel sends that signal to whoever the terminal controls. It does not come where a
    wrapper such as nohup had it ignored, or where the terminal controls another process.
    """
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
    if sys.__stdin__ is not None and sys.__stdin__.isatty():
        watch = threading.Thread(
            target=_end_with, args=(sys.__stdin__.fileno(),), name="hang-up", daemon=True
        )
        watch.start()


def _end_with(terminal: int) -> None:
    poll = select.poll()
    poll.register(terminal, 0)  # a hang-up is told unasked
    for _, happened in poll.poll():
        if happened & select.POLLHUP:
            os.kill(os.getpid(), signal.SIGHUP)
