"""The places that one can go to, in the order in which they are listed.

A place names its screen's module, which is imported when somebody goes there: the first paint
waits for none of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import cast

from textual.screen import Screen


@dataclass(frozen=True)
class Place:
    """One place.

    Attributes:
        name: Its short name, also that of its help page, `screen-<name>`.
        key: The letter that goes there from the list of places.
        title: What it is called on the screen.
        about: One sentence for the list of places.
        screen: `module:class` below `workbench.tui.screens`.
    """

    name: str
    key: str
    title: str
    about: str
    screen: str


PLACES = (
    Place("home", "h", "Home", "What is here, what runs, what to do next.", "home:HomeScreen"),
    Place(
        "wizard", "n", "New fine-tuning", "From a file to an adapter, step by step.",
        "wizard.screen:WizardScreen",
    ),
    Place("datasets", "d", "Datasets", "Sealed data: import, look into, remove.",
          "datasets:DatasetsScreen"),
    Place("models", "m", "Models", "The shelf of base models.", "models:ModelsScreen"),
    Place("runs", "r", "Runs", "What works or worked: follow, pause, stop.",
          "runs:RunsScreen"),
    Place("adapters", "a", "Adapters", "The library: search, compare, notes.",
          "adapters:AdaptersScreen"),
    Place("playground", "p", "Playground", "Talk to base and adapters side by side.",
          "playground:PlaygroundScreen"),
    Place("export", "x", "Export", "Write an adapter or a merged model out.",
          "export:ExportScreen"),
    Place("combine", "c", "Combine", "Add adapters together.", "planned:CombineScreen"),
    Place("serve", "v", "Serve", "Answer programs on this machine.", "planned:ServeScreen"),
    Place("memory", "y", "Memory audit", "Does an adapter recite what it was shown?",
          "planned:MemoryAuditScreen"),
    Place("audit", "u", "Audit", "The sealed log of what was done.", "audit:AuditScreen"),
    Place("doctor", "o", "Doctor", "This machine: hardware, libraries, protection.",
          "doctor:DoctorScreen"),
    Place("settings", "s", "Settings", "Theme, keys, idle lock, passphrase.",
          "settings:SettingsScreen"),
    Place("help", "e", "Help", "The documentation.", "help:HelpScreen"),
)  # fmt: skip
BY_NAME = {place.name: place for place in PLACES}


def open_place(name: str) -> Screen[None]:
    """Import and make the screen of a place."""
    module, _, screen = BY_NAME[name].screen.partition(":")
    found = getattr(import_module(f"workbench.tui.screens.{module}"), screen)
    return cast("Screen[None]", found())
