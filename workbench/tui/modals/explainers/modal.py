"""The pages as dialogs: one term after the other, and the list of them."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.widgets import Button, OptionList, Static
from textual.widgets.option_list import Option

from workbench.tui.modals.base import WorkbenchModal
from workbench.tui.modals.explainers.sheet import About
from workbench.tui.modals.explainers.terms import PLACES, TERMS
from workbench.tui.widgets.plain import Plain, shown
from workbench.tui.widgets.slider import Slider, Stop


class ExplainerModal(WorkbenchModal[None]):
    """Explains one term at a time, with the figures of one model and run.

    Attributes:
        place: The number of the term on the page.
    """

    CSS_PATH: ClassVar = [Path(__file__).parents[2] / "styles" / "fit.tcss"]
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "close", "Close", id="explainer.close", tooltip="Close the page"),
        Binding("n", "turn(1)", "Next", id="explainer.next",
                tooltip="Explain the next term"),
        Binding("p", "turn(-1)", "Previous", id="explainer.previous",
                tooltip="Explain the term before"),
        Binding("up", "scroll(-1)", "Up", id="explainer.up", show=False, tooltip="Read on above"),
        Binding("down", "scroll(1)", "Down", id="explainer.down", show=False,
                tooltip="Read on below"),
    ]  # fmt: skip

    def __init__(self, term: str, about: About) -> None:
        super().__init__()
        self.place = PLACES[term]
        self._about = about

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog explainer"):
            yield Plain("", classes="dialog-title")
            yield Slider("dial", "", [Stop(0, "")], value=0)
            with VerticalScroll(classes="dialog-text"):
                yield Static(markup=False, id="page")
            with Horizontal(classes="buttons"):
                yield Button("‹ Previous (p)", id="previous")
                yield Button("Next (n) ›", id="next")
                yield Button("Close", id="close", variant="primary")

    def on_mount(self) -> None:
        """Show the first page."""
        self._show()

    def _show(self) -> None:
        term = TERMS[self.place]
        self.query_one(".dialog-title", Plain).show(
            f"{term.title}  ({self.place + 1} of {len(TERMS)})"
        )
        slider = self.query_one(Slider)
        slider.display = term.dial is not None
        if term.dial is not None:
            stops = [Stop(each, _said(term.name, each)) for each in term.dial.values(self._about)]
            slider.label = term.dial.label
            slider.put(term.dial.start(self._about), stops)
            slider.focus()
        else:
            self.query_one("#close", Button).focus()
        self._draw(slider.value)

    def _draw(self, value: object) -> None:
        self.query_one("#page", Static).update(TERMS[self.place].draw(self._about, value))

    @on(Slider.Changed)
    def _turned(self, event: Slider.Changed) -> None:
        self._draw(event.value)

    @on(Button.Pressed, "#next")
    def _next(self) -> None:
        self.action_turn(1)

    @on(Button.Pressed, "#previous")
    def _previous(self) -> None:
        self.action_turn(-1)

    def action_turn(self, steps: int) -> None:
        """Go to another term; after the last comes the first."""
        self.place = (self.place + steps) % len(TERMS)
        self._show()

    def action_scroll(self, rows: int) -> None:
        """Show what a small terminal had no room for."""
        self.query_one(".dialog-text").scroll_relative(y=rows, animate=False)

    @on(Button.Pressed, "#close")
    def action_close(self) -> None:
        """Close the page."""
        self.dismiss(None)


class TermsModal(WorkbenchModal[str | None]):
    """The list of terms; returns the chosen one's name, or None."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "close", "Close", id="terms.close", tooltip="Close the list"),
    ]

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield Plain("What shall be explained?", classes="dialog-title")
            yield OptionList(*(Option(shown(f" {term.title}"), id=term.name) for term in TERMS))

    @on(OptionList.OptionSelected)
    def _chosen(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(event.option.id)

    def action_close(self) -> None:
        """Close the list."""
        self.dismiss(None)


def _said(term: str, value: int) -> str:
    return f"{value / 100:+.2f}" if term == "nf4" else f"{value:,}"
