"""Settings: looks, privacy, keys, and the vault's passphrase and recovery key."""

from __future__ import annotations

from typing import Any, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.widgets import Button, Checkbox, Input, RadioSet

from workbench.errors import WorkbenchError, told_by_system
from workbench.tui.modals.passphrase import PassphraseModal, Passphrases
from workbench.tui.screens.base import WorkbenchScreen
from workbench.tui.settings import THEMES
from workbench.tui.widgets.check import Check
from workbench.tui.widgets.choice import Choice
from workbench.tui.widgets.plain import Plain, Tone, shown
from workbench.tui.work import Progress, WorkDone, WorkFailed
from workbench.wording import count

_THEME_NAMES = ("Dark", "Light", "High contrast")
_MOST_MINUTES = 24 * 60


class SettingsScreen(WorkbenchScreen):
    """Each change takes effect, and is kept, at once."""

    PLACE = "settings"
    TOUR = "try another theme with the arrow keys, or press Escape to go back."
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f5", "keys", "Keys", id="settings.keys", tooltip="List every key and change some"),
        Binding("f6", "passphrase", "Passphrase", id="settings.passphrase",
                tooltip="Change the passphrase that opens the vault"),
        Binding("f7", "recovery", "Recovery key", id="settings.recovery", show=False,
                tooltip="Make a new recovery key; the old one is void then"),
        Binding("f8", "verify", "Check the vault", id="settings.verify", show=False,
                tooltip="Read everything in the vault and check every seal"),
    ]  # fmt: skip

    def compose_body(self) -> ComposeResult:
        now = self.workbench.settings
        with VerticalScroll(id="settings", can_focus=False):
            yield Plain("Looks", classes="heading")
            with RadioSet(id="theme"):
                for name, theme in zip(_THEME_NAMES, THEMES, strict=True):
                    yield Choice(shown(name), value=now.theme == theme)
            yield Check(
                "Things may move (off saves bytes over slow lines)", now.animation, id="animation"
            )
            yield Plain("Privacy", classes="heading")
            with Horizontal(id="idle-row"):
                yield Plain(
                    "Lock after this many minutes without a key (0: never)", id="idle-label"
                )
                yield Input(
                    str(now.idle_minutes), id="idle", type="integer", max_length=4,
                    select_on_focus=True,
                )  # fmt: skip
            yield Check(
                "Names and figures may be copied to the clipboard (records never are)",
                now.copy,
                id="copy",
            )
            yield Plain("Keys", classes="heading")
            with Horizontal(classes="row"):
                yield Button("Change keys…", id="keys")
                yield Plain("", id="keys-told", classes="muted")
            yield Plain("The vault", classes="heading")
            yield Plain(f"{self.session.home}", id="home-path", classes="muted")
            with Horizontal(classes="row"):
                yield Button("Change the passphrase…", id="passphrase")
                yield Button("New recovery key…", id="recovery")
                yield Button("Check everything", id="verify")
            yield Plain("", id="settings-said")

    def on_mount(self) -> None:
        """Begin with the theme."""
        self._tell_keys()
        self.query_one("#theme").focus()

    def _tell_keys(self) -> None:
        changed = self.workbench.settings.keys
        told = f"{count(len(changed), 'key')} changed" if changed else "every key is its own"
        self.query_one("#keys-told", Plain).show(told)

    def _change(self, **changes: Any) -> None:
        try:
            self.workbench.change_settings(self.workbench.settings.with_changes(**changes))
        except OSError as error:
            known = told_by_system(error) or WorkbenchError(
                "The settings could not be kept.", hint="They hold until you leave the workbench."
            )
            self._say(f"Not kept, in effect until you leave: {known.message}", "bad")
        else:
            self._say("Kept.", "good")

    def _say(self, text: str, tone: Tone = "") -> None:
        self.query_one("#settings-said", Plain).say(text, tone)

    @on(RadioSet.Changed, "#theme")
    def _take_theme(self, event: RadioSet.Changed) -> None:
        if THEMES[event.index] != self.workbench.settings.theme:
            self._change(theme=THEMES[event.index])

    @on(Checkbox.Changed)
    def _take_switch(self, event: Checkbox.Changed) -> None:
        name = event.checkbox.id or ""
        if getattr(self.workbench.settings, name) != event.value:
            self._change(**{name: event.value})

    @on(Input.Submitted, "#idle")
    @on(Input.Blurred, "#idle")
    def _take_idle(self, event: Input.Submitted | Input.Blurred) -> None:
        typed = event.value.strip()
        kept = self.workbench.settings.idle_minutes
        if typed.isdecimal() and int(typed) <= _MOST_MINUTES:
            if int(typed) != kept:
                self._change(idle_minutes=int(typed))
            return
        event.input.value = str(kept)
        self._say(f"Minutes are a number from 0 to {_MOST_MINUTES:,}.", "bad")

    # Keys

    @on(Button.Pressed, "#keys")
    def action_keys(self) -> None:
        """List every key."""
        self._say("Looking for every key…")
        self.begin("keys", self._find_keys)

    @staticmethod
    def _find_keys(_: Progress) -> object:
        from workbench.tui.keymap import all_keys

        return all_keys()

    def _show_keys(self, keys: Any) -> None:
        from workbench.tui.modals.keys import KeysModal

        def take(changed: dict[str, str] | None) -> None:
            if changed is not None:
                self._change(keys=changed)
                self._tell_keys()

        self._say("")
        self.app.push_screen(KeysModal(keys, self.workbench.settings.keys), take)

    # The vault

    @on(Button.Pressed, "#passphrase")
    def action_passphrase(self) -> None:
        """Ask for the old and the new passphrase."""

        def take(told: Passphrases | None) -> None:
            if told is not None:
                self._say("Changing the passphrase…")
                self.begin("passphrase", lambda _: self.session.vault.change_passphrase(*told))

        text = "Only the lock changes: nothing is sealed anew, and the recovery key stays valid."
        self.app.push_screen(PassphraseModal("Change the passphrase", text, ask_old=True), take)

    @on(Button.Pressed, "#recovery")
    def action_recovery(self) -> None:
        """Ask, then make a new recovery key."""
        from workbench.tui.modals.questions import ConfirmModal

        def answer(agreed: bool | None) -> None:
            if agreed:
                self._say("Making a new recovery key…")
                self.begin("recovery", lambda _: self.session.vault.renew_recovery_key())

        text = "The recovery key that you wrote down opens nothing any more. The new one is shown "
        self.app.push_screen(
            ConfirmModal("Make a new recovery key?", f"{text}once.", yes="Make it", danger=True),
            answer,
        )

    @on(Button.Pressed, "#verify")
    def action_verify(self) -> None:
        """Check the vault, in Doctor."""
        from workbench.tui.screens.doctor import DoctorScreen

        self.workbench.go("doctor", DoctorScreen(check_vault=True))

    @on(WorkDone)
    def _take(self, event: WorkDone) -> None:
        if event.work == "keys":
            self._show_keys(event.result)
        elif event.work == "passphrase":
            self._say("The passphrase was changed; the old one opens nothing any more.", "good")
        elif event.work == "recovery":
            from workbench.tui.screens.recovery import RecoveryScreen, note_recovery_key

            self._say("The new recovery key is in force.", "good")
            note_recovery_key(self.workbench, False)
            if self.session.is_open:  # otherwise it is asked about after the door
                self.app.push_screen(RecoveryScreen(event.result))

    def take_failure(self, event: WorkFailed) -> bool:
        """Tell on the line what did not work; nothing was changed."""
        hint = f" {event.error.hint}" if event.error.hint else ""
        self._say(f"{event.error.message}{hint}", "bad")
        return True
