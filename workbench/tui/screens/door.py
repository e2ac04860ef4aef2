"""The vault's door: welcome and a new passphrase, or unlocking with the one there is."""

from __future__ import annotations

from typing import ClassVar, Literal

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Center, Horizontal, Vertical
from textual.widgets import Button, Input

from workbench.errors import WrongPassphrase
from workbench.tui.locking import finished_first
from workbench.tui.screens.base import WorkbenchScreen
from workbench.tui.screens.recovery import (
    RecoveryScreen,
    note_recovery_key,
    remind_of_recovery_key,
)
from workbench.tui.strength import LEAST_CHARACTERS, MOST_CHARACTERS, looks_like_caps_lock, strength
from workbench.tui.widgets.check import Check
from workbench.tui.widgets.plain import Plain
from workbench.tui.work import WorkDone, WorkFailed

# One more than the vault takes: a longer one is refused in words, not cut in silence.
_ROOM = MOST_CHARACTERS + 1


class UnlockScreen(WorkbenchScreen):
    """Asks for the passphrase; the recovery key opens too."""

    HOLDS = True
    HELP_PAGE = "unlock"
    CSS_PATH: ClassVar = []
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "quit_here", "Quit", id="unlock.quit", tooltip="Leave the workbench"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._caps = False

    @property
    def heading(self) -> str:
        """What the top line says."""
        return "Unlock"

    def compose_body(self) -> ComposeResult:
        with Center(), Vertical(classes="door"):
            yield Plain("The vault is locked.", classes="title")
            yield Plain(f"{self.session.home}", classes="muted")
            yield Plain("Passphrase, or the recovery key:")
            yield Input(password=True, id="secret", max_length=_ROOM)
            yield Plain("", id="said")
            with Horizontal(classes="buttons"):
                yield Button("Unlock", id="unlock", variant="primary")
            yield Plain("", id="finished-first", classes="muted")

    def on_mount(self) -> None:
        """Let the passphrase be typed at once, and say what a lock did not end."""
        self.query_one("#secret", Input).focus()
        self._tell_work()
        self.set_interval(1.0, self._tell_work)

    def _tell_work(self) -> None:
        self.query_one("#finished-first", Plain).show(finished_first(self.app.workers))

    def conceal(self) -> None:
        """Forget what was typed, and be what a locked vault's door is again."""
        self.query_one("#secret", Input).value = ""
        self._let_type()
        self._say("")

    def _let_type(self) -> None:
        field = self.query_one("#secret", Input)
        field.disabled = False
        field.focus()

    @on(Input.Submitted, "#secret")
    @on(Button.Pressed, "#unlock")
    def _try(self) -> None:
        field = self.query_one("#secret", Input)
        secret = field.value
        if not secret or field.disabled:
            return
        # The field forgets it: what stands in a widget may be shown by a crash.
        field.value = ""
        field.disabled = True
        self._caps = looks_like_caps_lock(secret)
        self._say("Opening…")
        self.begin("unlock", lambda _: self.session.unlock(secret))

    def _say(self, text: str, *, bad: bool = False) -> None:
        line = self.query_one("#said", Plain)
        line.show(text)
        line.set_class(bad, "bad")

    @on(WorkDone)
    def _opened(self, event: WorkDone) -> None:
        if event.work == "passphrase":
            told = "The new passphrase opens the vault now."
            if self.session.is_open:
                self._go_on(told)
            else:  # locked while it was set
                self._say(told)
            return
        if not self.session.is_open:  # locked again before this was heard
            self.conceal()
            return
        for name in event.result:
            self.app.notify(f"{name} is in the library.", title="Trained meanwhile")
        if self.session.recovered:
            note_recovery_key(self.workbench, True)  # whoever opens with it has it
            self._ask_for_passphrase()
        else:
            self._go_on()

    def _go_on(self, told: str = "") -> None:
        self.workbench.enter()
        remind_of_recovery_key(self.workbench)
        if told:
            self.app.notify(told)

    def _ask_for_passphrase(self) -> None:
        from workbench.tui.modals.passphrase import PassphraseModal, Passphrases

        def take(told: Passphrases | None) -> None:
            if told is None:
                self._go_on("The passphrase is as it was; the recovery key stays valid.")
            else:
                self._say("Setting the new passphrase…")
                self.begin("passphrase", lambda _: self.session.replace_passphrases(told.new))

        text = (
            "The recovery key opened the vault. Choose a new passphrase: the old one opens "
            "nothing then, and the recovery key stays valid."
        )
        self.app.push_screen(
            PassphraseModal("A new passphrase", text, ask_old=False, later="Keep the old one"), take
        )

    def take_failure(self, event: WorkFailed) -> bool:
        """Say what did not work, and let it be typed again."""
        self._let_type()
        error = event.error
        if isinstance(error, WrongPassphrase) and error.code == WrongPassphrase.default_code:
            caps = " All letters were capitals: is Caps Lock on?" if self._caps else ""
            self._say(f"That opens nothing. Try again.{caps}", bad=True)
        else:
            self._say(f"{error.message}\n{error.hint}".rstrip(), bad=True)
        return True

    def action_quit_here(self) -> None:
        """Leave the workbench."""
        self.app.exit(0)


class WelcomeScreen(WorkbenchScreen):
    """The first start: choose a passphrase, see how strong it is."""

    HOLDS = True
    HELP_PAGE = "welcome"
    CSS_PATH: ClassVar = []
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "quit_here", "Quit", id="welcome.quit", tooltip="Leave the workbench"),
    ]

    @property
    def heading(self) -> str:
        """What the top line says."""
        return "Welcome"

    def compose_body(self) -> ComposeResult:
        with Center(), Vertical(classes="door"):
            yield Plain("Fine-tune a language model on data that must not leave.", classes="title")
            yield Plain(
                "Your files, the training and its results are kept in an encrypted vault on this "
                f"machine:\n{self.session.home}\nChoose the passphrase that opens it.",
                classes="muted",
            )
            yield Input(password=True, id="secret", placeholder="Passphrase", max_length=_ROOM)
            yield Plain("", id="strength")
            yield Input(password=True, id="again", placeholder="The same again", max_length=_ROOM)
            yield Check("Small machine: open with 64 MiB instead of 256", id="light")
            yield Plain("", id="said", classes="bad")
            with Horizontal(classes="buttons"):
                yield Button("Make the vault", id="make", variant="primary")

    def on_mount(self) -> None:
        """Let the passphrase be typed at once."""
        self.query_one("#secret", Input).focus()

    @on(Input.Changed, "#secret")
    def _weigh(self, event: Input.Changed) -> None:
        self.query_one("#strength", Plain).show(strength(event.value))

    @on(Input.Submitted, "#secret")
    def _next_field(self) -> None:
        self.query_one("#again", Input).focus()

    @on(Input.Submitted, "#again")
    @on(Button.Pressed, "#make")
    def _make(self) -> None:
        first, again = (self.query_one(name, Input) for name in ("#secret", "#again"))
        said = self.query_one("#said", Plain)
        button = self.query_one("#make", Button)
        if len(first.value) < LEAST_CHARACTERS:
            said.show(f"At least {LEAST_CHARACTERS} characters; four plain words are good.")
            first.focus()
        elif len(first.value) > MOST_CHARACTERS:
            said.show(f"At most {MOST_CHARACTERS} characters.")
            first.focus()
        elif first.value != again.value:
            caps = looks_like_caps_lock(first.value) != looks_like_caps_lock(again.value)
            said.show("The two differ." + (" Is Caps Lock on?" if caps else ""))
            again.focus()
        elif not button.disabled:
            said.show("Making the vault…")
            button.disabled = True
            passphrase = first.value
            small = self.query_one("#light", Check).value
            kdf: Literal["standard", "light"] = "light" if small else "standard"
            self.begin("create", lambda _: self.session.create(passphrase, kdf))

    @on(WorkDone)
    def _made(self, event: WorkDone) -> None:
        for field in self.query(Input):
            field.value = ""
        self.app.switch_screen(RecoveryScreen(event.result))
        if missing := self.session.starter_missing:
            self.app.notify(
                f"{missing} Make room, then press s in Models.",
                title="No starter model yet",
                severity="warning",
                timeout=15,
            )

    def take_failure(self, event: WorkFailed) -> bool:
        """Say what did not work, and let it be tried again."""
        self.query_one("#make", Button).disabled = False
        self.query_one("#said", Plain).show(f"{event.error.message}\n{event.error.hint}".rstrip())
        return True

    def action_quit_here(self) -> None:
        """Leave the workbench; not while the vault is made, whose key is shown this once."""
        if not self.query_one("#make", Button).disabled:
            self.app.exit(0)
