"""The Playground: one question, answered by base and adapters side by side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.widgets import Input, OptionList
from textual.widgets.option_list import Option
from textual.worker import Worker

from workbench.tui.screens.base import WorkbenchScreen
from workbench.tui.widgets.plain import Plain, shown
from workbench.tui.widgets.text_input import TextInput
from workbench.tui.work import WorkDone, WorkFailed, WorkProgressed

_BASE = ""  # the selection's value for the base itself
_MOST_SIDES = 4
_TOKENS = (32, 64, 128, 256, 512, 1024)
_EMPTY = (
    "There is no model to talk to.\n\nPress F2 and m to put one on the shelf, or F2 and n to train "
    "an adapter."
)


@dataclass(frozen=True)
class Speaker:
    """Somebody to talk to: an adapter, or with an empty `adapter` the base itself."""

    base: str
    base_name: str
    adapter: str
    adapter_name: str

    @property
    def name(self) -> str:
        """What the screen calls it."""
        return self.adapter_name or f"{self.base_name} (base)"


class PlaygroundScreen(WorkbenchScreen):
    """Choose who answers, ask, read the answers in columns."""

    PLACE = "playground"
    TOUR = "Type a note such as one of your data's and press Enter: both sides answer it."
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f3", "who", "Who", id="playground.who",
                tooltip="Choose the base and the adapters that answer"),
        Binding("f4", "longer", "Length", id="playground.length",
                tooltip="Change how long an answer may become"),
        Binding("f5", "new", "New talk", id="playground.new",
                tooltip="Forget what was said and begin again"),
        Binding("f6", "stop", "Stop", id="playground.stop",
                tooltip="Stop the answer that is being written"),
    ]  # fmt: skip

    def __init__(self, adapter: str = "") -> None:
        """Open on `adapter`, by name, and its base; empty: on the newest adapter."""
        super().__init__()
        self._wanted = adapter
        self._speakers: list[Speaker] = []
        self._chosen: list[Speaker] = []
        self._said: list[dict[str, str]] = []
        self._tokens = 128
        self._work: Worker[None] | None = None

    def compose_body(self) -> ComposeResult:
        yield Plain("", id="terms", classes="muted line")
        with VerticalScroll(id="talk"):
            yield Plain("", id="none", classes="empty")
        yield OptionList(id="who")
        yield Plain("", id="state", classes="muted line")
        yield TextInput(placeholder="Ask something, then Enter", id="question")

    def on_mount(self) -> None:
        """Find out who there is to talk to."""
        self.query_one("#who").display = False
        self.query_one("#question", Input).focus()
        self.fetch("speakers", lambda _: _speakers(self.session.vault))

    @on(WorkDone)
    def _finished(self, event: WorkDone) -> None:
        if event.work == "speakers":
            self._take_speakers(event.result)
        elif event.work == "answer":
            self._show_answers(event.result["answers"])

    @on(WorkProgressed)
    def _progressed(self, event: WorkProgressed) -> None:
        if event.work == "answer":
            phase = event.phase.replace("_", " ")
            share = f" {100 * event.done // event.total} %" if event.total else ""
            self.query_one("#state", Plain).show(f"{phase}{share}…   F6 stops it")

    def take_failure(self, event: WorkFailed) -> bool:
        """Take the question back, so that it can be asked again."""
        if event.work == "answer":
            question = self._said.pop()["content"]
            self._end_turn()
            self.query_one("#question", Input).value = question
        return event.error.code == "stopped"

    def _take_speakers(self, speakers: list[Speaker]) -> None:
        self._speakers = speakers
        self.refresh_bindings()  # who can be chosen now
        if not speakers:
            self.query_one("#none", Plain).show(_EMPTY)
            self.query_one("#question").disabled = True
            return
        adapters = [each for each in speakers if each.adapter]
        named = [each for each in adapters if each.adapter_name == self._wanted]
        first = (named or adapters[-1:] or speakers)[0]
        self._chosen = [each for each in speakers if each.base == first.base and not each.adapter]
        if first.adapter:
            self._chosen.append(first)
        self._tell_terms()

    def _tell_terms(self) -> None:
        who = ", ".join(speaker.name for speaker in self._chosen)
        self.query_one("#terms", Plain).show(
            f"{who} · up to {self._tokens} tokens · likeliest words"
        )
        if not self._said:
            self.query_one("#none", Plain).show(
                "What you type is answered by each of them, on this machine.\n"
                "Nothing of it is kept: it is gone when you leave or lock."
            )

    @on(Input.Submitted, "#question")
    def _ask(self, event: Input.Submitted) -> None:
        from workbench.adapters.chatting import chat

        question = event.value.strip()
        if not question or self._work is not None or not self._chosen:
            return
        event.input.value = ""
        self.query_one("#none").display = False
        self._said.append({"role": "user", "content": question})
        talk = self.query_one("#talk", VerticalScroll)
        talk.mount(Plain(f"▸ {question}", classes="asked"))
        talk.scroll_end(animate=False)
        self.query_one("#state", Plain).show("Loading the model…   F6 stops it")
        chosen, said, tokens = list(self._chosen), list(self._said), self._tokens
        adapters = tuple(each.adapter for each in chosen if each.adapter)
        with_base = any(not each.adapter for each in chosen)
        self._work = self.begin(
            "answer",
            lambda progress: chat(
                self.session.vault,
                messages=said,
                model=None if adapters else chosen[0].base,
                adapters=adapters,
                with_base=with_base and bool(adapters),
                max_tokens=tokens,
                progress=progress,
            ),
        )
        self.refresh_bindings()

    def _show_answers(self, answers: list[dict[str, Any]]) -> None:
        columns = []
        for answer in answers:
            name = answer["adapter"] or f"{self._chosen[0].base_name} (base)"
            ended = "" if answer["ended"] else ", cut at the length"
            columns.append(
                Vertical(
                    Plain(name, classes="title"),
                    Plain(answer["text"] or "(nothing)"),
                    Plain(
                        f"{answer['tokens']} tokens in {answer['seconds']:.1f} s{ended}",
                        classes="muted",
                    ),
                    classes="answer",
                )
            )
        talk = self.query_one("#talk", VerticalScroll)
        talk.mount(Horizontal(*columns, classes="answers"))
        talk.scroll_end(animate=False)
        # The last of several answers is the one that the talk goes on from.
        self._said.append({"role": "assistant", "content": answers[-1]["text"]})
        self._end_turn()

    def _end_turn(self) -> None:
        self._work = None
        self.query_one("#state", Plain).show("")
        self.query_one("#question", Input).focus()
        self.refresh_bindings()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer to stop only what is at work, and changes only while nothing is."""
        if action == "stop":
            return self._work is not None
        if action in ("who", "new", "longer"):
            return self._work is None and bool(self._speakers)
        return super().check_action(action, parameters)

    def conceal(self) -> None:
        """Forget the talk."""
        if self._work is not None:
            self._work.cancel()
            self._work = None
        self.query_one("#question", Input).value = ""
        self.query_one("#state", Plain).show("")
        for part in self.query(".asked, .answers Plain").results(Plain):
            part.show("")  # what holds them lets go of them only when it is drawn again
        self.action_new()

    def action_stop(self) -> None:
        """Stop the answer; the question comes back to its field."""
        if self._work is not None:
            self._work.cancel()
            question = self._said.pop()["content"]
            self._end_turn()
            self.query_one("#question", Input).value = question

    def action_longer(self) -> None:
        """Take the next length."""
        self._tokens = _TOKENS[(_TOKENS.index(self._tokens) + 1) % len(_TOKENS)]
        self._tell_terms()

    def action_new(self) -> None:
        """Forget what was said."""
        self._said.clear()
        for part in self.query(".asked, .answers"):
            part.remove()
        self.query_one("#none").display = True
        self._tell_terms()

    def action_who(self) -> None:
        """Open or close the list of who answers."""
        who = self.query_one("#who", OptionList)
        if who.display:
            self._close_who()
            return
        self._list_who()
        who.display = True
        who.highlighted = 0
        who.focus()
        self.query_one("#state", Plain).show("Enter chooses, Esc is done; one base at a time")

    def _list_who(self) -> None:
        who = self.query_one("#who", OptionList)
        before = who.highlighted
        who.clear_options()
        for speaker in self._speakers:
            mark = "[x]" if speaker in self._chosen else "[ ]"
            kind = f"adapter of {speaker.base_name}" if speaker.adapter else "base model"
            who.add_option(Option(shown(f"{mark} {speaker.name} · {kind}", limit=70)))
        who.highlighted = before

    @on(OptionList.OptionSelected, "#who")
    def _toggle(self, event: OptionList.OptionSelected) -> None:
        speaker = self._speakers[event.option_index]
        # One base at a time: its weights are loaded once for all that answer.
        chosen = {each for each in self._chosen if each.base == speaker.base}
        chosen ^= {speaker}
        if len(chosen) > _MOST_SIDES:
            self.app.notify(f"At most {_MOST_SIDES} side by side.")
        elif chosen:
            # In the order of the list: the base answers first, the others are read against it.
            self._chosen = [each for each in self._speakers if each in chosen]
        self._list_who()

    def _close_who(self) -> None:
        self.query_one("#who").display = False
        self._tell_terms()
        if self._work is None:  # else a question was asked beside the list, and is being answered
            self._end_turn()
        else:
            self.query_one("#question", Input).focus()

    def action_back(self) -> None:
        """Close the list, or leave."""
        if self.query_one("#who").display:
            self._close_who()
        else:
            super().action_back()


def _speakers(vault: Any) -> list[Speaker]:
    """Return the base models, each followed by its adapters."""
    from workbench.adapters.bases import base_of
    from workbench.errors import WorkbenchError

    adapters = []
    for entry in vault.catalogue.entries("adapter"):
        try:
            adapters.append((base_of(vault, entry).object_id, entry))
        except WorkbenchError:  # its base is no longer on the shelf
            continue
    found = []
    for base in vault.catalogue.entries("model"):
        found.append(Speaker(base.object_id, base.name, "", ""))
        found += [
            Speaker(base.object_id, base.name, entry.object_id, entry.name)
            for of, entry in adapters
            if of == base.object_id
        ]
    return found
