"""Choosing a file or a folder: textual-fspicker's dialogs, made safe against what names may hold.

Names and paths are drawn as plain text that neither a terminal nor markup can misread, and a folder
that cannot be listed is told, not crashed upon.
"""

from __future__ import annotations

import os
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
from textual_fspicker import FileOpen, Filters, SelectDirectory
from textual_fspicker.base_dialog import Dialog, InputBar
from textual_fspicker.parts import CurrentDirectory, DirectoryNavigation
from textual_fspicker.parts.directory_navigation import DirectoryEntry
from textual_fspicker.safe_tests import is_dir, is_file

from workbench.text import printable
from workbench.tui.modals.base import HELP_KEY, ClosesOnce
from workbench.tui.widgets.plain import shown
from workbench.wording import size

_UNREADABLE = "This folder cannot be read"


class _SafeEntry(DirectoryEntry):
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


class SafeLocation(CurrentDirectory):
    """Where one is: a link may lead to a folder of any name."""

    def update(self, content: VisualType = "", *, layout: bool = True) -> None:
        """Show where one is."""
        Label.update(self, shown(content), layout=layout)


class SafeNavigation(DirectoryNavigation):
    """What is in a folder."""

    @work(exclusive=True, thread=True, exit_on_error=False)
    def _load(self) -> None:
        worker = get_current_worker()
        entries: list[DirectoryEntry] = []
        try:
            for path in self._location.iterdir():
                if worker.is_cancelled:
                    return
                if is_dir(path) or (self.show_files and is_file(path)):
                    entries.append(_SafeEntry(path, self._styles))
        except OSError:
            self.post_message(self.PermissionError(self, self._location))
        self._entries = entries
        self.app.call_from_thread(self._repopulate_display)


class _PlainFolders(SafeNavigation):
    """Only folders whose names show as they are: the path goes on into a field that shows it."""

    def hide(self, path: Path) -> bool:
        return printable(path.name) != path.name or super().hide(path)


class FilesModal(FileOpen, ClosesOnce[Path | None]):
    """Returns the file that was chosen, or None; a file is taken as soon as it is selected."""

    BINDINGS: ClassVar[list[BindingType]] = [
        HELP_KEY,
        Binding("full_stop", "hidden", "Hidden files", id="files.hidden",
                tooltip="Show or hide files whose names begin with a dot"),
        Binding("escape", "close", "Cancel", id="files.close", tooltip="Choose no files"),
    ]  # fmt: skip
    DEFAULT_CSS = """
    FilesModal Dialog { width: 96%; max-width: 100; height: 90%; border: round $primary; }
    FilesModal InputBar { padding: 0 1; }
    """
    ERROR_PERMISSION_ERROR = _UNREADABLE

    def __init__(self, location: Path, title: str, *, filters: Filters | None = None) -> None:
        super().__init__(location, title, filters=filters, suggest_completions=False)

    def compose(self) -> ComposeResult:
        with Dialog() as dialog:
            dialog.border_title = shown(self._title)
            yield SafeLocation()
            with Horizontal():
                yield SafeNavigation(self._location, double_click_directories=False)
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


class FolderModal(SelectDirectory, ClosesOnce[Path | None]):
    """Returns the folder that was chosen, or None."""

    BINDINGS: ClassVar[list[BindingType]] = [
        HELP_KEY,
        Binding("escape", "dismiss(None)", "Cancel", id="folder.cancel", tooltip="Choose none"),
        Binding("full_stop", "hidden", "Hidden", id="folder.hidden",
                tooltip="Show or hide the folders whose name begins with a dot"),
    ]  # fmt: skip
    ERROR_PERMISSION_ERROR = _UNREADABLE

    def __init__(self, location: Path) -> None:
        super().__init__(location, "Choose a folder: Enter opens it, Tab goes to the buttons")

    def compose(self) -> ComposeResult:
        with Dialog() as dialog:
            dialog.border_title = shown(self._title)
            yield _PlainFolders(self._location)
            with InputBar():
                yield SafeLocation()
                yield Button("Choose this folder", id="select", variant="primary")
                yield Button("Cancel", id="cancel")


def nearest_folder(typed: str) -> Path:
    """Return the folder that is meant by what was typed so far: it, one above it, or home."""
    # What `os.path` says of a name that cannot be one, or of an unknown user's home, is no; pathlib
    # raises.
    path = Path(os.path.expanduser(typed)) if typed else Path.home()
    for folder in (path, *path.parents):
        found = folder.is_absolute() and os.path.isdir(folder)
        if found and os.access(folder, os.R_OK | os.X_OK):
            return folder
    return Path.home() if os.access(Path.home(), os.R_OK | os.X_OK) else Path("/")
