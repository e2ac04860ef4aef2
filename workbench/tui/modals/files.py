"""Choosing a file by walking through the folders; Enter on a file takes it."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from rich.text import Text
from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.visual import VisualType
from textual.widgets import Button, Label
from textual.worker import get_current_worker
from textual_fspicker import FileOpen, Filters
from textual_fspicker.base_dialog import Dialog, InputBar
from textual_fspicker.parts import CurrentDirectory, DirectoryNavigation
from textual_fspicker.parts.directory_navigation import DirectoryEntry
from textual_fspicker.safe_tests import is_dir, is_file

from workbench.text import printable
from workbench.tui.widgets.plain import shown
from workbench.wording import size


class _Entry(DirectoryEntry):
    """A name in a folder, which may hold anything but a slash."""

    @classmethod
    def _name(cls, location: Path) -> Text:
        return Text(printable(location.name, limit=255))

    @staticmethod
    def _size(location: Path) -> str:
        try:
            return "" if is_dir(location) else size(location.stat().st_size)
        except OSError:
            return "?"

    @staticmethod
    def _mtime(location: Path) -> str:
        try:
            return DirectoryEntry._mtime(location)
        except (OSError, OverflowError, ValueError):
            return "?"


class _Where(CurrentDirectory):
    """The folder's path, made harmless."""

    def update(self, content: VisualType = "", *, layout: bool = True) -> None:
        Label.update(self, shown(content), layout=layout)


class _Folder(DirectoryNavigation):
    """A folder's files; one that cannot be listed is told, not crashed upon."""

    @work(exclusive=True, thread=True, exit_on_error=False)
    def _load(self) -> None:
        worker = get_current_worker()
        entries: list[DirectoryEntry] = []
        try:
            for path in self._location.iterdir():
                if worker.is_cancelled:
                    return
                if is_dir(path) or is_file(path):
                    entries.append(_Entry(path, self._styles))
        except OSError:
            self.post_message(self.PermissionError(self, self._location))
        self._entries = entries
        self.app.call_from_thread(self._repopulate_display)


class FilesModal(FileOpen):
    """Returns the file that was chosen, or None.

    It is the ready-made dialog with its text from outside made harmless; a file is taken as soon as
    it is selected.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("full_stop", "hidden", "Hidden files", id="files.hidden",
                tooltip="Show or hide files whose names begin with a dot"),
        Binding("escape", "close", "Cancel", id="files.close", tooltip="Choose no files"),
    ]  # fmt: skip
    DEFAULT_CSS = """
    FilesModal Dialog { width: 96%; max-width: 100; height: 90%; border: round $primary; }
    FilesModal InputBar { padding: 0 1; }
    """
    ERROR_PERMISSION_ERROR = "This folder cannot be read"

    def __init__(self, location: Path, title: str, *, filters: Filters | None = None) -> None:
        super().__init__(location, title, filters=filters, suggest_completions=False)

    def compose(self) -> ComposeResult:
        with Dialog() as dialog:
            dialog.border_title = shown(self._title)
            yield _Where(markup=False)
            with Horizontal():
                yield _Folder(self._location, double_click_directories=False)
            with InputBar():
                yield from self._input_bar()
                yield Button("Open", id="select", variant="primary")
                yield Button("Cancel", id="cancel")

    @on(DirectoryNavigation.Selected)
    def _take(self, event: DirectoryNavigation.Selected) -> None:
        event.stop()
        event.prevent_default()
        self.dismiss(event.path)

    def action_close(self) -> None:
        """Choose nothing."""
        self.dismiss(None)
