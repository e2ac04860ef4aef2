"""A new passphrase, typed twice, with what it is worth."""

from __future__ import annotations

from typing import ClassVar, NamedTuple

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.widgets import Button, Input

from workbench.tui.modals.base import WorkbenchModal
from workbench.tui.strength import LEAST_CHARACTERS, MOST_CHARACTERS, looks_like_caps_lock, strength
from workbench.tui.widgets.plain import Plain, shown

_ROOM = MOST_CHARACTERS + 1


class Passphrases(NamedTuple):
    """What was typed: the passphrase in force (empty where not asked for), and the new one."""

    old: str
    new: str


class PassphraseModal(WorkbenchModal[Passphrases | None]):
    """Returns what was typed, or None."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "cancel", "Cancel", id="passphrase.cancel", tooltip="Change nothing"),
    ]

    def __init__(self, title: str, text: str, *, ask_old: bool, later: str = "Cancel") -> None:
        """Ask.

        Args:
            ask_old: Whether the passphrase in force has to be typed first.
            later: What the button says that changes nothing.
        """
        super().__init__()
        self._title = title
        self._text = text
        self._ask_old = ask_old
        self._later = later

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield Plain(self._title, classes="dialog-title")
            yield Plain(self._text, classes="dialog-text")
            if self._ask_old:
                yield Input(
                    password=True, max_length=_ROOM, id="old", placeholder="The passphrase in force"
                )
            yield Input(password=True, max_length=_ROOM, id="new", placeholder="New passphrase")
            yield Plain("", id="strength")
            yield Input(
                password=True, max_length=_ROOM, id="again", placeholder="The new one again"
            )
            yield Plain("", id="said", classes="bad")
            with Horizontal(classes="buttons"):
                yield Button(shown(self._later), id="cancel")
                yield Button("Change it", id="change", variant="primary")

    def on_mount(self) -> None:
        """Let the first field be typed into."""
        self.query(Input).first().focus()

    @on(Input.Changed, "#new")
    def _weigh(self, event: Input.Changed) -> None:
        self.query_one("#strength", Plain).show(strength(event.value))

    @on(Input.Submitted)
    def _next(self, event: Input.Submitted) -> None:
        if event.input.id == "again":
            self._change()
        else:
            self.focus_next()

    @on(Button.Pressed, "#change")
    def _change(self) -> None:
        old = self.query_one("#old", Input).value if self._ask_old else ""
        new, again = (self.query_one(name, Input) for name in ("#new", "#again"))
        said = self.query_one("#said", Plain)
        if self._ask_old and not old:
            said.show("Type the passphrase in force first.")
            self.query_one("#old", Input).focus()
        elif len(new.value) < LEAST_CHARACTERS:
            said.show(f"At least {LEAST_CHARACTERS} characters; four plain words are good.")
            new.focus()
        elif len(new.value) > MOST_CHARACTERS:
            said.show(f"At most {MOST_CHARACTERS} characters.")
            new.focus()
        elif new.value != again.value:
            caps = " Is Caps Lock on?" if looks_like_caps_lock(again.value) else ""
            said.show(f"The two differ.{caps}")
            again.focus()
        else:
            told = Passphrases(old, new.value)
            self._forget()
            self.dismiss(told)

    @on(Button.Pressed, "#cancel")
    def action_cancel(self) -> None:
        """Change nothing."""
        self._forget()
        self.dismiss(None)

    def conceal(self) -> None:
        """Forget what was typed: the vault was locked."""
        self._forget()

    def _forget(self) -> None:
        # What stands in a widget may be shown by a crash.
        for field in self.query(Input):
            field.value = ""
