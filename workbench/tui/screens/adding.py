"""Putting a model's folder on the shelf: where it lies, its name, copied or referred to."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.widgets import Button, Input, RadioSet
from textual.worker import Worker

from workbench.errors import BadInput, WorkbenchError
from workbench.tui import work
from workbench.tui.hints import told
from workbench.tui.modals.base import WorkbenchModal
from workbench.tui.part import Part
from workbench.tui.widgets.choice import Choice
from workbench.tui.widgets.plain import Plain
from workbench.tui.widgets.progress import ProgressLine
from workbench.tui.widgets.text_input import TextInput

if TYPE_CHECKING:
    from workbench.models.shelf import Weights

_PHASES = {"copy": "Copying", "hash": "Reading"}
_UNFIT = re.compile(r"[^A-Za-z0-9._-]+")


class AddModelScreen(WorkbenchModal[str], Part):
    """Asks, adds, and stays open with the reason when the folder is refused.

    Returns the new model's id, or an empty string.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "cancel", "Cancel", id="add_model.cancel",
                tooltip="Stop, and leave the shelf as it is"),
    ]  # fmt: skip

    def __init__(self) -> None:
        super().__init__()
        self._worker: Worker[None] | None = None
        self._proposed = ""

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog wide", id="add-model"):
            yield Plain("Add a base model", classes="dialog-title")
            yield Plain("Its folder, with config.json, tokenizer.json and .safetensors files:")
            with Horizontal(classes="field"):
                yield TextInput(id="folder", placeholder="/path/to/the/model")
                yield Button("Browse…", id="browse")
            yield Plain("What to call it here:")
            yield TextInput(id="name", max_length=64, placeholder="letters, digits, . _ -")
            with RadioSet(id="weights"):
                yield Choice("Copy it: takes disk, and nobody can move or change it.", value=True)
                yield Choice("Refer to it: saves disk, but runs fail if it is moved or changed.")
            yield ProgressLine(id="progress")
            yield Plain("", id="said", classes="bad")
            with Horizontal(classes="buttons"):
                yield Button("Cancel", id="cancel")
                yield Button("Add", id="add", variant="primary")

    def on_mount(self) -> None:
        """Let the path be typed at once."""
        self.query_one("#folder", Input).focus()

    @on(Input.Changed, "#folder")
    def _propose_name(self, event: Input.Changed) -> None:
        field = self.query_one("#name", Input)
        if field.value == self._proposed:
            self._proposed = _UNFIT.sub("-", Path(event.value).name).strip("-._")[:64]
            field.value = self._proposed

    @on(Button.Pressed, "#browse")
    def _browse(self) -> None:
        from workbench.tui.modals.pickers import FolderModal, nearest_folder

        field = self.query_one("#folder", Input)

        def take(folder: Path | None) -> None:
            if folder is not None:
                field.value = str(folder)
                self.query_one("#name", Input).focus()

        self.app.push_screen(FolderModal(nearest_folder(field.value)), take)

    @on(Input.Submitted, "#folder")
    def _next_field(self) -> None:
        self.query_one("#name", Input).focus()

    @on(Input.Submitted, "#name")
    @on(Button.Pressed, "#add")
    def _add(self) -> None:
        typed = self.query_one("#folder", Input).value.strip()
        if not typed:
            self._refuse("Type the folder's path, or browse for it.")
            self.query_one("#folder", Input).focus()
            return
        folder, name = Path(typed), self.query_one("#name", Input).value
        second = self.query_one("#weights", RadioSet).pressed_index == 1
        weights: Weights = "reference" if second else "copy"
        session = self.session

        def task(tell: work.Progress) -> str:
            from workbench.models.shelf import add_model

            if "\0" in typed:
                raise BadInput("That is no path.")
            try:
                path = folder.expanduser().absolute()
            except RuntimeError:
                raise BadInput(f"There is no user of whom {typed} could be the home.") from None
            entry = add_model(session.vault, path, name, weights=weights, progress=tell)
            return entry.object_id

        self._refuse("")
        self._let_edit(False)
        self.query_one("#progress", ProgressLine).show("Checking the folder…")
        self._worker = self.begin("add-model", task)

    def _refuse(self, text: str) -> None:
        self.query_one("#said", Plain).show(text)

    def _let_edit(self, allowed: bool) -> None:
        for name in ("#folder", "#name", "#weights", "#browse", "#add"):
            self.query_one(name).disabled = not allowed
        if not allowed:
            self.query_one("#cancel", Button).focus()

    @on(work.WorkProgressed)
    def _progressed(self, event: work.WorkProgressed) -> None:
        phase = _PHASES.get(event.phase, event.phase)
        self.query_one("#progress", ProgressLine).tell(event.done, event.total, phase)

    @on(work.WorkDone)
    def _added(self, event: work.WorkDone) -> None:
        self.dismiss(event.result)

    @on(work.WorkFailed)
    def _refused(self, event: work.WorkFailed) -> None:
        self._worker = None
        self.query_one("#progress", ProgressLine).clear_line()
        self._let_edit(True)
        self._refuse(refusal(event.error))
        self.query_one("#name" if event.error.code in _OF_NAMES else "#folder", Input).focus()

    @on(Button.Pressed, "#cancel")
    def action_cancel(self) -> None:
        """Stop what is at work, which leaves nothing behind, and close."""
        if self._worker is not None:
            self._worker.cancel()
        self.dismiss("")


_OF_NAMES = {"bad_name", "name_taken"}


def refusal(error: WorkbenchError) -> str:
    """Return what was refused and what to do about it, in that order."""
    return f"✗ {told(error)}"
