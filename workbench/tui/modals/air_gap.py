"""The layers of the air gap, each with its state and what it means."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.widgets import Button

from workbench.airgap.lockdown import Protection
from workbench.tui.modals.base import WorkbenchModal
from workbench.tui.protection import badge, tell_layers, verdict
from workbench.tui.widgets.plain import Plain

CLASSES = {"active": "good", "refused": "bad", "unavailable": "muted"}


class AirGapModal(WorkbenchModal[None]):
    """Lists the layers of this process's lock-down."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,g", "close", "Close", id="air_gap.close", tooltip="Close the list"),
    ]

    def __init__(self, protection: Protection | None) -> None:
        super().__init__()
        self._protection = protection

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog page"):
            yield Plain(badge(self._protection), classes="dialog-title")
            with VerticalScroll(classes="dialog-text", can_focus=True):
                yield Plain(verdict(self._protection), classes="layer-means")
                if self._protection is not None:
                    for layer in tell_layers(self._protection):
                        detail = f": {layer.detail}" if layer.detail else ""
                        yield Plain(
                            f"{layer.glyph} {layer.title}  {layer.state}{detail}",
                            classes=f"layer {CLASSES[layer.state]}",
                        )
                        yield Plain(layer.means, classes="layer-means muted")
            with Horizontal(classes="buttons"):
                yield Button("Close", id="close", variant="primary")

    def on_mount(self) -> None:
        """Let the arrow keys scroll."""
        self.query_one(VerticalScroll).focus()

    @on(Button.Pressed, "#close")
    def action_close(self) -> None:
        """Close the list."""
        self.dismiss(None)
