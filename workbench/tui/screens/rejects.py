"""The records of an import that were not taken: where they stand and why."""

from __future__ import annotations

from collections import Counter
from typing import Any

from textual import on
from textual.app import ComposeResult

from workbench.datasets.collection import rejects
from workbench.datasets.rejects import Reject
from workbench.tui.data_words import rejected
from workbench.tui.screens.base import WorkbenchScreen
from workbench.tui.widgets.paged_table import PagedTable
from workbench.tui.widgets.plain import Plain
from workbench.tui.work import WorkDone
from workbench.wording import count


class RejectsScreen(WorkbenchScreen):
    """File, line and reason of each; never its text, which was not kept."""

    PLACE = "datasets"
    HELP_PAGE = "rejects"

    def __init__(self, dataset: dict[str, Any]) -> None:
        super().__init__()
        self._dataset = dataset
        self._rejects: list[Reject] = []

    @property
    def heading(self) -> str:
        """What the top line says."""
        return f"Datasets › {self._dataset['dataset']} › rejected"

    def compose_body(self) -> ComposeResult:
        yield Plain("Reading the list…", id="reasons")
        yield PagedTable(("", "File", "Line", "Why it was not taken"), (7, 16, 8, 0), id="rejects")
        yield Plain("Every record of the import was taken.", id="none", classes="empty")

    def on_mount(self) -> None:
        """Read the list."""
        self.query_one("#none").display = False
        name = self._dataset["object_id"]
        self.fetch("rejects", lambda _: rejects(self.session.vault, name))

    @on(WorkDone)
    def _read(self, event: WorkDone) -> None:
        self._rejects = event.result
        table = self.query_one(PagedTable)
        table.display, self.query_one("#none").display = bool(event.result), not event.result
        by_code = Counter(item.code for item in self._rejects)
        self.query_one("#reasons", Plain).show(
            ", ".join(f"{rejected(code)} ({count(n)})" for code, n in by_code.most_common())
        )
        table.begin(len(self._rejects))
        if self._rejects:
            table.focus()

    @on(PagedTable.RowsWanted)
    def _show(self, event: PagedTable.RowsWanted) -> None:
        wanted = self._rejects[event.first : event.first + event.count]
        rows = [(item.file, item.line, rejected(item.code)) for item in wanted]
        self.query_one(PagedTable).take(event.first, rows)
