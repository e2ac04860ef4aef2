"""Keep: the adapter is in the library; take it out if it is needed elsewhere, and go on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.widgets import Button

from workbench.runs.drafts import Draft
from workbench.tui.screens.exporting import ExportPane
from workbench.tui.screens.wizard.step import WizardStep
from workbench.tui.widgets.plain import Plain
from workbench.tui.work import Progress, WorkDone
from workbench.wording import METHOD_NAMES, count, size

_LOAD, _ANNOTATE = "load-adapter", "annotate"
_LONGEST_NOTE = 40
_TOUR_EXPORT = "Press Enter to export it; the folder is chosen."
_TOUR_WAIT = "Wait: it is written, loaded afresh and compared with the adapter."
_TOUR_FINISH = "Press Enter to finish. That was the whole path."


class KeepStep(WizardStep):
    """Shows the adapter in the library, offers to export it, and ends the path."""

    NAME = "keep"
    TITLE = "Keep"
    SENTENCE = "It is kept, sealed, in the library. Export it if it is needed elsewhere."
    TOUR = _TOUR_EXPORT
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("x", "stop", "Stop", id="keep.stop", tooltip="Stop the export; nothing is left"),
        Binding("t", "tags", "Tags", id="keep.tags", show=False,
                tooltip="Change the tags that the adapter is found by"),
        Binding("o", "note", "Note", id="keep.note", show=False,
                tooltip="Write a note on the adapter"),
        Binding("a", "again", "Train again", id="keep.again", show=False,
                tooltip="Go back to Fit and train once more with other settings"),
        Binding("p", "talk", "Talk to it", id="keep.talk", show=False,
                tooltip="Go to the Playground, where base and adapter answer side by side"),
        Binding("y", "copy", "Copy", id="keep.copy", show=False,
                tooltip="Copy the lines that load the export"),
    ]  # fmt: skip

    def __init__(self) -> None:
        super().__init__()
        self._adapter: Mapping[str, Any] | None = None

    @classmethod
    def lacks(cls, draft: Draft) -> str:
        """A run has to have been started; Review looks whether it has finished."""
        return "" if draft.run else "Train first: there is nothing to keep yet."

    def compose(self) -> ComposeResult:
        tour = self.session.tour
        yield Plain("", id="keep-adapter")
        yield Plain("", id="keep-written", classes="muted")
        if tour is None:
            yield ExportPane()
        else:
            yield ExportPane(target="safetensors", folder=tour.export)
        with Horizontal(classes="buttons", id="keep-buttons"):
            yield Button("Talk to it", id="keep-talk")
            yield Button("Train again", id="keep-again")
            yield Button("Finish", id="keep-finish", variant="primary")

    def on_mount(self) -> None:
        """Look up what the run made."""
        self.query_one(ExportPane).display = False
        self._look_up()
        self.query_one("#keep-finish", Button).focus()

    def _look_up(self) -> None:
        session, run = self.session, self.draft.run

        def task(_: Progress) -> Mapping[str, Any] | None:
            from workbench.adapters.reviewing import made_by

            return made_by(session.vault, run)

        self.fetch(_LOAD, task)

    @on(WorkDone)
    def _loaded(self, event: WorkDone) -> None:
        event.stop()
        if event.work == _ANNOTATE:
            self._look_up()
            return
        line = self.query_one("#keep-adapter", Plain)
        if event.result is None:
            line.show(
                "The run has not made an adapter yet: Ctrl+G goes back, to see how far it is."
            )
            return
        first, self._adapter = self._adapter is None, event.result
        line.show(described(event.result))
        self.query_one("#keep-written", Plain).show(written_on(event.result))
        self.refresh_bindings()
        if not first:
            return
        self.change(adapter=event.result["adapter"])
        pane = self.query_one(ExportPane)
        pane.display = True
        pane.show_adapter(event.result)
        if self.draft.exported:
            line.show(f"{described(event.result)}\nExported before, to {self.draft.exported}")
            self.wizard.tell_tour(_TOUR_FINISH)
        elif self.session.tour is not None:
            pane.focus_export()

    @on(ExportPane.StateChanged)
    def _state_changed(self, event: ExportPane.StateChanged) -> None:
        event.stop()
        pane = self.query_one(ExportPane)
        self.query_one("#keep-buttons").display = not pane.is_busy
        if pane.is_busy:
            self.wizard.tell_tour(_TOUR_WAIT)
        elif not self.draft.exported:
            self.wizard.tell_tour(_TOUR_EXPORT)
        self.refresh_bindings()

    @on(ExportPane.Exported)
    def _exported(self, event: ExportPane.Exported) -> None:
        event.stop()
        self.change(exported=event.folder)
        self.wizard.tell_tour(_TOUR_FINISH)
        self.query_one("#keep-finish", Button).focus()

    def go_on(self) -> None:
        """End the path; in the demo, export first."""
        pane = self.query_one(ExportPane)
        if pane.is_busy:
            self.app.notify("The export is being written. X stops it.")
        elif self.session.tour is not None and not self.draft.exported and pane.display:
            pane.export()
        else:
            self.finish()

    @on(Button.Pressed)
    def _pressed(self, event: Button.Pressed) -> None:
        event.stop()
        if event.button.id == "keep-finish":
            self.finish()
        elif event.button.id == "keep-again":
            self.action_again()
        elif event.button.id == "keep-talk":
            self.action_talk()

    def action_copy(self) -> None:
        """Copy how to load the export."""
        self.query_one(ExportPane).copy_loading()

    def action_stop(self) -> None:
        """Stop the export."""
        self.query_one(ExportPane).stop()

    def action_again(self) -> None:
        """Train once more: the choices stay, the run and what came of it are left behind."""
        self.change(run="", results={}, exported="", adapter="")
        self.wizard.open_step("fit")

    def action_talk(self) -> None:
        """Go to the Playground; this path can be taken up again."""
        from workbench.tui.screens.playground import PlaygroundScreen

        self.workbench.go("playground", PlaygroundScreen(self.draft.adapter))

    def action_tags(self) -> None:
        """Change the adapter's tags."""
        from workbench.tui.screens.adapter_views import TagsModal

        if self._adapter is None:
            return
        session, name = self.session, self._adapter["object_id"]
        tags = list(self._adapter["tags"])

        def answer(told: list[str] | None) -> None:
            from workbench.adapters.annotating import tag_adapter

            if told is not None:
                gone = [tag for tag in tags if tag not in told]
                self.begin(
                    _ANNOTATE, lambda _: tag_adapter(session.vault, name, add=told, remove=gone)
                )

        self.app.push_screen(TagsModal(tags), answer)

    def action_note(self) -> None:
        """Change the adapter's note."""
        from workbench.tui.screens.adapter_views import NoteModal

        if self._adapter is None:
            return
        session, name = self.session, self._adapter["object_id"]

        def answer(told: str | None) -> None:
            from workbench.adapters.annotating import note_adapter

            if told is not None:
                self.begin(_ANNOTATE, lambda _: note_adapter(session.vault, name, told))

        self.app.push_screen(NoteModal(self._adapter["notes"]), answer)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer what can be done now."""
        if action in ("stop", "again", "talk", "tags", "note"):
            busy = self.is_mounted and self.query_one(ExportPane).is_busy
            return busy if action == "stop" else not busy and self._adapter is not None
        if action == "copy":
            shown = self.is_mounted and self.query_one(ExportPane).has_written
            return shown and self.workbench.settings.copy
        return super().check_action(action, parameters)


def written_on(adapter: Mapping[str, Any]) -> str:
    """Return the adapter's tags and the beginning of its note, and which keys change them."""
    note = " ".join(str(adapter["notes"]).split())
    short = note if len(note) <= _LONGEST_NOTE else f"{note[: _LONGEST_NOTE - 1]}…"
    tags = ", ".join(adapter["tags"])
    return f"Tags (T): {tags or 'none'}   Note (O): {short or 'none'}"


def described(adapter: Mapping[str, Any]) -> str:
    """Return what an adapter is in a line."""
    method = METHOD_NAMES.get(str(adapter["method"]), str(adapter["method"]))
    rank = "" if adapter["method"] == "full" else f", rank {adapter['rank']}"
    return (
        f"✓ {adapter['adapter']}: {method}{rank}, "
        f"{count(int(adapter['parameters']), 'trained number')}, {size(int(adapter['bytes']))}."
    )
