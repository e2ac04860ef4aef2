"""What the modals share: F1 explains where one is, and Escape comes back."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.screen import ModalScreen, ScreenResultType

# The app's own key, which does not reach into a modal by itself.
HELP_KEY = Binding(
    "f1", "app.help_here", "Help", id="app.help", tooltip="Explain this screen", show=False
)


class WorkbenchModal(ModalScreen[ScreenResultType]):
    """A dialog over a screen; it returns what was decided.

    One with a page of its own in the documentation has a `heading` and a `help_page`, as screens
    do; of others F1 shows that of the screen below.
    """

    BINDINGS: ClassVar[list[BindingType]] = [HELP_KEY]
