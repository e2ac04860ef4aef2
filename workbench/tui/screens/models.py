"""The shelf of base models: what each is, whether it can be trained here, and its end."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.widgets import DataTable

from workbench.models.shelf import Verification
from workbench.tui.modals.questions import ConfirmModal, MessageModal
from workbench.tui.screens.adding import AddModelScreen
from workbench.tui.screens.checking import CheckingScreen
from workbench.tui.screens.shelf import (
    COLUMNS,
    EMPTY,
    Shelf,
    ShelfModel,
    need_sentence,
    read_shelf,
    shelf_row,
)
from workbench.tui.widgets.facts import Facts
from workbench.tui.widgets.plain import Plain
from workbench.tui.widgets.progress import ProgressLine
from workbench.tui.widgets.row_table import RowTable
from workbench.tui.work import Progress, WorkDone
from workbench.wording import count, size

_PHASES = {"verify": "Reading its files", "copy": "Copying"}


class ModelsScreen(CheckingScreen):
    """All base models; the details of the chosen one."""

    PLACE = "models"
    TOUR = "The starter model is here already. Esc goes back."
    COUNTS_BYTES = True
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("a", "add", "Add", id="models.add",
                tooltip="Check the folder of a model and put it on the shelf"),
        Binding("s", "add_starter", "Starter", id="models.starter",
                tooltip="Put the small starter model back on the shelf"),
        Binding("v", "verify", "Verify", id="models.verify",
                tooltip="Read every file again and compare it with what was added"),
        Binding("delete", "remove", "Remove", id="models.remove",
                tooltip="Take this model off the shelf"),
        Binding("x", "stop", "Stop", id="models.stop", tooltip="Stop reading its files"),
    ]  # fmt: skip

    def __init__(self) -> None:
        super().__init__()
        self._shelf = Shelf(())
        self._added = ""

    def compose_body(self) -> ComposeResult:
        yield Plain("Reading the shelf…", id="none", classes="empty")
        table = RowTable(COLUMNS, id="list")
        table.display = False
        yield table
        yield ProgressLine(id="progress")
        with VerticalScroll(id="details"):
            yield Facts(id="facts")

    def on_screen_resume(self) -> None:
        """Read the shelf; again after something above may have changed it."""
        if self.session.is_open:
            self.fetch("shelf", lambda _: read_shelf(self.session.vault))

    @property
    def chosen(self) -> ShelfModel | None:
        """The model under the cursor."""
        return self._shelf.find(self.query_one(RowTable).chosen)

    @on(WorkDone)
    def _finished(self, event: WorkDone) -> None:
        if event.work == "shelf":
            self._fill(event.result)
        elif event.work == "verify":
            self.end_work()
            self.app.push_screen(verdict(event.result))
        elif event.work == "starter":
            self._added = event.result
            self.end_work()
            self.on_screen_resume()
        elif event.work == "remove":
            self.app.notify(f"{event.result} is off the shelf.")
            self.on_screen_resume()

    def _fill(self, shelf: Shelf) -> None:
        self._shelf = shelf
        table, nothing = self.query_one(RowTable), self.query_one("#none", Plain)
        nothing.show(EMPTY)
        nothing.display, table.display = not shelf.models, bool(shelf.models)
        self.query_one("#details").display = bool(shelf.models)
        table.fill(((model.object_id, shelf_row(model)) for model in shelf.models), at=self._added)
        self._added = ""
        if shelf.models:
            table.focus()
        self._tell()
        self.refresh_bindings()

    @on(DataTable.RowHighlighted)
    def _tell(self) -> None:
        if self.chosen:
            self.query_one(Facts).show(facts_of(self.chosen))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Hide what cannot be done now."""
        idle = not self.is_at_work
        if action == "add_starter":
            return idle and not self._shelf.has_starter
        if action in ("verify", "remove"):
            return idle and bool(self._shelf.models)
        return super().check_action(action, parameters)

    def action_add(self) -> None:
        """Add a folder, and put the cursor on it."""

        def added(object_id: str | None) -> None:
            self._added = object_id or ""

        self.app.push_screen(AddModelScreen(), added)

    def action_add_starter(self) -> None:
        """Put the starter back."""

        def task(tell: Progress) -> str:
            from workbench.models.shelf import add_starter

            return add_starter(self.session.vault, progress=tell).object_id

        self.do("starter", task)

    def action_verify(self) -> None:
        """Hash its files again."""
        if self.chosen:
            name = self.chosen.object_id

            def task(tell: Progress) -> Verification:
                from workbench.models.shelf import verify_model

                return verify_model(self.session.vault, name, progress=tell)

            self.check("verify", task)

    def progress_words(self, phase: str) -> str:
        """Say what becomes of the model's files."""
        return _PHASES.get(phase, phase)

    def action_remove(self) -> None:
        """Ask for its name, then take it off."""
        if self.chosen is None:
            return
        name, object_id = self.chosen.name, self.chosen.object_id

        def task(_: Progress) -> str:
            from workbench.models.shelf import remove_model
            from workbench.runs.listing import check_unneeded

            check_unneeded(self.session.vault.home, object_id)
            remove_model(self.session.vault, object_id)
            return name

        def answer(agreed: bool | None) -> None:
            if agreed:
                self.begin("remove", task)

        referenced = self.chosen.document["weights"] == "reference"
        text = (
            "It is taken off the shelf. The weights that it refers to stay where they are."
            if referenced
            else "It is taken off the shelf and its copy is deleted from the vault's home. "
            "The folder that it came from is not touched."
        )
        self.app.push_screen(
            ConfirmModal("Remove this model?", text, yes="Remove", type_name=name), answer
        )


def facts_of(model: ShelfModel) -> list[tuple[str, str]]:
    """Return what is told of one model."""
    told = model.document
    template = told["chat_template"]
    own = "the model's own" if template["source"] == "own" else f"{template['name']}, chosen for it"
    marks = "" if template["marks_answers"] else "; answers are found by comparing prefixes"
    referred = told["weights"] == "reference"
    kept = "referred to where it lies" if referred else "copied into the vault's home"
    ignored = "\n".join(f"{item['name']}: {item['reason']}" for item in told["ignored"])
    pairs = [
        ("trainable", need_sentence(model.weighed)),
        (
            "made of",
            f"{count(told['parameters'], 'parameter')}, {count(told['layers'], 'layer')}, "
            f"hidden size {count(told['hidden'])}",
        ),
        ("context", f"at most {count(told['context'], 'token')} at a time"),
        ("template", own + marks),
        ("weights", f"{size(told['bytes'])}, {kept}"),
        ("from", told["source"]),
        ("SHA-256", told["sha256"]),
        ("ignored", ignored),
    ]
    return [(name, value) for name, value in pairs if value]


def verdict(check: Verification) -> MessageModal:
    """Return what verifying a model showed."""
    read = f"{count(check.files, 'file')}, {size(check.bytes)}"
    if not check.bad:
        return MessageModal(f"{check.model} is sound", f"{read}: every byte is as it was added.")
    listed = "\n".join(f"✗ {line}" for line in check.bad)
    return MessageModal(
        f"{check.model} was changed",
        f"{listed}\n\nRuns with it are refused. Remove it, and add it again from a folder that "
        "you trust.",
    )
