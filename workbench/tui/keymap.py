"""Every key of every screen, by the id of its binding: what Settings lists and may change."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from textual.app import App
from textual.binding import Binding
from textual.dom import DOMNode

import workbench.tui
from workbench.tui.navigation import PLACES

# Ctrl+C twice always leaves, whatever else was mapped.
FIXED = frozenset({"app.interrupt"})
# What moves the focus, writes, or answers a question; a screen without it cannot be used.
RESERVED = frozenset(
    {"enter", "tab", "shift+tab", "escape", "up", "down", "left", "right", "space", "backspace",
     "delete", "ctrl+c"}
)  # fmt: skip
_EVERYWHERE = ("app", "screen")
_GROUPS = {
    "app": "Everywhere", "screen": "Every screen", "wizard": "New fine-tuning",
    **{place.name: place.title for place in PLACES if place.name != "wizard"}, "list": "Lists",
}  # fmt: skip


@dataclass(frozen=True)
class Key:
    """A binding that can be given other keys.

    Attributes:
        id: Its id, `<screen>.<verb>`.
        group: Where it works, in words.
        does: What it does, in a few words; `about` in a sentence.
        keys: Its own keys, comma-separated.
        priority: Whether it is heard before a field that is being typed into.
    """

    id: str
    group: str
    does: str
    about: str
    keys: str
    priority: bool

    @property
    def scope(self) -> str:
        """The screen that it belongs to."""
        return self.id.partition(".")[0]


def modules() -> Iterator[str]:
    """Import every module of the screens and yield its name."""
    for found in pkgutil.walk_packages(workbench.tui.__path__, "workbench.tui."):
        importlib.import_module(found.name)
        yield found.name


def nodes() -> list[type[DOMNode]]:
    """Return the app, every screen, modal and widget of ours."""
    for _ in modules():
        pass
    found: set[type[DOMNode]] = set()
    waiting: list[type[Any]] = [DOMNode]
    while waiting:
        kind = waiting.pop()
        waiting += kind.__subclasses__()
        if kind.__module__.startswith("workbench.tui"):
            found.add(kind)
    return sorted(found, key=lambda kind: (kind.__module__, kind.__qualname__))


def bindings_of(kind: type[DOMNode]) -> list[Binding]:
    """Return the bindings that a class declares itself."""
    declared = kind.__dict__.get("BINDINGS", [])
    return [each if isinstance(each, Binding) else Binding(*each) for each in declared]


def all_keys() -> list[Key]:
    """Return every binding that may be changed, those that work everywhere first."""
    found: dict[str, Key] = {}
    for kind in nodes():
        for binding in bindings_of(kind):
            if binding.id and binding.id not in FIXED and binding.id not in found:
                scope = binding.id.partition(".")[0]
                found[binding.id] = Key(
                    binding.id,
                    _GROUPS.get(scope, scope.replace("_", " ").capitalize()),
                    binding.description,
                    binding.tooltip,
                    binding.key,
                    binding.priority or issubclass(kind, App),
                )
    places = list(_GROUPS)
    order = {name: place for place, name in enumerate(places)}
    return sorted(found.values(), key=lambda key: (order.get(key.scope, len(order)), key.id))


def clash(keys: list[Key], changed: Mapping[str, str], wanted: Key, pressed: str) -> str:
    """Say why `wanted` cannot have the key `pressed`; empty: it can.

    Args:
        keys: Every binding.
        changed: Binding id to its keys, where they were changed before.
    """
    if pressed in wanted.keys.split(","):
        return ""
    if pressed in RESERVED:
        return f"{pressed} is needed to move, to write or to go back."
    if wanted.priority and len(pressed.split("+")[-1]) == 1 and "+" not in pressed:
        return "A letter alone would be heard while you type: take an F-key or a Ctrl key."
    for other in keys:
        meet = other.scope == wanted.scope or bool({other.scope, wanted.scope} & {*_EVERYWHERE})
        held = changed.get(other.id, other.keys).split(",")
        if other.id != wanted.id and meet and pressed in held:
            return f"{pressed} is taken: {other.group}: {other.does}."
    return ""
