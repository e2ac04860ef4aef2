"""What to export and where to: target, base, folder, and what a check said of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.message import Message
from textual.widgets import Button, Input, RadioSet

from workbench.tui.widgets.choice import Choice
from workbench.tui.widgets.plain import Plain, shown
from workbench.tui.widgets.text_input import TextInput


@dataclass(frozen=True)
class Way:
    """One of several: the word that the room takes, its name, and what it means."""

    word: str
    title: str
    about: str = ""


class ExportForm(Vertical):
    """Asks for everything that an export is told. It is told the choices and what is wrong."""

    class Changed(Message):
        """Something was chosen or typed; `by_hand` if it was the folder."""

        def __init__(self, *, by_hand: bool) -> None:
            super().__init__()
            self.by_hand = by_hand

    class FolderWanted(Message):
        """The folder is to be looked for in a dialog."""

    def __init__(
        self, targets: Sequence[Way], bases: Sequence[Way], *, target: str, planned: str
    ) -> None:
        """Show the choices.

        Args:
            target: The word of the target that is chosen at first.
            planned: What cannot be chosen yet, in a line.
        """
        super().__init__()
        self._targets = targets
        self._bases = bases
        self._first = target
        self._planned = planned
        self._written = ""  # what `show_folder` put there: not a person's doing
        self._has_bases = True

    def compose(self) -> ComposeResult:
        wide = max(len(each.title) for each in self._targets)
        with Horizontal(classes="row"):
            yield Plain("Write", classes="label")
            with RadioSet(id="export-target"):
                for each in self._targets:
                    text = f"{each.title:<{wide}}  {each.about}"
                    yield Choice(shown(text), value=each.word == self._first)
        with Horizontal(classes="row", id="export-bases"):
            yield Plain("Merge into", classes="label")
            with RadioSet(id="export-base"):
                for place, each in enumerate(self._bases):
                    yield Choice(shown(each.title), value=place == 0)
        with Horizontal(classes="row"):
            yield Plain("Folder", classes="label")
            yield TextInput(id="export-folder")
            yield Button("Choose…", id="export-choose")
        yield Plain("", id="export-check")
        yield Plain(self._planned, classes="muted", id="export-planned")

    @property
    def target(self) -> str:
        """The word of the chosen target."""
        return self._targets[max(self.query_one("#export-target", RadioSet).pressed_index, 0)].word

    @property
    def base(self) -> str:
        """The word of the chosen base; the first one where none can be chosen."""
        if not self._has_bases:
            return self._bases[0].word
        return self._bases[max(self.query_one("#export-base", RadioSet).pressed_index, 0)].word

    @property
    def folder(self) -> str:
        """The folder as typed."""
        return self.query_one("#export-folder", Input).value.strip()

    def show_folder(self, folder: str) -> None:
        """Put a folder into its field."""
        self._written = folder
        self.query_one("#export-folder", Input).value = folder

    def show_bases(self, can_choose: bool) -> None:
        """Let the base be chosen, or not."""
        self._has_bases = can_choose
        self.query_one("#export-bases").display = can_choose

    def say(self, text: str, *, good: bool) -> None:
        """Tell what a check found."""
        line = self.query_one("#export-check", Plain)
        line.set_class(not good, "bad")
        line.show(text)

    @on(RadioSet.Changed)
    def _chosen(self, event: RadioSet.Changed) -> None:
        event.stop()
        self.post_message(self.Changed(by_hand=False))

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        event.stop()
        if event.value != self._written:
            self._written = event.value
            self.post_message(self.Changed(by_hand=True))

    @on(Button.Pressed, "#export-choose")
    def _look(self, event: Button.Pressed) -> None:
        event.stop()
        self.post_message(self.FolderWanted())
