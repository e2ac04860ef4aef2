"""Checking: what the files would be read as, before they are sealed; then sealing them."""

from __future__ import annotations

import time
from typing import Any, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.widgets import Button, Checkbox, Input, TabbedContent, TabPane

from workbench.tui.hints import told
from workbench.tui.modals.questions import ConfirmModal
from workbench.tui.screens.wizard import data_report
from workbench.tui.screens.wizard.data_fields import ColumnChoice, ReadingChanged
from workbench.tui.screens.wizard.data_stage import Stage
from workbench.tui.screens.wizard.data_work import (
    Looked,
    bring_in,
    look,
    proposed_name,
    reading_of,
)
from workbench.tui.stopping import StopFlag
from workbench.tui.widgets.check import Check
from workbench.tui.widgets.histogram import Histogram
from workbench.tui.widgets.plain import Plain, shown
from workbench.tui.widgets.progress import progress_text
from workbench.tui.widgets.records import RecordView
from workbench.tui.widgets.text_input import TextInput
from workbench.tui.work import WorkDone, WorkFailed, WorkProgressed

_NAMES_FIRST = "The first line of a CSV file names its columns"


class CheckStage(Stage):
    """Shows kind, columns, records and lengths as the import would take them, and imports."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "stop", "Stop", id="data.stop",
                tooltip="Stop reading; nothing of it is kept"),
    ]  # fmt: skip

    def compose(self) -> ComposeResult:
        yield Plain("Looking at the files…", id="found")
        with TabbedContent(initial="columns"):
            with TabPane("Columns", id="columns"), Horizontal():
                yield ColumnChoice()
                with VerticalScroll(id="report"):
                    yield Plain("", id="findings")
            with TabPane("Records", id="records"):
                yield RecordView()
            with TabPane("Lengths", id="lengths"):
                yield Histogram()
                yield Plain("", id="about-lengths", classes="muted")
            with TabPane("Options", id="options"):
                yield from self._options()
        yield Plain("", id="said")
        with Horizontal(classes="buttons"):
            yield Button("Other files", id="back")
            yield Button("Stop", id="stop")
            yield Button("Seal the records", id="go", variant="primary", disabled=True)

    def _options(self) -> ComposeResult:
        reading = reading_of(self.step.draft)
        splits = reading["splits"]
        with Vertical():
            with Horizontal(classes="row"):
                yield Plain("Name")
                yield TextInput(id="name", max_length=100)
            with Horizontal(classes="row"):
                yield Plain("Held out to watch training, %")
                yield TextInput(
                    _percent(splits.get("validation", 0)), id="validation", max_length=4
                )
            with Horizontal(classes="row"):
                yield Plain("Held out to judge the result, %")
                yield TextInput(_percent(splits.get("test", 0)), id="test", max_length=4)
            yield Check(_NAMES_FIRST, reading["header"], id="header")
            yield Check(
                "Leave out records that repeat an earlier one",
                reading["dedupe"] == "exact",
                id="dedupe",
            )
            yield Check(
                shown("Mask likely identifiers: ann@example.org becomes [EMAIL]"),
                reading["redact"] == "mask",
                id="redact",
            )
            yield Plain(
                "Held-out records are never learnt from. They show whether the model learnt the "
                "task or only its examples.",
                classes="muted",
            )

    def on_mount(self) -> None:
        """Look at the files."""
        self._looked: Looked | None = None
        self._importing = False
        self._flag = StopFlag()
        self._began = 0.0
        self.query_one("#stop").display = False
        self.query_one("#back", Button).focus()
        self._look()

    def conceal(self) -> None:
        """Forget the records; look at the files again once the vault is open."""
        self._looked = None
        self.forget_preview()
        if not self._importing:
            self._look()

    def on_unmount(self) -> None:
        """Say what became of an import whose screen was left."""
        if self._importing:
            self.app.notify("Reading was stopped; nothing of it was kept.", severity="warning")

    def _look(self) -> None:
        draft = self.step.draft
        self.query_one("#go", Button).disabled = True
        self.say("Looking…", kind="muted")
        self.fetch("look", lambda _: look(self.step.session.vault, draft))

    @on(WorkDone)
    def _done(self, event: WorkDone) -> None:
        event.stop()
        if event.work == "look":
            self._show(event.result)
        else:
            self._importing = False
            self.step.change(dataset=event.result.object_id)
            self.step.open_stage("sealed")

    def _show(self, looked: Looked) -> None:
        self._looked = looked
        seen = looked.peek
        self.say(self.said, kind="muted")
        self.query_one("#found", Plain).show(data_report.found(looked))
        self.query_one(ColumnChoice).show(reading_of(self.step.draft), looked)
        self.query_one("#findings", Plain).show(data_report.findings(looked))
        self.query_one("#about-lengths", Plain).show(data_report.about_lengths(looked))
        self.show_preview(looked.preview)
        name = self.query_one("#name", Input)
        if not name.value:
            wanted = reading_of(self.step.draft)["name"]
            free = wanted and wanted not in looked.names
            name.value = wanted if free else proposed_name(self.step.draft.files, looked.names)
        go = self.query_one("#go", Button)
        go.disabled = not seen.taken
        if seen.kind and not seen.looked:
            self.say("There is no record in what was read: a header alone? Choose other files.")
        elif seen.kind and go.disabled:
            self.say("None of the records looked at can be taken. Are these the right columns?")
        # Whoever is busy with a field stays there.
        if self.focused_here in {None, self.query_one("#back")}:
            if go.disabled:
                self.open_view("columns")
            else:
                go.focus()

    @property
    def focused_here(self) -> Any:
        """The widget of this stage that has the focus."""
        focused = self.screen.focused
        return focused if focused is not None and self in focused.ancestors else None

    def failed(self, event: WorkFailed) -> None:
        """Say what went wrong, and put the focus where it can be mended."""
        self._show_importing(False)
        stopped = event.error.code == "stopped"
        self.say("Stopped. Nothing of it was kept." if stopped else told(event.error, "data"))
        if event.work == "look":
            self.query_one("#found", Plain).show("The files cannot be read.")
            self.query_one("#back", Button).focus()
            return
        self.query_one("#go", Button).disabled = False
        if event.error.code in {"name_taken", "bad_name"}:
            self.open_view("options", "#name")
        else:
            self.focus_default()

    # What is chosen

    @on(ReadingChanged)
    def _read_otherwise(self, event: ReadingChanged) -> None:
        event.stop()
        self._change(kind=event.kind, mapping=event.mapping)
        self._look()

    @on(Checkbox.Changed, "#header")
    def _read_first_line(self, event: Checkbox.Changed) -> None:
        event.stop()
        # The columns are called otherwise now, so what was mapped is void.
        self._change(header=event.value, kind="auto", mapping={})
        self._look()

    @on(Checkbox.Changed, "#dedupe, #redact")
    def _tick(self) -> None:
        dedupe, redact = (self.query_one(name, Check).value for name in ("#dedupe", "#redact"))
        before = reading_of(self.step.draft)
        self._change(dedupe="exact" if dedupe else "off", redact="mask" if redact else "none")
        if (before["redact"] == "mask") != redact:
            self._look()

    def _change(self, **changes: Any) -> None:
        self.step.change(reading={**self.step.draft.reading, **changes})

    @on(Input.Submitted)
    def _submitted(self) -> None:
        self.go_on()

    def _take_options(self) -> bool:
        """Note name and shares; say what is wrong with them."""
        shares = {}
        for split in ("validation", "test"):
            field = self.query_one(f"#{split}", Input)
            try:
                shares[split] = float(field.value.strip().removesuffix("%") or 0) / 100
            except ValueError:
                shares[split] = -1
            if not 0 <= shares[split] <= 1:
                self.say("A share is a number from 0 to 100.")
                self.open_view("options", f"#{split}")
                return False
        name = self.query_one("#name", Input).value.strip()
        self._change(name=name, splits={key: share for key, share in shares.items() if share})
        if self._looked is not None and name in self._looked.names:
            self.say("There is already a dataset with this name. Choose another.")
            self.open_view("options", "#name")
            return False
        return True

    # Importing

    @on(Button.Pressed, "#go")
    def _import(self) -> None:
        if not self._take_options():
            return
        draft = self.step.draft
        self._show_importing(True)
        self.say("Reading…", kind="muted")
        flag = self._flag = StopFlag()
        session = self.step.session
        self.begin("import", lambda tell: bring_in(session.vault, draft, flag.heeding(tell)))

    def _show_importing(self, on: bool) -> None:
        self._importing = on
        self._began = time.monotonic()
        self.query_one(TabbedContent).disabled = on
        self.query_one("#stop").display = on
        for name in ("#go", "#back"):
            button = self.query_one(name, Button)
            button.display = not on
        if on:
            self.query_one("#stop", Button).focus()
        self.screen.refresh_bindings()

    @on(WorkProgressed)
    def _progressed(self, event: WorkProgressed) -> None:
        event.stop()
        if self._importing and event.work == "import" and not self._flag.is_set:
            seconds = time.monotonic() - self._began
            self.say(progress_text(event.done, event.total, "Reading", seconds), kind="muted")

    @on(Button.Pressed, "#stop")
    def action_stop(self) -> None:
        """Ask, then stop the import."""

        def answer(agreed: bool | None) -> None:
            if agreed and self._importing:
                self._flag.stop()
                self.say("Stopping…", kind="muted")

        text = "What was read so far is thrown away; the files stay as they are."
        self.app.push_screen(ConfirmModal("Stop reading?", text, yes="Stop"), answer)

    @on(Button.Pressed, "#back")
    def _back(self) -> None:
        self.step.open_stage("choose")

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Escape stops an import; otherwise it goes back, as everywhere."""
        if action == "stop":
            return getattr(self, "_importing", False)
        return super().check_action(action, parameters)


def _percent(share: float) -> str:
    return f"{100 * share:.4g}"
