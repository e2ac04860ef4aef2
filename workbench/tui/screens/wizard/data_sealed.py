"""What was sealed: counts, what was not taken, likely identifiers, lengths, records."""

from __future__ import annotations

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, VerticalScroll
from textual.widgets import Button, Select, TabbedContent, TabPane

from workbench.errors import NotFound
from workbench.tui.data_words import ABOUT_IDENTIFIERS, KINDS, identifiers, left_out, rejected
from workbench.tui.screens.wizard.data_stage import Stage
from workbench.tui.screens.wizard.data_work import Opened, open_sealed, proposed_name
from workbench.tui.widgets.histogram import Histogram
from workbench.tui.widgets.plain import Plain, cell
from workbench.tui.widgets.records import RecordView
from workbench.tui.widgets.row_table import Cell, RowTable
from workbench.tui.work import WorkDone, WorkFailed
from workbench.wording import count, size

_SPLITS = {
    "train": "to learn from",
    "validation": "to watch training by",
    "test": "to judge the result by",
}
_ALL = "all"


class SealedStage(Stage):
    """Shows the sealed dataset, and goes on to the model."""

    def compose(self) -> ComposeResult:
        yield Plain("Opening the dataset…", id="found")
        with TabbedContent(initial="summary"):
            with TabPane("Summary", id="summary"), VerticalScroll():
                yield Plain("", id="facts")
            with TabPane("Not taken", id="refused"):
                yield Select[str]([], prompt="every reason", compact=True, id="reason")
                yield RowTable(("File", "Line", "Why it was not taken"), id="rejects")
                yield Plain("", id="no-rejects", classes="muted")
            with TabPane("Lengths", id="lengths"):
                yield Histogram()
                yield Plain("", id="about-lengths", classes="muted")
            with TabPane("Records", id="records"):
                yield RecordView()
        yield Plain("", id="said")
        with Horizontal(classes="buttons"):
            yield Button("Other data", id="back")
            yield Button("Import again, masked", id="again")
            yield Button("On to the model", id="go", variant="primary")

    def on_mount(self) -> None:
        """Open the dataset."""
        self._opened: Opened | None = None
        self.query_one("#again").display = False
        self.focus_default()
        self._open()

    def _open(self) -> None:
        draft = self.step.draft
        self.fetch("open", lambda _: open_sealed(self.step.session.vault, draft))

    def conceal(self) -> None:
        """Forget the records; open the dataset again once the vault is."""
        self._opened = None
        self.forget_preview()
        self._open()

    @on(WorkDone)
    def _show(self, event: WorkDone) -> None:
        event.stop()
        opened: Opened = event.result
        self._opened = opened
        facts = opened.facts
        self.query_one("#found", Plain).show(
            f"{facts['dataset']}: {count(facts['rows'], 'record')}, "
            f"{KINDS.get(facts['kind'], facts['kind'])}, sealed in {size(facts['bytes'])}."
        )
        self.query_one("#facts", Plain).show("\n".join(_summary(opened)))
        self.query_one("#about-lengths", Plain).show(_about_lengths(opened))
        self._list_reasons()
        self.show_preview(opened.preview)
        masked = facts["redact"] == "mask"
        self.query_one("#again").display = bool(
            facts["sensitive"] and not masked and self.step.draft.files
        )

    def failed(self, event: WorkFailed) -> None:
        """A dataset that is gone sends back to the choice."""
        if isinstance(event.error, NotFound):
            self.step.change(dataset="")
            self.step.open_stage("choose", "The dataset that was chosen is gone; choose again.")
            return
        self.query_one("#found", Plain).show("The dataset cannot be opened.")
        self.query_one("#go", Button).disabled = True
        self.query_one("#back", Button).focus()
        super().failed(event)

    # What was not taken

    def _list_reasons(self) -> None:
        if self._opened is None:
            return
        by_code = self._opened.facts["rejected_by_code"]
        total = sum(by_code.values())
        self.query_one("#no-rejects", Plain).show(
            self._about_rejects(total) if total else "Every record was taken."
        )
        for name in ("#reason", "#rejects"):
            self.query_one(name).display = bool(total)
        options = [(cell(f"every reason ({count(total)})"), _ALL)]
        options += [
            (cell(f"{rejected(code)} ({count(number)})"), code) for code, number in by_code.items()
        ]
        select = self.query_one("#reason", Select)
        with self.prevent(Select.Changed):
            select.set_options(options)
            select.value = _ALL
        self._list_rejects(_ALL)

    def _about_rejects(self, total: int) -> str:
        listed = len(self._opened.rejects) if self._opened else 0
        more = f" The first {count(listed)} are listed." if listed < total else ""
        return f"Mend these lines in the file and import it again, or go on without them.{more}"

    @on(Select.Changed, "#reason")
    def _narrow(self, event: Select.Changed) -> None:
        event.stop()
        self._list_rejects(_ALL if event.value is Select.NULL else str(event.value))

    def _list_rejects(self, code: str) -> None:
        listed = self._opened.rejects if self._opened else ()
        self.query_one(RowTable).fill(
            (
                str(number),
                (
                    Cell(item.file, limit=24),
                    Cell(count(item.line), right=True),
                    Cell(rejected(item.code)),
                ),
            )
            for number, item in enumerate(listed)
            if code in {_ALL, item.code}
        )

    # Going on

    @on(Button.Pressed, "#go")
    def _next(self) -> None:
        self.step.finish()

    @on(Button.Pressed, "#back")
    def _other(self) -> None:
        self.step.change(dataset="", files=(), reading={})
        self.step.open_stage("choose")

    @on(Button.Pressed, "#again")
    def _again(self) -> None:
        files = self.step.draft.files
        taken = frozenset({self._opened.facts["dataset"]}) if self._opened else frozenset()
        reading = {
            **self.step.draft.reading,
            "redact": "mask",
            "name": proposed_name(files, taken, masked=True),
        }
        self.step.change(dataset="", reading=reading)
        self.step.open_stage(
            "check", "The dataset without masks stays until you remove it in Datasets."
        )


def _summary(opened: Opened) -> list[str]:
    facts = opened.facts
    lines = [
        f"{count(rows):>9}  {split}: {_SPLITS.get(split, 'held out')}"
        for split, rows in facts["splits"].items()
    ]
    duplicates, refused = facts["duplicates"], facts["rejected"]
    lines.append(f"{count(duplicates):>9}  left out: they repeat an earlier record")
    lines.append(f"{count(refused):>9}  not taken{': see the view Not taken' if refused else ''}")
    for code, number in opened.preview.left_out.items():
        lines.append(
            f"{count(number):>9}  of those measured stay out of training: {left_out(code)}"
        )
    lines.append("")
    found = facts["sensitive"]
    if not found:
        lines.append("No likely identifiers were found. Names and addresses are not looked for.")
    elif facts["redact"] == "mask":
        lines.append(f"Masked: {identifiers(found)}. What was not recognised is still there.")
    else:
        lines += [f"▲ Likely identifiers: {identifiers(found)}.", ABOUT_IDENTIFIERS]
    return lines


def _about_lengths(opened: Opened) -> str:
    preview = opened.preview
    if not preview.lengths:
        return "There is no model to count with yet." if preview.fault is None else ""
    return f"Lengths in tokens, as {preview.model} counts them, of records from all over the set."
