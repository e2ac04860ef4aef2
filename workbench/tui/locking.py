"""Locking the vault, by its key or after a while without any.

What the screens hold goes first: record text and typed secrets are forgotten, and what only reads
for a screen is put off until the vault is open again (`workbench.tui.work.fetch`). What writes
comes to its end, with its own hold on the keys; the door says so as long as it lasts.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from textual.screen import Screen
from textual.widget import Widget
from textual.worker import Worker

from workbench.tui import work

if TYPE_CHECKING:
    from workbench.tui.app import WorkbenchApp

CHECK_SECONDS = 5.0
WARNED_SECONDS = 30.0
# Work that a lock lets come to its end and that may take a while, in words.
_FINISHED_FIRST = {
    "add-model": "adding a model",
    "export": "an export",
    "import": "an import",
    "measure": "measuring this machine",
    "review": "comparing base and adapter",
    "starter": "adding the starter model",
}


@runtime_checkable
class Conceals(Protocol):
    """A screen or modal that holds record text or typed secrets."""

    def conceal(self) -> None:
        """Forget them: the vault was locked."""


class Lock:
    """The vault's lock, as the app turns it."""

    def __init__(self, app: WorkbenchApp) -> None:
        self._app = app
        self.last_key = time.monotonic()

    def start(self) -> None:
        """Look from now on whether somebody is there."""
        self._app.set_interval(CHECK_SECONDS, self.look)

    def note_key(self) -> None:
        """Note that somebody is there."""
        self.last_key = time.monotonic()

    def look(self) -> None:
        """Lock the vault if nobody was there for as long as the settings say; warn before."""
        app = self._app
        if not app.settings.idle_minutes or app.session.tour or not app.session.is_open:
            return
        left = 60 * app.settings.idle_minutes - (time.monotonic() - self.last_key)
        if left <= 0:
            self.turn()
        elif WARNED_SECONDS - CHECK_SECONDS < left <= WARNED_SECONDS:
            app.notify(f"The vault locks in {left:.0f} s. Any key keeps it open.", timeout=left)

    def turn(self) -> None:
        """Take the keys away from the screens; what trains goes on."""
        if not self._app.session.is_open:
            return
        self._app.session.lock()
        for screen in self._app.screen_stack:
            # Below the door nothing stays, revealed or not, for whoever unlocks next.
            if isinstance(screen, Conceals):
                screen.conceal()
            forget_drawn(screen)
        work.put_off_reading()
        self._app.show_door()


def forget_drawn(screen: Screen[Any]) -> None:
    """Drop what Textual keeps of how `screen` was drawn: the very text that stood there.

    It would be kept until the screen is drawn again, which one below the door is not. There is no
    public way to ask for this.
    """
    for widget in screen.walk_children(Widget, with_self=True):
        widget._render_cache = widget._render_cache._replace(lines=[])
        widget._styles_cache.clear()
        widget._arrangement_cache.clear()
        widget.refresh()
    screen._compositor.clear()
    screen.refresh(layout=True)


def finished_first(workers: Iterable[Worker[object]]) -> str:
    """Return what a locked vault still waits for, in a sentence; empty: nothing."""
    found = {each.name for each in workers if each.is_running}
    told = sorted(words for name, words in _FINISHED_FIRST.items() if name in found)
    if not told:
        return ""
    return f"Still under way, and finished first: {', '.join(told)}."
