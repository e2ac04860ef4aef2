"""Every setting of a run, drawn from its declaration, with all mistakes at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.widgets import Button, Input

from workbench.errors import UsageError
from workbench.recipe import FIELDS, Field, Recipe, RecipeError, parse, parse_size
from workbench.tui.hints import told
from workbench.tui.modals.base import WorkbenchModal
from workbench.tui.widgets.plain import Plain
from workbench.tui.widgets.slider import Slider, Stop, WordSlider
from workbench.tui.widgets.text_input import TextInput
from workbench.wording import size

_LABEL = 18
_SPOKEN = {"true": "yes", "false": "no"}


class ExpertModal(WorkbenchModal[Recipe | None]):
    """Asks for every key of a recipe; returns the recipe, or None.

    What is typed is read as a `--set` flag is; an empty field takes its default.
    """

    heading = "Every setting"
    help_page = "recipe"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "cancel", "Cancel", id="expert.cancel",
                tooltip="Close without changing anything"),
        Binding("ctrl+s", "use", "Use these", id="expert.use", tooltip="Take these settings over"),
        Binding("up", "app.focus_previous", "Above", id="expert.above", show=False,
                tooltip="Go to the setting above"),
        Binding("down", "app.focus_next", "Below", id="expert.below", show=False,
                tooltip="Go to the setting below"),
    ]  # fmt: skip

    def __init__(
        self, settings: Mapping[str, Any], check: Callable[[Recipe], UsageError | None]
    ) -> None:
        """Ask.

        Args:
            settings: The keys that differ from their defaults.
            check: Says what is wrong with a sound recipe for this model; None: nothing.
        """
        super().__init__()
        self._texts = {
            key: spelled(FIELDS[key], value) for key, value in settings.items() if key in FIELDS
        }
        self._check = check

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog expert"):
            yield Plain("Every setting", classes="dialog-title")
            with VerticalScroll(id="keys", can_focus=False):
                for field in FIELDS.values():
                    yield from self._row(field)
            with Vertical(id="said"):
                yield Plain("", id="help")
                yield Plain("", id="mistakes")
            with Horizontal(classes="buttons"):
                yield Button("All defaults", id="defaults")
                yield Button("Cancel", id="cancel")
                yield Button("Use these (^s)", id="use", variant="primary")

    def _row(self, field: Field) -> ComposeResult:
        default = spelled(field, field.default)
        text = self._texts.get(field.key, "")
        with Horizontal(classes="key"):
            if field.kind in ("choice", "switch"):
                words = [str(each).lower() for each in field.words or (False, True)]
                stops = [Stop(word, _SPOKEN.get(word, word)) for word in words]
                yield WordSlider(
                    field.key, field.key, stops, value=text or default, label_width=_LABEL
                )
            else:
                yield Plain(field.key)
                yield TextInput(text, placeholder=default, id=field.key, max_length=200)
            yield Plain("", classes="mark", id=f"{field.key}-mark")

    # What is wrong

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        self._set(event.input.id or "", event.value.strip())

    @on(Slider.Changed)
    def _chosen(self, event: Slider.Changed) -> None:
        self._set(event.slider.key, str(event.value))

    def _set(self, key: str, text: str) -> None:
        self._texts[key] = text
        self._read()

    def _read(self) -> Recipe | None:
        """Return the recipe, or mark everything that is wrong with it."""
        sets = [f"{key}={text}" for key, text in self._texts.items() if text]
        found: Recipe | None = None
        problems: dict[str, str] = {}
        try:
            found = parse({}, sets)
        except RecipeError as error:
            problems = {each.key: str(each) for each in error.mistakes}
        for key in FIELDS:
            self.query_one(f"#{key}-mark", Plain).show(" ✗" if key in problems else "")
        for field in self.query(Input):
            field.set_class(field.id in problems, "-invalid")
        self.query_one("#mistakes", Plain).show(
            "\n".join(f"✗ {each}" for each in problems.values())
        )
        return found

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        """Explain the key that has the focus."""
        widget = event.widget
        key = widget.key if isinstance(widget, Slider) else widget.id or ""
        if key in FIELDS:
            field = FIELDS[key]
            told = f"{key}: {field.help} It takes {field.accepts}. Default: "
            self.query_one("#help", Plain).show(f"{told}{spelled(field, field.default)}.")

    # Answering

    @on(Button.Pressed, "#use")
    @on(Input.Submitted)
    def action_use(self) -> None:
        """Return the recipe, unless something is wrong with it."""
        recipe = self._read()
        if recipe is None:
            first = next(
                (field for field in self.query(Input) if field.has_class("-invalid")), None
            )
            if first is not None:
                first.focus()
        elif (error := self._check(recipe)) is not None:
            self.query_one("#mistakes", Plain).show(f"✗ {told(error)}")
        else:
            self.dismiss(recipe)

    @on(Button.Pressed, "#defaults")
    def _clear(self) -> None:
        self._texts.clear()
        for field in self.query(Input):
            with field.prevent(Input.Changed):
                field.value = ""
        for choice in self.query(WordSlider):
            choice.put(spelled(FIELDS[choice.key], FIELDS[choice.key].default))
        self._read()

    @on(Button.Pressed, "#cancel")
    def action_cancel(self) -> None:
        """Change nothing."""
        self.dismiss(None)


def spelled(field: Field, value: Any) -> str:
    """Return a value as one types it; reading it again gives the same value."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return ", ".join(value)
    if field.kind == "size" and value and parse_size(size(value)) == value:
        return size(value)
    return f"{value:.15g}" if isinstance(value, float) else str(value)
