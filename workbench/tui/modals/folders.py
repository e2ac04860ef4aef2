"""Choosing a folder: textual-fspicker's dialog, made safe against what folders may be called.

The picker draws names as they are. Here those that a terminal or its reader could misread are not
listed (such a path can still be typed), and where one is never passes through markup.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.visual import VisualType
from textual.widgets import Button
from textual_fspicker import SelectDirectory
from textual_fspicker.base_dialog import Dialog, InputBar
from textual_fspicker.parts import CurrentDirectory, DirectoryNavigation

from workbench.text import printable
from workbench.tui.widgets.plain import shown


class SafeNavigation(DirectoryNavigation):
    """Lists only names that show as they are, and stays where a folder cannot be entered."""

    def hide(self, path: Path) -> bool:
        """Leave out names with anything in them that is not seen."""
        return printable(path.name) != path.name or super().hide(path)

    def validate__location(self, location: Path) -> Path:
        """Stay where one is when the folder is gone or shut: listing it would end the app."""
        return location if os.access(location, os.R_OK | os.X_OK) else self._location


class SafeLocation(CurrentDirectory):
    """Where one is, as plain text: a link may lead to a folder of any name."""

    def update(self, content: VisualType = "", *, layout: bool = True) -> None:
        """Show where one is."""
        super().update(shown(content), layout=layout)


class FolderModal(SelectDirectory):
    """Returns the folder that was chosen, or None."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss(None)", "Cancel", id="folder.cancel", tooltip="Choose none"),
        Binding("full_stop", "hidden", "Hidden", id="folder.hidden",
                tooltip="Show or hide the folders whose name begins with a dot"),
    ]  # fmt: skip

    def __init__(self, location: Path) -> None:
        super().__init__(location, "Choose a folder: Enter opens it, Tab goes to the buttons")

    def compose(self) -> ComposeResult:
        with Dialog() as dialog:
            dialog.border_title = shown(self._title)
            yield SafeNavigation(self._location)
            with InputBar():
                yield SafeLocation()
                yield Button("Choose this folder", id="select", variant="primary")
                yield Button("Cancel", id="cancel")


def nearest_folder(typed: str) -> Path:
    """Return the folder that is meant by what was typed so far: it, one above it, or home."""
    path = Path(typed).expanduser() if typed and "\0" not in typed else Path.home()
    for folder in (path, *path.parents):
        if folder.is_absolute() and folder.is_dir() and os.access(folder, os.R_OK | os.X_OK):
            return folder
    return Path.home() if os.access(Path.home(), os.R_OK | os.X_OK) else Path("/")
