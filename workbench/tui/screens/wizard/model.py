"""The second step: which base model to teach."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.widgets import Button, DataTable

from workbench.runs.drafts import Draft
from workbench.tui.screens.adding import AddModelScreen
from workbench.tui.screens.shelf import (
    COLUMNS,
    EMPTY,
    Shelf,
    need_sentence,
    read_shelf,
    shelf_row,
)
from workbench.tui.screens.wizard.step import WizardStep
from workbench.tui.widgets.plain import Plain
from workbench.tui.widgets.row_table import RowTable
from workbench.tui.work import Progress, WorkDone


class ModelStep(WizardStep):
    """Lists the shelf against this machine's memory, the one to take chosen already."""

    NAME = "model"
    TITLE = "Model"
    SENTENCE = "Choose the base model. It stays as it is; what it learns goes into an adapter."
    TOUR = "The starter model is chosen. Press Enter to go on with it."
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("a", "add_model", "Add a model", id="wizard_model.add",
                tooltip="Check the folder of another model and put it on the shelf"),
        Binding("s", "add_starter", "Starter", id="wizard_model.starter",
                tooltip="Put the small starter model back on the shelf"),
    ]  # fmt: skip

    def __init__(self) -> None:
        super().__init__()
        self._shelf: Shelf | None = None
        self._added = ""

    @classmethod
    def lacks(cls, draft: Draft) -> str:
        """A model is chosen for some data."""
        return "" if draft.dataset else "Choose the data first."

    def compose(self) -> ComposeResult:
        yield RowTable(COLUMNS, id="shelf")
        yield Plain(EMPTY, id="no-models", classes="empty")
        yield Plain("", id="why")
        yield Plain("", id="about", classes="muted")
        with Horizontal(classes="buttons"):
            yield Button("Add a model…", id="add")
            yield Button("Use this model", id="use", variant="primary")

    def on_mount(self) -> None:
        """Read the shelf."""
        self.query_one("#no-models").display = False
        self._read()

    def _read(self) -> None:
        dataset = self.draft.dataset
        self.fetch("shelf", lambda _: read_shelf(self.session.vault, dataset))

    @on(WorkDone)
    def _done(self, event: WorkDone) -> None:
        event.stop()
        if event.work == "shelf":
            self._fill(event.result)
        elif event.work == "starter":
            self._added = event.result
            self._read()

    def _fill(self, shelf: Shelf) -> None:
        self._shelf = shelf
        table, none = self.query_one(RowTable), not shelf.models
        table.display, self.query_one("#no-models").display = not none, none
        self.query_one("#use", Button).disabled = none
        rows = [(model.object_id, shelf_row(model)) for model in shelf.models]
        table.fill(rows, at=self._added or table.chosen or shelf.default(self.draft.model))
        self._added = ""
        self.query_one("#why", Plain).show(f"→ {shelf.why.text}" if shelf.why else "")
        (self.query_one("#add", Button) if none else table).focus()
        self._tell_about()
        self.refresh_bindings()

    @on(DataTable.RowHighlighted)
    def _tell_about(self) -> None:
        found = self._shelf and self._shelf.find(self.query_one(RowTable).chosen)
        self.query_one("#about", Plain).show(need_sentence(found.weighed) if found else "")

    @on(DataTable.RowSelected)
    @on(Button.Pressed, "#use")
    def go_on(self) -> None:
        """Take the model under the cursor."""
        chosen = self.query_one(RowTable).chosen
        if chosen:
            self.change(model=chosen)
            self.finish()

    @on(Button.Pressed, "#add")
    def action_add_model(self) -> None:
        """Add a model, and put the cursor on it."""

        def added(object_id: str | None) -> None:
            if object_id:
                self._added = object_id
                self._read()

        self.app.push_screen(AddModelScreen(), added)

    def action_add_starter(self) -> None:
        """Put the starter back."""
        session = self.session

        def task(tell: Progress) -> str:
            from workbench.models.shelf import add_starter

            return add_starter(session.vault, progress=tell).object_id

        self.begin("starter", task)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer the starter only while it is missing."""
        if action == "add_starter":
            return self._shelf is not None and not self._shelf.has_starter
        return super().check_action(action, parameters)
