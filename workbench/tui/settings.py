"""What a person likes: theme, keys, idle time. Kept plain beside the vault, for it is read before
the passphrase is typed; it holds no names, no paths and no record text.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from workbench.durable import publish_bytes

FILE_NAME = "ui.json"
THEMES = ("workbench-dark", "workbench-light", "workbench-contrast")
_LARGEST = 64 << 10
_BINDING = re.compile(r"[a-z_.]{1,60}")
_KEYS = re.compile(r"[A-Za-z0-9_+,]{1,60}")


@dataclass(frozen=True)
class UiSettings:
    """The settings of the screens.

    Attributes:
        theme: One of `THEMES`.
        idle_minutes: The vault locks after so long without a key; 0: never.
        animation: Whether things may move; off saves bytes over slow lines.
        copy: Whether figures and names may be copied to the terminal's clipboard (OSC 52).
            Record text never is.
        keys: Binding id to the keys that replace its own, comma-separated.
        recovery_noted: Whether the owner showed that the recovery key is written down; asked until
            then.
    """

    theme: str = THEMES[0]
    idle_minutes: int = 10
    animation: bool = True
    copy: bool = True
    keys: dict[str, str] = field(default_factory=dict)
    recovery_noted: bool = True

    def with_changes(self, **changes: Any) -> UiSettings:
        """Return these settings with other values, out-of-range ones left out."""
        return replace(self, **_sound(changes))


def read_settings(home: Path) -> UiSettings:
    """Return the settings kept at `home`; whatever is missing or unsound takes its default."""
    try:
        with (home / FILE_NAME).open("rb") as source:
            told = json.loads(source.read(_LARGEST))
    except (OSError, ValueError, RecursionError):
        return UiSettings()
    return UiSettings(**_sound(told)) if isinstance(told, dict) else UiSettings()


def write_settings(home: Path, settings: UiSettings) -> None:
    """Keep the settings at `home`, which exists; raises OSError."""
    text = json.dumps(asdict(settings), sort_keys=True) + "\n"
    publish_bytes(home / FILE_NAME, text.encode())


def _sound(told: dict[str, Any]) -> dict[str, Any]:
    checks = {
        "theme": lambda value: value in THEMES,
        "idle_minutes": lambda value: type(value) is int and 0 <= value <= 24 * 60,
        "animation": lambda value: isinstance(value, bool),
        "copy": lambda value: isinstance(value, bool),
        "keys": lambda value: isinstance(value, dict),
        "recovery_noted": lambda value: isinstance(value, bool),
    }
    names = {each.name for each in fields(UiSettings)}
    sound = {k: v for k, v in told.items() if k in names and checks[k](v)}
    if "keys" in sound:
        sound["keys"] = {
            name: keys
            for name, keys in sound["keys"].items()
            if isinstance(keys, str) and _BINDING.fullmatch(name) and _KEYS.fullmatch(keys)
        }
    return sound
