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
from workbench.wording import count, size

_LOAD = "load-adapter"
_METHODS = {"qlora": "QLoRA", "lora": "LoRA", "full": "all weights"}
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
        Binding("t", "again", "Train again", id="keep.again", show=False,
                tooltip="Go back to Fit and train once more with other settings"),
        Binding("p", "talk", "Talk to it", id="keep.talk", show=False,
                tooltip="Go to the Playground, where base and adapter answer side by side"),
    ]  # fmt: skip

    @classmethod
    def lacks(cls, draft: Draft) -> str:
        """A run has to have been started; Review looks whether it has finished."""
        return "" if draft.run else "Train first: there is nothing to keep yet."

    def compose(self) -> ComposeResult:
        tour = self.session.tour
        yield Plain("", id="keep-adapter")
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
        session, run = self.session, self.draft.run

        def task(_: Progress) -> Mapping[str, Any] | None:
            from workbench.adapters.reviewing import made_by

            return made_by(session.vault, run)

        self.query_one(ExportPane).display = False
        self.begin(_LOAD, task)
        self.query_one("#keep-finish", Button).focus()

    @on(WorkDone)
    def _loaded(self, event: WorkDone) -> None:
        event.stop()
        if event.work != _LOAD:
            return
        line = self.query_one("#keep-adapter", Plain)
        if event.result is None:
            line.show(
                "The run has not made an adapter yet: Ctrl+B goes back, to see how far it is."
            )
            return
        self.change(adapter=event.result["adapter"])
        line.show(described(event.result))
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

    def action_stop(self) -> None:
        """Stop the export."""
        self.query_one(ExportPane).stop()

    def action_again(self) -> None:
        """Train once more: the choices stay, the run and what came of it are left behind."""
        self.change(run="", results={}, exported="", adapter="")
        self.wizard.open_step("fit")

    def action_talk(self) -> None:
        """Go to the Playground; this path can be taken up again."""
        self.workbench.go("playground")

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer what can be done now."""
        if action in ("stop", "again", "talk"):
            busy = self.is_mounted and self.query_one(ExportPane).is_busy
            return busy == (action == "stop")
        return super().check_action(action, parameters)


def described(adapter: Mapping[str, Any]) -> str:
    """Return what an adapter is in a line."""
    method = _METHODS.get(str(adapter["method"]), str(adapter["method"]))
    rank = "" if adapter["method"] == "full" else f", rank {adapter['rank']}"
    return (
        f"✓ {adapter['adapter']}: {method}{rank}, "
        f"{count(int(adapter['parameters']), 'trained number')}, {size(int(adapter['bytes']))}."
    )
