"""The line of keys at the bottom."""

from __future__ import annotations

from typing import Any

from textual.screen import Screen
from textual.widgets import Footer


class KeysLine(Footer):
    """Textual's footer, made anew only when it would show something else.

    Textual makes all its keys anew with each step of the focus and each change on the stack of
    screens, several times while one screen opens; most of those show the same keys again.
    """

    def __init__(self) -> None:
        super().__init__(show_command_palette=False)
        self._made_of: list[tuple[Any, ...]] | None = None

    def bindings_changed(self, screen: Screen[Any]) -> None:
        """Make the keys anew, where they are others."""
        if not screen.app.app_focus or not self.is_attached or screen is not self.screen:
            return super().bindings_changed(screen)
        now = [
            (binding, self.app.get_key_display(binding), enabled, tooltip)
            for _, binding, enabled, tooltip in screen.active_bindings.values()
            if binding.show
        ]
        if now != self._made_of:
            self._made_of = now
            super().bindings_changed(screen)
        return None
