"""Places that this version has no screens for yet: what they will do, and what to do meanwhile."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.widgets import Button

from workbench.tui.screens.base import WorkbenchScreen
from workbench.tui.widgets.plain import Plain, shown


class PlannedScreen(WorkbenchScreen):
    """Says honestly that there is nothing here yet.

    Attributes:
        WILL: What the place will do.
        MEANWHILE: What serves until then.
        INSTEAD: The place that serves, and what its button says.
    """

    WILL: ClassVar[str]
    MEANWHILE: ClassVar[str]
    INSTEAD: ClassVar[tuple[str, str]]
    TOUR = "press Enter to go on where something is to be seen."
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("o", "instead", "What to use instead", id="planned.instead",
                tooltip="Go to the place that serves meanwhile"),
    ]  # fmt: skip

    def compose_body(self) -> ComposeResult:
        with Vertical(id="planned"):
            yield Plain(f"{self.heading}: not in this version", classes="title")
            yield Plain(self.WILL)
            yield Plain("Meanwhile", classes="heading")
            yield Plain(self.MEANWHILE)
            with Horizontal(classes="row"):
                yield Button(shown(self.INSTEAD[1]), id="instead", variant="primary")

    def on_mount(self) -> None:
        """Enter goes on."""
        self.query_one("#instead").focus()

    @on(Button.Pressed, "#instead")
    def action_instead(self) -> None:
        """Go to the place that serves meanwhile."""
        self.workbench.go(self.INSTEAD[0])


class CombineScreen(PlannedScreen):
    """Adding adapters together."""

    PLACE = "combine"
    WILL = (
        "Here you will add two or more adapters of the same base model into one, each with a "
        "weight, by one of several methods, and try the result before you keep it."
    )
    MEANWHILE = (
        "Give one adapter all the data: import the files together as one dataset and train on "
        "that. It usually does better than adapters that were added afterwards."
    )
    INSTEAD = ("wizard", "New fine-tuning")


class ServeScreen(PlannedScreen):
    """Answering other programs of this machine."""

    PLACE = "serve"
    WILL = (
        "Here you will let other programs on this machine ask a model and its adapters, over an "
        "address of this machine alone and with a secret token. Nothing will be reachable from "
        "outside."
    )
    MEANWHILE = (
        "Talk to adapters in Playground, or export one: the merged folder loads in any program "
        "that runs models of this family."
    )
    INSTEAD = ("export", "Export")


class MemoryAuditScreen(PlannedScreen):
    """Whether an adapter recites its training data."""

    PLACE = "memory"
    WILL = (
        "Here you will measure whether an adapter recites what it was trained on: marked "
        "sentences are planted in the data before training, and the audit counts how many of them "
        "can be drawn out again."
    )
    MEANWHILE = (
        "Remove or mask identifiers at import (Datasets lists which kinds were found), keep "
        "training short, and ask the adapter in Playground for names from the data: none should "
        "come. An adapter is to be kept as safe as the data it was trained on."
    )
    INSTEAD = ("playground", "Open Playground")
