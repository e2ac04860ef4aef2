"""Looking into a dataset: a million records as well as ten, and one of them in full."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal

from workbench.datasets.collection import page
from workbench.datasets.records import Record
from workbench.tui.data_words import in_order
from workbench.tui.modals.number import NumberModal
from workbench.tui.screens.base import WorkbenchScreen
from workbench.tui.widgets.paged_table import LONGEST, PagedTable
from workbench.tui.widgets.plain import Plain
from workbench.tui.widgets.turns import Turns
from workbench.tui.work import WorkDone, WorkFailed
from workbench.wording import count

_HIDDEN = "hidden: r shows the text"
_REVEALED = "shown: r hides the text"
_SPEAKERS = {"system": "System", "user": "Asked", "assistant": "Answer"}


class _Page(NamedTuple):
    split: str
    first: int
    rows: list[tuple[object, ...]]


class RecordsScreen(WorkbenchScreen):
    """The records of one split, of which only those around the visible ones are opened."""

    PLACE = "datasets"
    HELP_PAGE = "records"
    TOUR = "Enter opens a record, r shows its text; Esc goes back."
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("r", "reveal", "Reveal", id="records.reveal",
                tooltip="Show the records' text, or hide it again"),
        Binding("g", "go_to", "Go to row", id="records.go", tooltip="Jump to a row by its number"),
        Binding("s", "next_split", "Next split", id="records.split",
                tooltip="Show the records of the next split"),
    ]  # fmt: skip

    def __init__(self, dataset: dict[str, Any]) -> None:
        """Show a dataset as `workbench.datasets.collection.list_datasets` tells it."""
        super().__init__()
        self._dataset = dataset
        self._splits: dict[str, int] = in_order(dataset["splits"])
        filled = (name for name, rows in self._splits.items() if rows)
        self.split = next(filled, next(iter(self._splits), "train"))

    @property
    def heading(self) -> str:
        """What the top line says."""
        return f"Datasets › {self._dataset['dataset']}"

    @property
    def rows(self) -> int:
        """How many records the split has."""
        return self._splits.get(self.split, 0)

    def compose_body(self) -> ComposeResult:
        with Horizontal(classes="line"):
            yield Plain("", id="splits")
            yield Plain(_HIDDEN, id="hidden", classes="muted")
        told = ("Text",) if self._dataset["kind"] == "text" else ("Asked", "Answer")
        yield PagedTable(
            ("Row", *told),
            (9, *(0 for _ in told)),
            texts=range(1, 1 + len(told)),
            id="records",
        )
        yield Plain(
            "There are no records in this split.\n\nPress s for the next one.",
            id="none", classes="empty",
        )  # fmt: skip

    def on_mount(self) -> None:
        """Begin with the first split that has records."""
        self._show_split()

    def on_screen_resume(self) -> None:
        """Ask again for what was forgotten when the vault was locked."""
        if self.session.is_open:
            self.query_one(PagedTable).look()

    def conceal(self) -> None:
        """Hold no record any longer."""
        self._reveal(False)
        self.query_one(PagedTable).forget()

    def _show_split(self) -> None:
        parts = (
            f"{'▸' if name == self.split else ' '}{name} {count(rows)}"
            for name, rows in self._splits.items()
        )
        self.query_one("#splits", Plain).show("  ".join(parts))
        table = self.query_one(PagedTable)
        table.display, self.query_one("#none").display = bool(self.rows), not self.rows
        table.begin(self.rows)
        if self.rows:
            table.focus()
        self.refresh_bindings()

    @on(PagedTable.RowsWanted)
    def _fetch(self, event: PagedTable.RowsWanted) -> None:
        if not self.session.is_open:
            self.query_one(PagedTable).give_up()
            return
        name, split = self._dataset["object_id"], self.split
        first, number = event.first, event.count

        def task(_: object) -> _Page:
            records = page(self.session.vault, name, first, number, split, most=LONGEST)
            return _Page(split, first, [_row(record) for record in records])

        self.fetch("page", task)

    @on(WorkDone)
    def _fetched(self, event: WorkDone) -> None:
        table = self.query_one(PagedTable)
        if event.work == "page" and not self.session.is_open:
            table.give_up()  # locked meanwhile: it is asked for again after the door
        elif event.work == "page" and event.result.split == self.split:
            table.take(event.result.first, event.result.rows)

    def take_failure(self, event: WorkFailed) -> bool:
        """Do not wait for rows that will not come."""
        if event.work == "page":
            self.query_one(PagedTable).give_up()
        return False

    def action_reveal(self) -> None:
        """Show the text, or hide it."""
        self._reveal(not self.query_one(PagedTable).revealed)

    def _reveal(self, revealed: bool) -> None:
        self.query_one(PagedTable).revealed = revealed
        self.query_one("#hidden", Plain).show(_REVEALED if revealed else _HIDDEN)

    def action_next_split(self) -> None:
        """Show the next split."""
        names = list(self._splits)
        if names:
            self.split = names[(names.index(self.split) + 1) % len(names)]
            self._show_split()

    def action_go_to(self) -> None:
        """Ask for a row and jump there."""

        def go(row: int | None) -> None:
            if row is not None:
                self.query_one(PagedTable).move_cursor(row=row - 1)

        self.app.push_screen(NumberModal(f"Go to row of {self.split}", self.rows), go)

    @on(PagedTable.RowSelected)
    def _open(self, event: PagedTable.RowSelected) -> None:
        self.app.push_screen(RecordScreen(self._dataset, self.split, self.rows, event.cursor_row))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Hide what needs records, or a second split."""
        if action in ("reveal", "go_to"):
            return self.rows > 0
        if action == "next_split":
            return len(self._splits) > 1
        return super().check_action(action, parameters)


class RecordScreen(WorkbenchScreen):
    """One record in full; left and right turn to its neighbours."""

    PLACE = "datasets"
    HELP_PAGE = "records"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("r", "reveal", "Reveal", id="record.reveal",
                tooltip="Show the record's text, or hide it again"),
        Binding("left", "turn(-1)", "Previous", id="record.previous",
                tooltip="Turn to the record before this one"),
        Binding("right", "turn(1)", "Next", id="record.next",
                tooltip="Turn to the record after this one"),
    ]  # fmt: skip

    def __init__(self, dataset: dict[str, Any], split: str, rows: int, row: int) -> None:
        super().__init__()
        self._dataset = dataset
        self._split = split
        self._rows = rows
        self.row = row

    @property
    def heading(self) -> str:
        """What the top line says."""
        return f"Datasets › {self._dataset['dataset']} › {self._split}"

    def compose_body(self) -> ComposeResult:
        with Horizontal(classes="line"):
            yield Plain("", id="which")
            yield Plain(_HIDDEN, id="hidden", classes="muted")
        yield Turns(id="turns")

    def on_mount(self) -> None:
        """Let the arrow keys scroll the record."""
        self.query_one(Turns).focus()

    def on_screen_resume(self) -> None:
        """Open the record; again where it was forgotten when the vault was locked."""
        if self.session.is_open:
            self._fetch()

    async def _forget(self) -> None:
        await self.query_one(Turns).show(())

    def conceal(self) -> None:
        """Hold the record no longer."""
        self._reveal(False)
        self.run_worker(self._forget(), exclusive=True, group="forget")

    def _fetch(self) -> None:
        name, split, row = self._dataset["object_id"], self._split, self.row
        self.fetch("record", lambda _: page(self.session.vault, name, row, 1, split))

    @on(WorkDone)
    async def _fetched(self, event: WorkDone) -> None:
        if event.work == "record" and self.session.is_open and event.result:
            record: Record = event.result[0]
            self.query_one("#which", Plain).show(
                f"Row {count(self.row + 1)} of {count(self._rows)}, "
                f"record {count(record.number)} of the import"
            )
            await self.query_one(Turns).show(_turns(record))
            self.refresh_bindings()

    def action_reveal(self) -> None:
        """Show the text, or hide it."""
        self._reveal(not self.query_one(Turns).revealed)

    def _reveal(self, revealed: bool) -> None:
        self.query_one(Turns).revealed = revealed
        self.query_one("#hidden", Plain).show(_REVEALED if revealed else _HIDDEN)

    def action_turn(self, rows: int) -> None:
        """Turn to a neighbour."""
        self.row += rows
        self._fetch()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Hide what would turn beyond the ends."""
        if action == "turn" and isinstance(parameters[0], int):
            return 0 <= self.row + parameters[0] < self._rows
        return super().check_action(action, parameters)


def _row(record: Record) -> tuple[object, ...]:
    """Return how a record begins, on one line."""
    if record.text is not None:
        return (_one_line(record.text),)
    asked = next((turn.content for turn in record.messages if turn.role == "user"), "")
    answers = [turn.content for turn in record.messages if turn.role == "assistant"]
    return (_one_line(asked), _one_line(answers[-1] if answers else ""))


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _turns(record: Record) -> list[tuple[str, str]]:
    if record.text is not None:
        return [("", record.text)]
    return [(_SPEAKERS[turn.role], turn.content) for turn in record.messages]
