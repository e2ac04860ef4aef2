"""The first line of every screen: where one is, what runs, and whether the air gap holds."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.reactive import reactive

from workbench.runs.state import RunState
from workbench.tui.widgets.plain import Plain

_STATES = {"●": "good", "▲": "bad", "○": "poor"}


class TopLine(Horizontal):
    """One line; the app sets `live` and `badge`."""

    live: reactive[tuple[RunState, ...]] = reactive(())
    badge: reactive[str] = reactive("")

    def __init__(self, title: str) -> None:
        super().__init__()
        self._title = title

    def compose(self) -> ComposeResult:
        yield Plain(f"QLoRA Workbench › {self._title}", id="where")
        yield Plain("", id="running")
        yield Plain("", id="badge")

    def watch_live(self, live: tuple[RunState, ...]) -> None:
        """Tell the newest run that works, and how many more there are."""
        if self.is_mounted:
            self.query_one("#running", Plain).show(summary(live))

    def watch_badge(self, badge: str) -> None:
        """Show the air gap's state."""
        if self.is_mounted:
            line = self.query_one("#badge", Plain)
            line.show(badge)
            for glyph, name in _STATES.items():
                line.set_class(badge.startswith(glyph), name)

    def on_mount(self) -> None:
        """Show what was set before."""
        self.watch_live(self.live)
        self.watch_badge(self.badge)


def summary(live: tuple[RunState, ...]) -> str:
    """Return what runs in a few words: `▶ running 42 %` or nothing."""
    if not live:
        return ""
    first = live[0]
    share = f" {100 * first.step // first.steps} %" if first.steps else ""
    more = f" +{len(live) - 1}" if len(live) > 1 else ""
    return f"▶ {first.state}{share}{more}"
