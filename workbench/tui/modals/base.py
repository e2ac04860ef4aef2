"""What the modals share: F1 explains where one is, Escape comes back, and each closes once."""

from __future__ import annotations

from typing import ClassVar

from textual.await_complete import AwaitComplete
from textual.binding import Binding, BindingType
from textual.screen import ModalScreen, ScreenResultType

# The app's own key, which does not reach into a modal by itself.
HELP_KEY = Binding(
    "f1", "app.help_here", "Help", id="app.help", tooltip="Explain this screen", show=False
)


class ClosesOnce(ModalScreen[ScreenResultType]):
    """A dialog that closes itself and no other screen.

    Textual's closes whatever is on top. A second Escape, typed while the first is at work, still
    reaches a dialog that is gone; and a result may come while something is open over it.
    """

    def dismiss(self, result: ScreenResultType | None = None) -> AwaitComplete:
        """Close it, and what is open over it; nothing if it is closed already."""
        if self not in self.app.screen_stack:
            return AwaitComplete()
        while self.app.screen is not self:
            self.app.screen.dismiss(None)
        return super().dismiss(result)


class WorkbenchModal(ClosesOnce[ScreenResultType]):
    """A dialog over a screen; it returns what was decided.

    One with a page of its own in the documentation has a `heading` and a `help_page`, as screens
    do; of others F1 shows that of the screen below.
    """

    BINDINGS: ClassVar[list[BindingType]] = [HELP_KEY]
