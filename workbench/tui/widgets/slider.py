"""Values chosen along a line or out of a few words, with the arrow keys or the mouse."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, NamedTuple

from rich.cells import cell_len
from textual import events
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget

from workbench.text import printable
from workbench.tui.widgets.plain import shown

Value = int | float | str | bool

LABEL = 13
_SAID = 17
_LEAST_TRACK, _MOST_TRACK = 12, 40


class Stop(NamedTuple):
    """One value that can be chosen, and what it is called."""

    value: Value
    text: str


class Slider(Widget, can_focus=True):
    """A line of stops. Only a person's hand posts `Changed`; `put` does not.

    Attributes:
        key: What the value is for; the owner tells sliders apart by it.
        label: What stands before the line.
        said: What stands beside the line instead of the stop's own text.
        note: A remark at the end of the row.
    """

    DEFAULT_CSS = """
    Slider { height: 1; width: 1fr; }
    Slider:focus { background: $primary 20%; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left", "move(-1)", "Less", id="slider.less", show=False,
                tooltip="Take the value before"),
        Binding("right", "move(1)", "More", id="slider.more", show=False,
                tooltip="Take the value after"),
        Binding("home", "move(-1000)", "First", id="slider.first", show=False,
                tooltip="Take the first value"),
        Binding("end", "move(1000)", "Last", id="slider.last", show=False,
                tooltip="Take the last value"),
        Binding("up", "app.focus_previous", "Row above", id="slider.above", show=False,
                tooltip="Go to the row above"),
        Binding("down", "app.focus_next", "Row below", id="slider.below", show=False,
                tooltip="Go to the row below"),
    ]  # fmt: skip

    index: reactive[int] = reactive(0)
    said: reactive[str] = reactive("")
    note: reactive[str] = reactive("")
    stops: reactive[tuple[Stop, ...]] = reactive(())

    class Changed(Message):
        """A person chose another value."""

        def __init__(self, slider: Slider, value: Value) -> None:
            super().__init__()
            self.slider = slider
            self.value = value

        @property
        def control(self) -> Slider:
            """The slider, for selectors in `on`."""
            return self.slider

    def __init__(
        self,
        key: str,
        label: str,
        stops: Sequence[Stop],
        *,
        value: Value,
        label_width: int = LABEL,
        id: str | None = None,
    ) -> None:
        """Make a slider.

        Args:
            stops: At least one.
            value: The stop that is chosen at first; the first one where there is none such.
            label_width: Columns before the line.
        """
        super().__init__(id=id)
        self.key = key
        self.label = label
        self._column = label_width
        self.put(value, stops)

    @property
    def value(self) -> Value:
        """The chosen value."""
        return self.stops[self.index].value

    def put(self, value: Value, stops: Sequence[Stop] | None = None) -> None:
        """Choose a value without telling anybody; a value that is no stop changes nothing."""
        found = tuple(stops) if stops is not None else self.stops
        values = [stop.value for stop in found]
        place = values.index(value) if value in values else 0 if stops is not None else self.index
        self.set_reactive(Slider.stops, found)
        self.set_reactive(Slider.index, place)
        if self.is_mounted:
            self.refresh()

    def action_move(self, steps: int) -> None:
        """Choose the stop `steps` further on."""
        self._take(self.index + steps)

    def _take(self, place: int) -> None:
        place = max(0, min(len(self.stops) - 1, place))
        if place != self.index:
            self.index = place
            self.post_message(self.Changed(self, self.value))

    @property
    def _track(self) -> int:
        return max(_LEAST_TRACK, min(_MOST_TRACK, (self.size.width - self._column - _SAID) // 2))

    def _place_of(self, x: int) -> int:
        """Return which stop lies under the column `x` of the widget."""
        return round((x - self._column) * (len(self.stops) - 1) / (self._track - 1))

    def on_mouse_down(self, event: events.MouseDown) -> None:
        """Take hold of the line."""
        if self._column <= event.x < self._column + self._track:
            self.capture_mouse()
            self._take(self._place_of(event.x))

    def on_mouse_move(self, event: events.MouseMove) -> None:
        """Follow the mouse while it holds the line."""
        if self.app.mouse_captured is self:
            self._take(self._place_of(event.x))

    def on_mouse_up(self) -> None:
        """Let go."""
        self.release_mouse()

    def render(self) -> Content:
        """Draw the row."""
        track = self._track
        place = round(self.index * (track - 1) / max(1, len(self.stops) - 1))
        said = printable(self.said or self.stops[self.index].text, limit=_SAID - 2)
        rest = max(0, self.size.width - self._column - track - _SAID - 1)
        return Content.assemble(
            self._head(),
            ("━" * place, "$primary"),
            ("●", "bold"),
            ("─" * (track - place - 1), "$foreground-muted"),
            f"  {said:<{_SAID - 2}} ",
            (printable(self.note, limit=rest) if rest > 1 else "", "$foreground-muted"),
        )

    def _head(self) -> Content:
        mark = "▸" if self.has_focus else " "
        return shown(f"{mark}{self.label:<{self._column - 1}}")


class WordSlider(Slider):
    """A few words of which one is chosen, all of them seen at once."""

    def _spans(self) -> list[tuple[int, str]]:
        """Return where each word begins, and the word."""
        found, column = [], self._column
        for stop in self.stops:
            found.append((column, printable(stop.text, limit=_SAID)))
            column += cell_len(found[-1][1]) + 4
        return found

    def on_mouse_down(self, event: events.MouseDown) -> None:
        """Take the word under the mouse."""
        for place, (column, word) in enumerate(self._spans()):
            if column <= event.x < column + cell_len(word) + 2:
                self._take(place)

    def on_mouse_move(self, event: events.MouseMove) -> None:
        """Words are not dragged."""

    def render(self) -> Content:
        """Draw the row."""
        parts: list[Content | tuple[str, str]] = [self._head()]
        for place, (_, word) in enumerate(self._spans()):
            chosen = place == self.index
            parts.append(("● " if chosen else "○ ", "$primary" if chosen else "$foreground-muted"))
            parts.append((f"{word}  ", "bold" if chosen else "$foreground-muted"))
        return Content.assemble(*parts, (printable(self.note, limit=80), "$foreground-muted"))
