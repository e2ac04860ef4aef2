"""Every key, and changing one by pressing another."""

from __future__ import annotations

from typing import ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.widgets import Button, OptionList
from textual.widgets.option_list import Option

from workbench.tui.keymap import Key, clash
from workbench.tui.modals.base import WorkbenchModal
from workbench.tui.widgets.plain import Plain, shown


class KeysModal(WorkbenchModal[dict[str, str] | None]):
    """Returns the changed keys by binding id, or None where nothing is to change."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", "Back", id="keys.leave", tooltip="Go back without changing"),
        Binding("delete", "reset_one", "Own key again", id="keys.reset",
                tooltip="Give the chosen line its own key again"),
    ]  # fmt: skip

    def __init__(self, keys: list[Key], changed: dict[str, str]) -> None:
        super().__init__()
        self._keys = keys
        self._changed = dict(changed)
        self._waiting: Key | None = None

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog page"):
            yield Plain("Keys", classes="dialog-title")
            yield OptionList(*(Option(shown(self._line(key))) for key in self._keys), id="keys")
            yield Plain("Enter on a line, then press its new key. Del: its own again.", id="said")
            with Horizontal(classes="buttons"):
                yield Button("All their own", id="reset-all")
                yield Button("Cancel", id="cancel")
                yield Button("Keep", id="keep", variant="primary")

    def on_mount(self) -> None:
        """Let a line be chosen."""
        self.query_one(OptionList).focus()

    def _line(self, key: Key) -> str:
        held = self._changed.get(key.id, key.keys)
        mark = "*" if key.id in self._changed else " "
        return f"{mark}{held:<14.14} {key.group:<16.16} {key.about or key.does}"

    @on(OptionList.OptionSelected, "#keys")
    def _choose(self, event: OptionList.OptionSelected) -> None:
        self._waiting = self._keys[event.option_index]
        self._say(f"Press the new key for: {self._waiting.does}. Escape keeps the old one.")

    def on_key(self, event: events.Key) -> None:
        """Take the new key of the line that was chosen."""
        key = self._waiting
        if key is None or event.key == "enter":
            return
        event.stop()
        event.prevent_default()
        if event.key == "escape":
            self._waiting = None
            self._say("It keeps its key.")
            return
        if refusal := clash(self._keys, self._changed, key, event.key):
            self._say(f"{refusal} Press another one, or Escape.")
            return
        self._waiting = None
        self._set(key, event.key)

    def _set(self, key: Key, pressed: str) -> None:
        if pressed in key.keys.split(","):
            self._changed.pop(key.id, None)
        else:
            self._changed[key.id] = pressed
        place = self._keys.index(key)
        self.query_one(OptionList).replace_option_prompt_at_index(place, shown(self._line(key)))
        held = self._changed.get(key.id, key.keys)
        self._say(f"{key.does}: {held}. Keep makes it so.")

    def _say(self, text: str) -> None:
        self.query_one("#said", Plain).show(text)

    def action_reset_one(self) -> None:
        """Give the chosen line its own key again."""
        place = self.query_one(OptionList).highlighted
        if place is not None:
            self._set(self._keys[place], self._keys[place].keys.split(",")[0])

    @on(Button.Pressed, "#reset-all")
    def _reset(self) -> None:
        self._changed.clear()
        rows = self.query_one(OptionList)
        for place, key in enumerate(self._keys):
            rows.replace_option_prompt_at_index(place, shown(self._line(key)))
        self._say("Every key is its own again. Keep makes it so.")

    @on(Button.Pressed, "#keep")
    def _keep(self) -> None:
        self.dismiss(self._changed)

    @on(Button.Pressed, "#cancel")
    def action_leave(self) -> None:
        """Change nothing."""
        self.dismiss(None)
