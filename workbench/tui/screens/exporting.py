"""Exporting an adapter: the part that the Export screen and the guided path's last step share."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from textual import on
from textual.app import ComposeResult
from textual.containers import Container, Horizontal, Vertical
from textual.message import Message
from textual.timer import Timer
from textual.widgets import Button

from workbench.errors import WorkbenchError
from workbench.exports.contract import BASES, PLANNED_TARGETS, TARGETS
from workbench.tui import work
from workbench.tui.modals.questions import MessageModal
from workbench.tui.stopping import StopFlag
from workbench.tui.widgets.export_form import Choice, ExportForm
from workbench.tui.widgets.export_result import ExportResult, Written
from workbench.tui.widgets.plain import Plain
from workbench.tui.widgets.work_bar import WorkBar
from workbench.wording import size

if TYPE_CHECKING:
    from workbench.exports.preflight import Room
    from workbench.tui.app import WorkbenchApp

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
    "describing": "Describing and signing the files",
}


class _Checked(NamedTuple):
    """A folder, the room there, or what speaks against it."""

    folder: str
    room: Room | None
    problem: str


class _Work(Vertical, can_focus=True):
    """Holds the focus while the export is written, so that keys work and Enter stops nothing."""


class ExportPane(Container):
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
    def workbench(self) -> WorkbenchApp:
        """The app, with its own type."""
        return cast("WorkbenchApp", self.app)

    @property
    def is_busy(self) -> bool:
        """Whether an export is being written."""
        return self._stop is not None

    def compose(self) -> ComposeResult:
        targets = [Choice(word, *_ABOUT[word]) for word in TARGETS]
        bases = [Choice(word, _BASES[word]) for word in BASES]
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

    def _check(self) -> None:
        """Look in the background whether there is room, after suggesting a folder."""
        adapter, form, session = self._adapter, self._form, self.workbench.session
        if adapter is None or self.is_busy:
            return
        form.show_bases(form.target == "safetensors" and adapter["method"] == "qlora")
        target, base, typed = form.target, form.base, form.folder or self._folder
        suggest = not self._chosen_by_hand

        def task(_: work.Progress) -> _Checked:
            from workbench.exports.preflight import suggested_target
            from workbench.exports.service import check_export

            vault = session.vault
            out = Path(typed).expanduser() if typed else Path()
            if suggest:
                out = suggested_target(vault.home, f"{adapter['adapter']}-{target}")
            try:
                room = check_export(vault, adapter["object_id"], target=target, out=out, base=base)
            except WorkbenchError as error:
                return _Checked(str(out), None, f"{error.message} {error.hint}".rstrip())
            return _Checked(str(out), room, "")

        work.begin(self, _CHECK, task)

    def _show_check(self, checked: _Checked) -> None:
        form = self._form
        if not self._chosen_by_hand or not form.folder:
            form.show_folder(checked.folder)
        if checked.room is None:
            form.say(f"▲ {checked.problem}", good=False)
            return
        needed, free = size(checked.room.needed), size(checked.room.free)
        form.say(f"✓ It needs {needed} at most; {free} are free there.", good=True)

    # Exporting

    def export(self) -> None:
        """Write what is asked for."""
        adapter, form, session = self._adapter, self._form, self.workbench.session
        if adapter is None or self.is_busy:
            return
        if not form.folder:
            form.say("▲ Name a folder for it.", good=False)
            return
        target, base, folder = form.target, form.base, form.folder
        self._stop = stop = StopFlag()

        def task(tell: work.Progress) -> Written:
            from workbench.exports.preflight import check_target
            from workbench.exports.proof import in_words
            from workbench.exports.provenance import how_to_load
            from workbench.exports.service import export_adapter
            from workbench.exports.signing import verify_folder

            vault = session.vault
            out = check_target(Path(folder).expanduser(), vault.home)
            document = export_adapter(
                vault, adapter["object_id"], target=target, out=out, base=base,
                progress=stop.heeding(tell),
            )  # fmt: skip
            return Written(
                folder=str(out),
                files=document["files"],
                wrong=verify_folder(out, vault.audit.public_key),
                fidelity=in_words(document["fidelity"]),
                loading=how_to_load(target, out),
            )

        work.begin(self, _EXPORT, task)
        self.query_one("#export-said", Plain).show(f"{adapter['adapter']} is written to {folder}.")
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
            self._form.say(f"▲ {event.error.message} {event.error.hint}".rstrip(), good=False)
            return
        self._stop = None
        self._show("ask")
        self.focus_export()
        if isinstance(event.error, work.WorkStopped):
            self._form.say("Stopped. Nothing was left behind.", good=True)
            return
        self._form.say(f"▲ {event.error.message}", good=False)
        self.app.push_screen(MessageModal.of_error(event.error))

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
