"""Export: choose an adapter of the library, and take it out with proof of what it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from workbench.tui.modals.questions import ConfirmModal
from workbench.tui.screens.base import WorkbenchScreen
from workbench.tui.screens.exporting import ExportPane
from workbench.tui.widgets.plain import Plain, cell
from workbench.tui.work import Progress, WorkDone
from workbench.wording import size

_EMPTY = "No adapters yet, so there is nothing to export.\nPress F2, then N: a new fine-tuning."


class ExportScreen(WorkbenchScreen):
    """Lists the adapters; the one that is chosen is exported below."""

    PLACE = "export"
    TOUR = "The guided path exports at its end: F2, then N, goes back to it."
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+n", "export", "Export", id="export.export",
                tooltip="Write the chosen adapter as it is asked for below"),
        Binding("x", "stop", "Stop", id="export.stop",
                tooltip="Stop the export; nothing of it is left behind"),
        Binding("y", "copy", "Copy", id="export.copy", show=False,
                tooltip="Copy the lines that load the export"),
    ]  # fmt: skip

    def __init__(self, adapter: str = "") -> None:
        """Open with an adapter (name or id) chosen; by default the newest."""
        super().__init__()
        self._wanted = adapter
        self._adapters: list[Mapping[str, Any]] = []

    def compose_body(self) -> ComposeResult:
        yield OptionList(id="export-adapters")
        yield ExportPane()
        yield Plain("", classes="empty", id="export-empty")

    def on_mount(self) -> None:
        """Look up what the library holds."""
        session = self.session

        def task(_: Progress) -> list[dict[str, Any]]:
            from workbench.adapters.library import list_adapters

            return list_adapters(session.vault)

        self.query_one("#export-adapters").display = False
        self.query_one(ExportPane).display = False
        self.fetch("list-adapters", task)

    @on(WorkDone)
    def _listed(self, event: WorkDone) -> None:
        self._adapters = list(reversed(event.result))
        options, pane = self.query_one(OptionList), self.query_one(ExportPane)
        options.display = pane.display = bool(self._adapters)
        self.query_one("#export-empty", Plain).display = not self._adapters
        if not self._adapters:
            self.query_one("#export-empty", Plain).show(_EMPTY)
            self.refresh_bindings()
            return
        for adapter in self._adapters:
            options.add_option(Option(cell(_row(adapter), limit=110), id=adapter["object_id"]))
        names = [(each["adapter"], each["object_id"]) for each in self._adapters]
        place = next((n for n, pair in enumerate(names) if self._wanted in pair), 0)
        options.highlighted = place
        options.focus()
        self.refresh_bindings()

    @on(OptionList.OptionHighlighted)
    def _highlighted(self, event: OptionList.OptionHighlighted) -> None:
        self.query_one(ExportPane).show_adapter(self._adapters[event.option_index])

    @on(OptionList.OptionSelected)
    def _selected(self) -> None:
        self.query_one(ExportPane).focus_export()

    @on(ExportPane.StateChanged)
    def _state_changed(self) -> None:
        self.query_one(OptionList).disabled = self.query_one(ExportPane).is_busy
        self.refresh_bindings()

    def action_export(self) -> None:
        """Write the chosen adapter."""
        self.query_one(ExportPane).export()

    def action_copy(self) -> None:
        """Copy how to load the export."""
        self.query_one(ExportPane).copy_loading()

    def action_stop(self) -> None:
        """Stop the export."""
        self.query_one(ExportPane).stop()

    def action_back(self) -> None:
        """Go back; an export that is being written is asked about first."""
        pane = self.query_one(ExportPane)
        if not pane.is_busy:
            super().action_back()
            return

        def answer(agreed: bool | None) -> None:
            if agreed:
                pane.stop()

        text = "The export is being written. Stopped, nothing of it is left behind."
        self.app.push_screen(ConfirmModal("Stop the export?", text, yes="Stop it"), answer)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer what can be done now."""
        if action in ("export", "stop"):
            if not self.is_mounted or not self._adapters:
                return False
            return self.query_one(ExportPane).is_busy == (action == "stop")
        if action == "copy":
            shown = self.is_mounted and self.query_one(ExportPane).has_written
            return shown and self.workbench.settings.copy
        return super().check_action(action, parameters)


def _row(adapter: Mapping[str, Any]) -> str:
    rank = "" if adapter["method"] == "full" else f" rank {adapter['rank']}"
    return (
        f"{adapter['adapter']:<28.28} {adapter['method'] + rank:<15} "
        f"{size(int(adapter['bytes'])):>9}  {adapter['created'][:10]}  {adapter['base']['name']}"
    )
