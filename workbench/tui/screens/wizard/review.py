"""Review: base and adapter on records that training never saw, and what to try if it is poor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, Horizontal, Vertical
from textual.widgets import Button, OptionList, TabbedContent, TabPane

from workbench.errors import WorkbenchError
from workbench.evaluation.advice import Facts, advise
from workbench.runs.drafts import Draft
from workbench.tui.hints import hint
from workbench.tui.screens.wizard.review_parts import (
    PHASES,
    AdvicePane,
    ConfusionPane,
    RecordsPane,
    figures_table,
    measured_on,
)
from workbench.tui.screens.wizard.step import WizardStep
from workbench.tui.stopping import StopFlag
from workbench.tui.widgets.plain import Plain, shown
from workbench.tui.widgets.work_bar import WorkBar
from workbench.tui.work import Progress, WorkDone, WorkFailed, WorkProgressed, WorkStopped

if TYPE_CHECKING:
    from workbench.adapters.reviewing import Review

_WORK = "review"
_TOUR_WAIT = "Wait: both answer records that training never saw (half a minute)."
_TOUR_DONE = "R shows the text, the arrow keys step through. Press Enter to go on."


class _Busy(Vertical, can_focus=True):
    """Holds the focus while both answer, so that the step's keys work and Enter stops nothing."""


class ReviewStep(WizardStep):
    """Evaluates by itself when there are no figures of this run yet."""

    NAME = "review"
    TITLE = "Review"
    SENTENCE = "Did it learn? Base and adapter answer records that training never saw."
    TOUR = _TOUR_WAIT
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("r", "reveal", "Reveal", id="review.reveal",
                tooltip="Show or mask the text of the records"),
        Binding("right", "record(1)", "Next record", id="review.next", show=False,
                tooltip="Show the next record"),
        Binding("left", "record(-1)", "Previous record", id="review.previous", show=False,
                tooltip="Show the record before"),
        Binding("down", "scroll_record(1)", "Read on", id="review.down", show=False,
                tooltip="Scroll the record down"),
        Binding("up", "scroll_record(-1)", "Read back", id="review.up", show=False,
                tooltip="Scroll the record up"),
        Binding("d", "differing", "Next that differs", id="review.differing", show=False,
                tooltip="Show the next record whose answer is not the wanted one"),
        Binding("t", "turn", "What to try", id="review.turn", show=False,
                tooltip="Turn to what to try, to the labels, or back to the records"),
        Binding("e", "evaluate", "Compare again", id="review.evaluate", show=False,
                tooltip="Let base and adapter answer once more"),
        Binding("x", "stop", "Stop", id="review.stop", tooltip="Stop comparing"),
        *(
            Binding(str(place), f"change_in('{step}')", f"To {step.capitalize()}",
                    id=f"review.to_{step}", show=False, tooltip=f"Go back to {step.capitalize()}")
            for place, step in enumerate(("data", "model", "fit", "train"), 1)
        ),
    ]  # fmt: skip

    def __init__(self) -> None:
        super().__init__()
        self._stop: StopFlag | None = None
        self._failed = False

    @classmethod
    def lacks(cls, draft: Draft) -> str:
        """A run has to have been started; whether it has finished is looked up when it opens."""
        return "" if draft.run else "Train first: there is nothing to review yet."

    def compose(self) -> ComposeResult:
        with _Busy(id="review-busy"):
            yield Plain("", id="review-said")
            yield WorkBar(PHASES, id="review-bar")
            with Horizontal(classes="buttons"):
                yield Button("Stop", id="review-stop")
                yield Button("Try again", id="review-again", variant="primary")
                yield Button("Go on without", id="review-skip")
        with Container(id="review-done"):
            yield Plain("", id="review-verdict")
            yield Plain("", id="review-measured", classes="muted")
            yield Plain("", id="review-figures")
            with TabbedContent(id="review-tabs"):
                yield RecordsPane()
                yield AdvicePane()
                yield ConfusionPane()
            with Horizontal(classes="buttons"):
                yield Button("Compare again", id="review-repeat")
                yield Button("Go on", id="review-on", variant="primary")

    def on_mount(self) -> None:
        """Show the figures that were kept of this run, or compare."""
        if self.draft.results.get("run") == self.draft.run:
            self._show_figures(self.draft.results)
        else:
            self._start()

    # Comparing

    @property
    def is_busy(self) -> bool:
        """Whether base and adapter are at work."""
        return self._stop is not None

    def _start(self) -> None:
        self._stop = stop = StopFlag()
        self._failed = False
        session, run = self.session, self.draft.run

        def task(tell: Progress) -> Review:
            from workbench.adapters.reviewing import review_run

            return review_run(session.vault, run, stop.heeding(tell))

        self.begin(_WORK, task)
        self.wizard.tell_tour(_TOUR_WAIT)
        self.query_one("#review-bar", WorkBar).tell(0, 0, "starting")
        self._show_busy("Base and adapter are compared on records that training never saw.")

    @on(WorkProgressed)
    def _tell_progress(self, event: WorkProgressed) -> None:
        event.stop()
        if self._stop is not None and not self._stop.is_set:
            self.query_one("#review-bar", WorkBar).tell(event.done, event.total, event.phase)

    @on(WorkDone)
    def _take_review(self, event: WorkDone) -> None:
        event.stop()
        review: Review = event.result
        self._stop = None
        self.change(results=review.figures, adapter=review.figures["adapter_name"])
        self._show_figures(review.figures)
        if not self.session.is_open:
            return  # locked meanwhile: what they answered is not taken in
        self.query_one(RecordsPane).show_rows(review.rows)
        if review.confusion:
            self.query_one(ConfusionPane).show_counts(review.confusion["adapter"])
            self.query_one(TabbedContent).show_tab("confusion")

    def conceal(self) -> None:
        """Forget what both answered."""
        self.query_one(RecordsPane).forget()
        self.query_one(ConfusionPane).forget()
        tabs = self.query_one(TabbedContent)
        if tabs.active == "confusion":
            tabs.active = "records"
        tabs.hide_tab("confusion")

    def take_failure(self, event: WorkFailed) -> bool:
        """Say here what went wrong; the path may go on without a review."""
        self._stop = None
        self._failed = True
        if isinstance(event.error, WorkStopped):
            self._show_busy("Stopped. Nothing was changed.")
        else:
            self._show_busy(_told(event.error))
        return True

    def _show_busy(self, said: str) -> None:
        self.query_one("#review-busy").display = True
        self.query_one("#review-done").display = False
        self.query_one("#review-said", Plain).show(said)
        self.query_one("#review-bar").display = self.is_busy
        self.query_one("#review-stop").display = self.is_busy
        for name in ("#review-again", "#review-skip"):
            self.query_one(name).display = not self.is_busy
        self.query_one("#review-busy" if self.is_busy else "#review-again").focus()
        self.refresh_bindings()

    # Showing

    def _show_figures(self, figures: dict[str, Any]) -> None:
        self.query_one("#review-busy").display = False
        self.query_one("#review-done").display = True
        from workbench.evaluation.verdict import verdict

        self.query_one("#review-verdict", Plain).show(verdict(figures))
        self.query_one("#review-measured", Plain).show(measured_on(figures))
        self.query_one("#review-figures", Plain).show(figures_table(figures))
        advice = advise(Facts.from_json(figures.get("facts", {})))
        self.query_one(AdvicePane).show_advice(advice)
        tabs = self.query_one(TabbedContent)
        found = f" ({len(advice)})" if advice else ""
        tabs.get_tab("advice").label = shown(f"T: what to try{found}")
        tabs.hide_tab("confusion")
        self.wizard.tell_tour(_TOUR_DONE)
        self.query_one("#review-on", Button).focus()
        self.refresh_bindings()

    # Keys and buttons

    def go_on(self) -> None:
        """Go on to Keep; while both still answer, say how to stop them."""
        if self.is_busy:
            self.app.notify("Both are still answering. X stops it, if you would rather not wait.")
        else:
            self.finish()

    @on(Button.Pressed)
    def _pressed(self, event: Button.Pressed) -> None:
        event.stop()
        if event.button.id in ("review-on", "review-skip"):
            self.go_on()
        elif event.button.id in ("review-again", "review-repeat"):
            self.action_evaluate()
        elif event.button.id == "review-stop":
            self.action_stop()

    @on(OptionList.OptionSelected, "#review-advice")
    def _advice_taken(self, event: OptionList.OptionSelected) -> None:
        if event.option.id:
            self.action_change_in(event.option.id.partition(":")[0])

    def action_stop(self) -> None:
        """Stop comparing; the path may go on without."""
        if self._stop is not None and not self._stop.is_set:
            self._stop.stop()
            self.query_one("#review-said", Plain).show("Stopping…")

    def action_evaluate(self) -> None:
        """Compare once more."""
        if not self.is_busy:
            self._start()

    def action_reveal(self) -> None:
        """Show or mask the records' text."""
        self.query_one(RecordsPane).toggle()
        self.query_one(ConfusionPane).toggle()

    def action_record(self, steps: int) -> None:
        """Show another record."""
        self.query_one(RecordsPane).move(steps)

    def action_scroll_record(self, lines: int) -> None:
        """Scroll the record's text."""
        self.query_one(RecordsPane).scroll_text(lines)

    def action_differing(self) -> None:
        """Show the next record that the adapter answered otherwise than wanted."""
        self.query_one(RecordsPane).next_differing()

    def action_turn(self) -> None:
        """Turn to the next tab."""
        tabs = self.query_one(TabbedContent)
        shown = [pane.id for pane in tabs.query(TabPane) if tabs.get_tab(pane).display]
        tabs.active = str(shown[(shown.index(tabs.active) + 1) % len(shown)])

    def action_change_in(self, step: str) -> None:
        """Go back to a step to change something."""
        self.wizard.open_step(step)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer what can be done now."""
        if action == "stop":
            return self.is_busy
        if action == "evaluate":
            return not self.is_busy
        if action == "turn":
            return not self.is_busy and not self._failed
        if action in ("reveal", "record", "scroll_record", "differing"):
            return not self.is_busy and not self._failed and self.query_one(RecordsPane).has_rows
        return super().check_action(action, parameters)


def _told(error: WorkbenchError) -> str:
    return f"{error.message}\n{hint(error)}".rstrip()
