"""Exporting an adapter: the part that the Export screen and the guided path's last step share."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from textual import on
from textual.app import ComposeResult
from textual.containers import Container, Horizontal, Vertical
from textual.message import Message
from textual.timer import Timer
from textual.widgets import Button

from workbench.exports.contract import BASES, PLANNED_TARGETS, TARGETS
from workbench.tui import work
from workbench.tui.hints import hint, told
from workbench.tui.modals.questions import MessageModal
from workbench.tui.part import Part
from workbench.tui.screens.export_work import Asked, Checked, check, write
from workbench.tui.stopping import StopFlag
from workbench.tui.widgets.export_form import ExportForm, Way
from workbench.tui.widgets.export_result import ExportResult, Written
from workbench.tui.widgets.plain import Plain
from workbench.tui.widgets.work_bar import WorkBar
from workbench.wording import size

if TYPE_CHECKING:
    from workbench.tui.screens.base import WorkbenchScreen

_EXPORT, _CHECK = "export", "export-check"
_TYPING_SECONDS = 0.3
_ABOUT = {
    "peft": ("peft", "the adapter alone: small, but needs its base"),
    "safetensors": ("safetensors", "base and adapter merged: one model, ready to use"),
}
_BASES = {
    "exact": "the base as it was trained on",
    "original": "its original weights (answers differ a little)",
}
_PHASES = {
    "starting": "Starting",
    "queued": "Waiting: another job has the device",
    "loading": "Loading the base model",
    "observing": "The adapter answers, to compare with",
    "merging": "Merging and writing",
    "comparing": "The written files, loaded afresh, are compared with the adapter",
    "describing": "Describing and signing the files",
}


class _Work(Vertical, can_focus=True):
    """Holds the focus while the export is written, so that keys work and Enter stops nothing."""


class ExportPane(Container, Part):
    """Asks, checks, exports, stops, and shows the result. Told which adapter by `show_adapter`."""

    class Exported(Message):
        """The adapter was exported to `folder`."""

        def __init__(self, folder: str) -> None:
            super().__init__()
            self.folder = folder

    class StateChanged(Message):
        """The pane asks, works, or shows a result now."""

    def __init__(self, *, target: str = "peft", folder: Path | None = None) -> None:
        """Ask for an export.

        Args:
            target: What is chosen at first.
            folder: Where to; by default a new folder is suggested.
        """
        super().__init__()
        self._target = target
        self._folder = "" if folder is None else str(folder)
        self._chosen_by_hand = folder is not None
        self._adapter: Mapping[str, Any] | None = None
        self._stop: StopFlag | None = None
        self._waiting: Timer | None = None
        self._written: Written | None = None

    @property
    def is_busy(self) -> bool:
        """Whether an export is being written."""
        return self._stop is not None

    def compose(self) -> ComposeResult:
        targets = [Way(word, *_ABOUT[word]) for word in TARGETS]
        bases = [Way(word, _BASES[word]) for word in BASES]
        planned = f"Not in this version: {', '.join(PLANNED_TARGETS)}."
        with Vertical(id="export-ask"):
            yield ExportForm(targets, bases, target=self._target, planned=planned)
            with Horizontal(classes="buttons"):
                yield Button("Export", id="export-go", variant="primary")
        with _Work(id="export-work"):
            yield Plain("", id="export-said")
            yield WorkBar(_PHASES, id="export-bar")
            with Horizontal(classes="buttons"):
                yield Button("Stop", id="export-stop")
        with Vertical(id="export-shown"):
            yield ExportResult()
            with Horizontal(classes="buttons"):
                yield Button("Export another way", id="export-more")

    def on_mount(self) -> None:
        """Ask."""
        self._show("ask")

    def show_adapter(self, adapter: Mapping[str, Any]) -> None:
        """Ask about another adapter, as `show_adapter` of the library returns it."""
        self._adapter = adapter
        if not self._chosen_by_hand:
            # The folder that was suggested for another adapter must not be written to.
            self._form.show_folder("")
        if not self.is_busy:
            self._show("ask")
        self._check()

    def focus_export(self) -> None:
        """Put the focus on what exports."""
        self.query_one("#export-go", Button).focus()

    # Checking

    @on(ExportForm.Changed)
    def _changed(self, event: ExportForm.Changed) -> None:
        event.stop()
        self._chosen_by_hand = self._chosen_by_hand or event.by_hand
        if not self._form.folder:
            self._chosen_by_hand = False
        if self._waiting is not None:
            self._waiting.stop()
        self._waiting = self.set_timer(_TYPING_SECONDS if event.by_hand else 0.01, self._check)

    @property
    def _form(self) -> ExportForm:
        return self.query_one(ExportForm)

    def _asked(self, adapter: Mapping[str, Any]) -> Asked:
        form = self._form
        folder = form.folder or self._folder
        return Asked(adapter["object_id"], adapter["adapter"], form.target, form.base, folder)

    def _check(self) -> None:
        """Look in the background whether there is room, after suggesting a folder."""
        adapter, form, session = self._adapter, self._form, self.session
        if adapter is None or self.is_busy:
            return
        form.show_bases(form.target == "safetensors" and adapter["method"] == "qlora")
        asked, suggest = self._asked(adapter), not self._chosen_by_hand
        self.fetch(_CHECK, lambda _: check(session, asked, suggest=suggest))

    def _show_check(self, checked: Checked) -> None:
        form = self._form
        if not self._chosen_by_hand or not form.folder:
            form.show_folder(checked.folder)
        if checked.room is None:
            form.say(f"▲ {checked.problem}", good=False)
            return
        needed, free = size(checked.room.needed), size(checked.room.free)
        form.say(f"✓ It needs {needed} at most; {free} are free there.", good=True)

    @on(ExportForm.FolderWanted)
    def _look_for_folder(self, event: ExportForm.FolderWanted) -> None:
        """Choose where the export's own folder is made."""
        event.stop()
        from workbench.tui.modals.pickers import FolderModal, nearest_folder

        typed = Path(self._form.folder)

        def answer(parent: Path | None) -> None:
            if parent is not None:
                self._chosen_by_hand = True
                self._form.show_folder(str(parent / (typed.name or "export")))
                self._check()

        self.app.push_screen(FolderModal(nearest_folder(str(typed.parent))), answer)

    # Exporting

    def export(self) -> None:
        """Write what is asked for."""
        adapter, form, session = self._adapter, self._form, self.session
        if adapter is None or self.is_busy:
            return
        if not form.folder:
            form.say("▲ Name a folder for it.", good=False)
            return
        asked = self._asked(adapter)
        self._stop = stop = StopFlag()
        self.begin(_EXPORT, lambda tell: write(session, asked, stop.heeding(tell)))
        self.query_one("#export-said", Plain).show(
            f"{adapter['adapter']} is written to {asked.folder}."
        )
        self.query_one(WorkBar).tell(0, 0, "starting")
        self._show("work")

    def stop(self) -> None:
        """Give the export up; what was written of it is removed."""
        if self._stop is not None and not self._stop.is_set:
            self._stop.stop()
            self.query_one("#export-said", Plain).show("Stopping…")

    @property
    def has_written(self) -> bool:
        """Whether the result of an export is shown."""
        return self._written is not None

    def copy_loading(self) -> None:
        """Copy the lines that load the export to the terminal's clipboard."""
        if self._written is not None:
            self.app.copy_to_clipboard(self._written.loading)
            self.app.notify("Copied: how to load it.")

    def ask_again(self) -> None:
        """Ask for another export of the same adapter."""
        self._chosen_by_hand = False
        self._folder = ""
        self._show("ask")
        self._check()
        self.focus_export()

    # What became of it

    @on(work.WorkProgressed)
    def _progressed(self, event: work.WorkProgressed) -> None:
        event.stop()
        if self._stop is not None and not self._stop.is_set:
            self.query_one(WorkBar).tell(event.done, event.total, event.phase)

    @on(work.WorkDone)
    def _done(self, event: work.WorkDone) -> None:
        event.stop()
        if event.work == _CHECK:
            self._show_check(event.result)
            return
        self._stop = None
        self._written = event.result
        self.query_one(ExportResult).show_written(event.result)
        self._show("shown")
        self.query_one(ExportResult).focus()
        self.post_message(self.Exported(event.result.folder))

    @on(work.WorkFailed)
    def _failed(self, event: work.WorkFailed) -> None:
        event.stop()
        if event.work == _CHECK:
            self._form.say(f"▲ {told(event.error, 'export')}", good=False)
            return
        self._stop = None
        self._show("ask")
        self.focus_export()
        if isinstance(event.error, work.WorkStopped):
            self._form.say("Stopped. Nothing was left behind.", good=True)
            return
        self._form.say(f"▲ {event.error.message}", good=False)
        text = f"{event.error.message}\n\n{hint(event.error, 'export')}".rstrip()
        cast("WorkbenchScreen", self.screen).tell(MessageModal("That did not work", text))

    def _show(self, part: str) -> None:
        if part != "shown":
            self._written = None
        for name in ("ask", "work", "shown"):
            self.query_one(f"#export-{name}").display = name == part
        if part == "work":
            self.query_one("#export-work").focus()
        self.post_message(self.StateChanged())

    @on(Button.Pressed)
    def _pressed(self, event: Button.Pressed) -> None:
        event.stop()
        if event.button.id == "export-go":
            self.export()
        elif event.button.id == "export-stop":
            self.stop()
        elif event.button.id == "export-more":
            self.ask_again()
