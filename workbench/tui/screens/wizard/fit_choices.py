"""The choices of the Fit step: a method, three sliders, two fields."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.message import Message
from textual.widgets import Input

from workbench.recipe import FIELDS, RecipeError, parse
from workbench.tui.modals.expert import spelled
from workbench.tui.screens.wizard import fit_words, outlook
from workbench.tui.screens.wizard.outlook import Ground, Outlook
from workbench.tui.widgets.plain import Plain
from workbench.tui.widgets.slider import Slider, Stop, WordSlider
from workbench.tui.widgets.text_input import TextInput

_METHODS = [Stop(key, name) for key, name in fit_words.NAMES.items()]
_AUTO = Stop("auto", "auto")


class FitChoices(Vertical):
    """Posts `Chosen` for each value that a person settles on.

    Attributes:
        mistakes: What is wrong with the fields, by key.
    """

    class Chosen(Message):
        """A recipe key was given another value."""

        def __init__(self, key: str, value: Any) -> None:
            super().__init__()
            self.key = key
            self.value = value

    class Mistyped(Message):
        """A field holds what it cannot take, or no longer does."""

    def __init__(self) -> None:
        super().__init__()
        self.mistakes: dict[str, str] = {}
        self._values: dict[str, Any] = {}

    def compose(self) -> ComposeResult:
        yield WordSlider("method", "Method", _METHODS, value="auto", id="method")
        yield Slider("rank", "Rank", [Stop(16, "16")], value=16, id="rank")
        yield Slider("context", "Context", [_AUTO], value="auto", id="context")
        yield Slider("micro_batch", "Micro-batch", [_AUTO], value="auto", id="micro_batch")
        with Horizontal(id="fields"):
            yield Plain("Epochs")
            yield TextInput(id="epochs", max_length=12)
            yield Plain("Learning rate", classes="second")
            yield TextInput(id="learning_rate", max_length=12)

    def lay(self, ground: Ground, settings: Mapping[str, Any], *, typed: bool = False) -> None:
        """Show settings, and what can be chosen instead; `typed` leaves the fields as they are."""
        stops = {
            "rank": [Stop(each, str(each)) for each in outlook.ranks(settings)],
            "context": [
                _AUTO,
                *(Stop(each, f"{each:,} tokens") for each in outlook.contexts(ground, settings)),
            ],
            "micro_batch": [
                _AUTO,
                *(Stop(each, f"{each} row{'s' * (each > 1)}") for each in outlook.rows(settings)),
            ],
        }
        self._values = {key: settings.get(key, field.default) for key, field in FIELDS.items()}
        for slider in self.query(Slider):
            slider.put(self._values[slider.key], stops.get(slider.key))
        for field in () if typed else self.query(Input):
            key = field.id or ""
            self.mistakes.pop(key, None)
            with field.prevent(Input.Changed):
                field.value = spelled(FIELDS[key], self._values[key])
            field.remove_class("-invalid")

    def tell(self, known: Outlook) -> None:
        """Say what automatic values come to, and what the context leaves out."""
        candidate = known.candidate
        for key, value in (("context", candidate.context), ("micro_batch", candidate.micro_batch)):
            slider = self.query_one(f"#{key}", Slider)
            slider.said = f"auto: {value:,}" if slider.value == "auto" else ""
        self.query_one("#context", Slider).note = fit_words.left_out(known)

    @on(Slider.Changed)
    def _moved(self, event: Slider.Changed) -> None:
        event.stop()
        self._settle(event.slider.key, event.value)

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        event.stop()
        key, text = event.input.id or "", event.value.strip()
        try:
            value = getattr(parse({}, [f"{key}={text}"] if text else []), key)
        except RecipeError as error:
            self.mistakes[key] = " ".join(str(mistake) for mistake in error.mistakes)
        else:
            self.mistakes.pop(key, None)
            self._settle(key, value)
        event.input.set_class(key in self.mistakes, "-invalid")
        self.post_message(self.Mistyped())

    def _settle(self, key: str, value: Any) -> None:
        if self._values.get(key) != value:
            self._values[key] = value
            self.post_message(self.Chosen(key, value))
