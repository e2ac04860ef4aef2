"""Fit: how it will be trained, laid against this machine's memory while one chooses."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.timer import Timer
from textual.widgets import Button

from workbench.errors import DoesNotFit, UsageError, WorkbenchError
from workbench.runs.drafts import Draft
from workbench.tui.hints import told
from workbench.tui.screens.wizard import fit_dialogs, fit_words, outlook
from workbench.tui.screens.wizard.fit_choices import FitChoices
from workbench.tui.screens.wizard.outlook import Ground, Outlook
from workbench.tui.screens.wizard.step import WizardStep
from workbench.tui.widgets.figures import Figures
from workbench.tui.widgets.legend import Legend
from workbench.tui.widgets.memory_bars import MemoryBars
from workbench.tui.widgets.plain import Plain, shown
from workbench.tui.widgets.sentences import Sentences
from workbench.tui.work import WorkDone, WorkFailed

_FIGURE = 39
_MORE = "… (F5: all)"
_SETTLED = 0.3  # seconds without a change
_BEST, _THESE = "Go with what fits best", "Go with these settings"


class FitStep(WizardStep):
    """Bars of memory, sliders, and the planner's choice; Enter takes it.

    Attributes:
        settings: The recipe keys that were given another value than their default.
        card: Bytes of the card that is looked at; 0: this machine.
        ground: What the choices stand on; None until it was read.
        outlook: What comes of the choices.
    """

    NAME = "fit"
    TITLE = "Fit"
    SENTENCE = "How to train so that it fits this machine. Enter takes what fits best."
    TOUR = "press Enter: the demo's settings fit. Or move a slider and watch the bars."
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f3", "explain", "Explain", id="fit.explain",
                tooltip="Explain the terms: weights in 4 bit, adapters, recomputation and others"),
        Binding("f4", "cards", "Cards", id="fit.cards", show=False,
                tooltip="See what card each method needs, and look at one"),
        Binding("f5", "why", "Why?", id="fit.why", show=False,
                tooltip="Read all that the planner says about this choice"),
        Binding("f6", "expert", "Every setting", id="fit.expert", show=False,
                tooltip="See and change every setting that a run takes"),
        Binding("f7", "best", "What fits best", id="fit.best", show=False,
                tooltip="Undo every change and let the planner choose"),
    ]  # fmt: skip

    def __init__(self) -> None:
        super().__init__()
        self.settings: dict[str, Any] = {}
        self.card = 0
        self.ground: Ground | None = None
        self.outlook: Outlook | None = None
        self._blocked: WorkbenchError | None = None
        self._refused: UsageError | None = None
        self._keeping: Timer | None = None

    @classmethod
    def lacks(cls, draft: Draft) -> str:
        """Data and a model come first."""
        if not draft.dataset:
            return "Choose the data first: it says how long a row must be."
        return "" if draft.model else "Choose a model first: its size is what has to fit."

    def compose(self) -> ComposeResult:
        yield MemoryBars()
        yield Legend()
        with Horizontal(id="below"):
            with Vertical(id="column"):
                yield FitChoices()
                yield Figures(column=_FIGURE)
                yield Sentences(_MORE, id="advice")
                with Horizontal(id="buttons"):
                    yield Button(_BEST, id="go", variant="primary", disabled=True)
                    yield Button("Why?", id="why")
                    yield Button("Cards", id="to-cards")
                    yield Button("Every setting", id="expert")
            with VerticalScroll(id="aside", can_focus=False):
                yield Plain("", id="cards")

    # What the choices stand on

    def on_mount(self) -> None:
        """Fetch the facts, then the records' lengths, which may take a while."""
        self._tell_advice()
        draft, session = self.draft, self.session
        self.fetch("fit-ground", lambda _: outlook.load_ground(session.vault, draft, session.tour))

    @on(WorkDone)
    def _known(self, event: WorkDone) -> None:
        if event.work == "fit-ground":
            self.ground = event.result
            self._take(dict(event.result.settings))
            self._lay()
            go = self.query_one("#go", Button)
            go.disabled = False
            go.focus()
            draft, session = self.draft, self.session
            self.fetch("fit-lengths", lambda _: outlook.measure(session.vault, draft))
        elif event.work == "fit-lengths" and self.ground is not None:
            self.ground = replace(self.ground, lengths=event.result)
            self._lay(typed=True)
            self._measure_speed()
        elif event.work == "fit-speed" and self.ground is not None and event.result is not None:
            self.ground = replace(self.ground, hardware=event.result)
            self._lay(typed=True)

    def _measure_speed(self) -> None:
        """Measure the machine, once, where the run is long enough for that to matter."""
        if self.outlook is not None and outlook.worth_measuring(self.outlook):
            draft, session = self.draft, self.session
            self.begin("fit-speed", lambda told: outlook.known_speed(session.vault, draft, told))

    def take_failure(self, event: WorkFailed) -> bool:
        """Say in the step itself what is missing: nothing can be trained before it is put right."""
        if not event.work.startswith("fit-"):
            return False
        if event.work == "fit-speed":
            return True  # the times stay guesses
        self._blocked = event.error
        self._tell_advice()
        return True

    # Choosing

    @on(FitChoices.Chosen)
    def _chosen(self, event: FitChoices.Chosen) -> None:
        self._choose(event.key, event.value)

    @on(FitChoices.Mistyped)
    def _mistyped(self) -> None:
        self._tell_advice()

    @on(MemoryBars.Pressed)
    def _pressed(self, event: MemoryBars.Pressed) -> None:
        self._choose("method", event.key)
        self._lay()

    def _choose(self, key: str, value: Any) -> None:
        if self.ground is not None:
            self._take(outlook.with_value(self.settings, key, value))

    def _take(self, settings: dict[str, Any]) -> None:
        """Take settings over, show what comes of them, and keep them."""
        self.settings = settings
        self._redraw()
        # Sealing takes longer than a frame, and a slider passes many values on its way.
        if self._keeping is not None:
            self._keeping.stop()
        self._keeping = self.set_timer(_SETTLED, self._keep)

    def _keep(self) -> None:
        if self._keeping is not None:
            self._keeping.stop()
            self._keeping = None
            self.change(settings=self.settings)

    def on_unmount(self) -> None:
        """Keep what was chosen in the last moment."""
        self._keep()

    # Showing

    def _lay(self, *, typed: bool = False) -> None:
        """Lay the settings into the sliders and fields."""
        if self.ground is not None:
            self.query_one(FitChoices).lay(self.ground, self.settings, typed=typed)
            self._redraw()

    def _redraw(self) -> None:
        """Work out what comes of the settings, and show it."""
        if self.ground is None:
            return
        try:
            self.outlook = outlook.look(self.ground, self.settings, self.card)
            self._refused = None
        except UsageError as error:
            self._refused = error
        if self.outlook is not None and self._refused is None:
            bars = self.query_one(MemoryBars)
            bars.bars = fit_words.bars(self.outlook)
            bars.limit = self.outlook.plan.budget.usable_bytes
            bars.line = fit_words.line(self.outlook)
            self.query_one(Legend).entries = fit_words.entries(self.outlook)
            self.query_one(Figures).show(fit_words.figures(self.outlook))
            self.query_one(FitChoices).tell(self.outlook)
            if self.query_one("#aside").display:
                self._show_cards(fit_words.cards(self.outlook))
        self._tell_advice()
        go, label = self.query_one("#go", Button), _THESE if self.settings else _BEST
        if str(go.label) != label:
            go.label = shown(label)

    def _show_cards(self, text: str) -> None:
        """Show the table of cards; its rows are always as many, so nothing is laid out anew."""
        place = self.query_one("#cards", Plain)
        place.update(shown(text, multiline=True), layout=not place.size.height)

    def _tell_advice(self) -> None:
        trouble = self._trouble()
        place = self.query_one("#advice", Sentences)
        place.set_class(bool(trouble), "bad")
        if trouble:
            place.sentences = (trouble,)
        elif self.outlook is None:
            place.sentences = ("Looking at the model and at this machine…",)
        else:
            place.sentences = tuple(fit_words.advice(self.outlook))

    def _trouble(self) -> str:
        """Say what keeps this from being trained; empty: nothing does, but memory may."""
        error = self._blocked or self._refused
        if error is not None:
            return f"✗ {told(error)}"
        mistakes = self.query_one(FitChoices).mistakes
        return "✗ " + " ".join(mistakes.values()) if mistakes else ""

    def on_resize(self, event: events.Resize) -> None:
        """Fill the table of cards once there is room for it."""
        self.call_after_refresh(self._redraw)

    # Going on

    @on(Button.Pressed, "#go")
    def go_on(self) -> None:
        """Take the settings, if they can be trained here."""
        if self.ground is None and self._blocked is None:
            self.app.notify("One moment: the model and this machine are being looked at.")
        elif (error := self._hindrance()) is not None:
            self.wizard.show_error(error)
        else:
            self._keep()
            self.finish()

    def _hindrance(self) -> WorkbenchError | None:
        if self._blocked or self._refused or self.ground is None:
            return self._blocked or self._refused
        if trouble := self._trouble():
            return UsageError(trouble.removeprefix("✗ "))
        here = outlook.look(self.ground, self.settings)
        if here.fits:
            return None
        return DoesNotFit(
            f"Training {self.ground.model} like this does not fit this machine's memory.",
            hint=" ".join(here.plan.advice),
        )

    # What opens on top

    @on(Button.Pressed, "#why")
    def action_why(self) -> None:
        """Tell everything that the planner said."""
        if self.outlook is not None:
            fit_dialogs.tell_why(self.app, self.outlook)

    def action_explain(self) -> None:
        """List the terms that can be explained."""
        if self.outlook is not None:
            fit_dialogs.list_terms(self.app, self.outlook)

    @on(Legend.Opened)
    def _explain(self, event: Legend.Opened) -> None:
        if self.outlook is not None:
            fit_dialogs.explain(self.app, self.outlook, event.term)

    @on(Button.Pressed, "#to-cards")
    def action_cards(self) -> None:
        """Tell what card each method needs, and lay the run against one."""
        if self.outlook is not None:
            fit_dialogs.list_cards(self.app, self.outlook, self._look_at)

    def _look_at(self, card: int) -> None:
        self.card = card
        self._redraw()

    @on(Button.Pressed, "#expert")
    def action_expert(self) -> None:
        """Show every setting."""
        if self.ground is not None:
            fit_dialogs.list_settings(self.app, self.ground, self.settings, self._take_all)

    def action_best(self) -> None:
        """Let the planner choose everything."""
        if self.ground is not None:
            self._take_all({})

    def _take_all(self, settings: dict[str, Any]) -> None:
        self._take(settings)
        self._lay()
