"""The sealed datasets: what is in them, whether they are whole, and their end."""

from __future__ import annotations

from typing import Any, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.widgets import DataTable

from workbench.tui.data_words import identifiers, in_order, rejected
from workbench.tui.modals.questions import ConfirmModal, MessageModal
from workbench.tui.screens.checking import CheckingScreen
from workbench.tui.widgets.facts import Facts
from workbench.tui.widgets.plain import Plain
from workbench.tui.widgets.progress import ProgressLine
from workbench.tui.widgets.row_table import Cell, RowTable
from workbench.tui.work import Progress, WorkDone, WorkFailed
from workbench.wording import count, size

Dataset = dict[str, Any]
_EMPTY = (
    "There is no data in the vault yet.\n\n"
    "Press i to bring in a file: it is checked, then sealed.\nThe file itself stays as it is."
)


class DatasetsScreen(CheckingScreen):
    """All datasets; the details of the chosen one."""

    PLACE = "datasets"
    TOUR = "Your data is sealed here. o looks into it; Esc goes back."
    PROGRESS = "Checking its parts"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("o", "open", "Open", id="datasets.open", tooltip="Look at its records"),
        Binding("i", "import_files", "Import", id="datasets.import",
                tooltip="Bring in a file, step by step"),
        Binding("v", "verify", "Verify", id="datasets.verify", show=False,
                tooltip="Read all of it and check every sealed byte"),
        Binding("r", "rejects", "Rejected", id="datasets.rejects", show=False,
                tooltip="List the records that were not taken, and why"),
        Binding("delete", "remove", "Remove", id="datasets.remove",
                tooltip="Destroy its key: it can never be read again"),
        Binding("x", "stop", "Stop", id="datasets.stop", tooltip="Stop checking"),
    ]  # fmt: skip

    def __init__(self) -> None:
        super().__init__()
        self._datasets: dict[str, Dataset] = {}
        self._details: Dataset = {}

    def compose_body(self) -> ComposeResult:
        yield Plain("Reading the catalogue…", id="none", classes="empty")
        table = RowTable(("Dataset", "Kind", "Records", "To train", "Held out", "Made"), id="list")
        table.display = False
        yield table
        yield ProgressLine(id="progress")
        with VerticalScroll(id="details"):
            yield Facts(id="facts")

    def on_screen_resume(self) -> None:
        """Read the catalogue; again after something above may have changed it."""
        if self.session.is_open:
            from workbench.datasets.collection import list_datasets

            self.fetch("list", lambda _: list_datasets(self.session.vault))

    @property
    def chosen(self) -> Dataset | None:
        """The dataset under the cursor."""
        return self._datasets.get(self.query_one(RowTable).chosen)

    @on(WorkDone)
    def _finished(self, event: WorkDone) -> None:
        if event.work == "list":
            self._fill(event.result)
        elif event.work == "details":
            self._tell(event.result)
        elif event.work == "remove":
            self.app.notify(f"{event.result} is gone.")
            self.on_screen_resume()
        elif event.work == "verify":
            self.end_work()
            told = f"{size(event.result['bytes'])} were read; every sealed byte is as it was."
            self.app.push_screen(MessageModal(f"{event.result['dataset']} is sound", told))

    def take_failure(self, event: WorkFailed) -> bool:
        """Say beside the dataset where its facts cannot be read."""
        if event.work == "details":
            self.query_one(Facts).show([("cannot be read", event.error.message)])
            return True
        return super().take_failure(event)

    def _fill(self, found: list[Dataset]) -> None:
        found.sort(key=lambda each: each["dataset"])
        found.sort(key=lambda each: each["created"], reverse=True)
        self._datasets = {each["object_id"]: each for each in found}
        table, nothing = self.query_one(RowTable), self.query_one("#none", Plain)
        nothing.show(_EMPTY)
        nothing.display, table.display = not found, bool(found)
        self.query_one("#details").display = bool(found)
        table.fill((each["object_id"], _row(each)) for each in found)
        if found:
            table.focus()
        self._look_closer()
        self.refresh_bindings()

    @on(DataTable.RowHighlighted)
    def _look_closer(self) -> None:
        from workbench.datasets.collection import show_dataset

        chosen = self.chosen
        if chosen and self._details.get("object_id") != chosen["object_id"]:
            name = chosen["object_id"]
            self.fetch("details", lambda _: show_dataset(self.session.vault, name))

    def _tell(self, details: Dataset) -> None:
        self._details = details
        self.query_one(Facts).show(facts_of(details))
        self.refresh_bindings()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Hide what cannot be done now."""
        if action in ("open", "remove"):
            return bool(self._datasets)
        if action == "verify":
            return bool(self._datasets) and not self.is_at_work
        if action == "rejects":
            return bool(self._datasets) and bool(self._details.get("rejected"))
        return super().check_action(action, parameters)

    def action_import_files(self) -> None:
        """Go to the guided path."""
        from workbench.tui.screens.wizard.screen import WizardScreen

        self.workbench.go("wizard", WizardScreen(anew=True))

    @on(DataTable.RowSelected)
    def action_open(self) -> None:
        """Look at the records."""
        from workbench.tui.screens.records import RecordsScreen

        if self.chosen:
            self.app.push_screen(RecordsScreen(self.chosen))

    def action_rejects(self) -> None:
        """List what was not taken."""
        from workbench.tui.screens.rejects import RejectsScreen

        if self.chosen:
            self.app.push_screen(RejectsScreen(self.chosen))

    def action_verify(self) -> None:
        """Check every sealed byte."""
        from workbench.datasets.collection import verify_dataset

        if self.chosen:
            name = self.chosen["object_id"]
            self.query_one(ProgressLine).show("Checking the file…")

            def task(tell: Progress) -> Dataset:
                return verify_dataset(self.session.vault, name, tell)

            self.check("verify", task)

    def action_remove(self) -> None:
        """Ask for its name, then shred it."""
        if self.chosen is None:
            return
        name, object_id = self.chosen["dataset"], self.chosen["object_id"]

        def task(_: Progress) -> str:
            from workbench.datasets.collection import remove_dataset
            from workbench.runs.listing import check_unneeded

            vault = self.session.vault
            check_unneeded(vault.home, object_id)
            remove_dataset(vault, object_id)
            return str(name)

        def answer(agreed: bool | None) -> None:
            if agreed:
                self.begin("remove", task)

        text = (
            "Its key is destroyed and its file deleted: nobody can read it again. Adapters that "
            "learnt from it stay, and so do the files that it was made from."
        )
        self.app.push_screen(
            ConfirmModal("Remove this dataset?", text, yes="Remove", type_name=name), answer
        )


def _row(dataset: Dataset) -> list[Cell]:
    splits = dataset["splits"]
    train = splits.get("train", 0)
    return [
        Cell(dataset["dataset"], limit=24),
        Cell(dataset["kind"]),
        Cell(count(dataset["rows"]), right=True),
        Cell(count(train), right=True),
        Cell(count(sum(splits.values()) - train), right=True),
        Cell(dataset["created"][:10], "muted"),
    ]


def facts_of(details: Dataset) -> list[tuple[str, str]]:
    """Return what is told of a dataset; its records are not among it."""
    columns = ", ".join(
        field if field == heading else f"{field} ← {heading}"
        for field, heading in details["columns"].items()
    )
    splits = " · ".join(f"{name} {count(n)}" for name, n in in_order(details["splits"]).items())
    reasons = ", ".join(
        f"{rejected(code)} ({count(number)})"
        for code, number in details["rejected_by_code"].items()
    )
    told = [
        ("columns", columns),
        ("splits", f"{splits} (drawn by seed {details['seed']})"),
        *(
            (
                "source" if number == 0 else "",
                f"{source['name']}, {size(source['bytes'])}, sha256:\n{source['sha256']}",
            )
            for number, source in enumerate(details["sources"])
        ),
        ("duplicates", f"{count(details['duplicates'])} left out" if details["duplicates"] else ""),
        ("rejected", f"{reasons}; press r for the list" if reasons else ""),
        ("identifiers", identifiers(details["sensitive"])),
        ("masked", "likely identifiers were replaced" if details["redact"] == "mask" else ""),
        ("tokens", ", ".join(f"{count(n)} for {model}" for model, n in details["tokens"].items())),
        ("sealed size", size(details["bytes"])),
        ("version", details["root"]),
    ]
    return [(name, value) for name, value in told if value]
