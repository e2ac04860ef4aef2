"""The parts of the Review step: records side by side, what to try, the table of labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from textual.app import ComposeResult
from textual.widgets import DataTable, OptionList, TabPane
from textual.widgets.option_list import Option

from workbench.evaluation.advice import Advice
from workbench.evaluation.verdict import choices
from workbench.tui.widgets.plain import Plain, cell, shown
from workbench.tui.widgets.records import hidden
from workbench.tui.widgets.side_by_side import Compared, SideBySideView
from workbench.wording import count

if TYPE_CHECKING:
    from workbench.adapters.reviewing import SideBySide

PHASES = {
    "starting": "Starting",
    "queued": "Waiting: another job has the device",
    "loading": "Loading the base model (part 1 of 5)",
    "score_base": "Measuring the base (part 2 of 5)",
    "answer_base": "The base answers (part 3 of 5)",
    "score_adapter": "Measuring the adapter (part 4 of 5)",
    "answer_adapter": "The adapter answers (part 5 of 5)",
}
_STEP_KEYS = {"data": 1, "model": 2, "fit": 3, "train": 4}
_NOT_KEPT = (
    "What they answered is not kept, for it is record text; only the figures are.\n"
    "Press E to let both answer again."
)
_NO_ANSWERS = "Plain text has no question and no answer: there is nothing to put side by side."


class RecordsPane(TabPane):
    """Steps through the records that both sides answered."""

    def __init__(self) -> None:
        super().__init__("Side by side", id="records")
        self._rows: Sequence[SideBySide] = ()
        self._place = 0
        self._revealed = False

    @property
    def has_rows(self) -> bool:
        """Whether there is something to step through."""
        return bool(self._rows)

    def compose(self) -> ComposeResult:
        yield Plain("", id="review-place", classes="muted")
        yield SideBySideView()
        yield Plain(_NOT_KEPT, id="review-none")

    def on_mount(self) -> None:
        """Say why there are no records until some are shown."""
        self._draw()

    def show_rows(self, rows: Sequence[SideBySide]) -> None:
        """Show other records, masked, the first one first."""
        self._rows, self._place, self._revealed = rows, 0, False
        self.query_one("#review-none", Plain).show(_NO_ANSWERS)
        self._draw()

    def forget(self) -> None:
        """Drop the records."""
        self._rows, self._revealed = (), False
        self.query_one(SideBySideView).clear()
        self.query_one("#review-none", Plain).show(_NOT_KEPT)
        self._draw()

    def move(self, steps: int) -> None:
        """Show the record so many after this one; masked or not, as it is."""
        if self._rows:
            self._place = (self._place + steps) % len(self._rows)
            self._draw()

    def scroll_text(self, lines: int) -> None:
        """Scroll the text of a record that is longer than the screen."""
        self.query_one(SideBySideView).scroll_relative(y=lines, animate=False)

    def next_differing(self) -> None:
        """Show the next record that the adapter answered otherwise than wanted."""
        for steps in range(1, len(self._rows) + 1):
            if not self._rows[(self._place + steps) % len(self._rows)].adapter_matches:
                self.move(steps)
                return

    def toggle(self) -> None:
        """Reveal the text, or mask it."""
        self._revealed = not self._revealed
        self._draw()

    def _draw(self) -> None:
        view, place = self.query_one(SideBySideView), self.query_one("#review-place", Plain)
        view.display = place.display = self.has_rows
        self.query_one("#review-none").display = not self.has_rows
        self.screen.refresh_bindings()
        if not self._rows:
            return
        row = self._rows[self._place]
        differ = sum(not each.adapter_matches for each in self._rows)
        masked = "" if self._revealed else " Masked: R reveals."
        place.show(
            f"Record {self._place + 1} of {len(self._rows)} (← →). "
            f"✓ as wanted, ≠ not: {differ} (D: next).{masked}"
        )
        view.show_record(
            Compared(
                prompt=row.prompt,
                reference=row.reference,
                base=row.base,
                adapter=row.adapter,
                base_mark=_mark(row.base_matches, row.base_ended),
                adapter_mark=_mark(row.adapter_matches, row.adapter_ended),
            ),
            revealed=self._revealed,
        )


def _mark(matches: bool, ended: bool) -> str:
    if matches:
        return "✓"
    return "≠" if ended else "≠ …"


class AdvicePane(TabPane):
    """What to try; choosing one goes back to the step where it is changed."""

    def __init__(self) -> None:
        super().__init__("What to try", id="advice")

    def compose(self) -> ComposeResult:
        yield OptionList(id="review-advice")

    def show_advice(self, advice: Sequence[Advice]) -> None:
        """Show the advice, or that there is none."""
        options = self.query_one(OptionList)
        options.clear_options()
        if not advice:
            text = "✓ Nothing stands out in the figures. Read some answers before you rely on them."
            options.add_option(Option(shown(text), disabled=True))
        for each in advice:
            key, step = _STEP_KEYS[each.step], each.step.capitalize()
            text = f"▲ {each.found}\n  {key} → {step}: {each.change}"
            options.add_option(Option(shown(text, multiline=True), id=f"{each.step}:{each.code}"))


class ConfusionPane(TabPane):
    """Which label was wanted, and which one the adapter gave; labels are masked as records are."""

    def __init__(self) -> None:
        super().__init__("Labels", id="confusion")
        self._counts: Mapping[str, Any] = {}
        self._revealed = False

    def compose(self) -> ComposeResult:
        yield DataTable(cursor_type="none", zebra_stripes=True)

    def show_counts(self, counts: Mapping[str, Any]) -> None:
        """Show `{"labels": [...], "counts": [[...]]}`; the last column is what is no label."""
        self._counts, self._revealed = counts, False
        self._draw()

    def toggle(self) -> None:
        """Reveal the labels, or mask them."""
        self._revealed = not self._revealed
        self._draw()

    def forget(self) -> None:
        """Drop the labels."""
        self._counts = {}
        self._draw()

    def _draw(self) -> None:
        table = self.query_one(DataTable)
        if not self._counts:
            table.clear(columns=True)
            return
        names = self._counts["labels"]
        labels = [name if self._revealed else hidden(name) for name in names]
        table.clear(columns=True)
        table.add_columns(
            cell("wanted ↓  given →"), *(cell(label, limit=20) for label in labels), cell("other")
        )
        for label, row in zip(labels, self._counts["counts"], strict=True):
            table.add_row(cell(label, limit=20), *(cell(count(number)) for number in row))


def measured_on(figures: Mapping[str, Any]) -> str:
    """Return on what the figures were measured, in a line."""
    records, held_out = int(figures["records"]), int(figures.get("held_out", 0))
    of = f" of {count(held_out)}" if held_out > records else ""
    return (
        f"{count(records)}{of} held-out records of {figures['dataset']}, "
        f"{count(int(figures['tokens']))} answer tokens; lower is better."
    )


def figures_table(figures: Mapping[str, Any]) -> str:
    """Return both sides' figures below each other."""
    rows = [["model", "loss", "perplexity"]]
    labelled = "accuracy" in figures["adapter"]
    answered = int(figures.get("answers", 0))
    if labelled:
        rows[0] += ["right", "F1"]
    if answered:
        rows[0].append("answers as wanted")
    for side in ("base", "adapter"):
        told = figures[side]
        row = [side, f"{told['loss']:.3f}", choices(told["perplexity"])]
        if labelled:
            row += [f"{told['accuracy']:.1%}", f"{told['f1']:.2f}"]
        if answered:
            row.append(f"{figures.get(f'{side}_matches', 0)} of {answered}")
        rows.append(row)
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    return "\n".join(
        "   ".join(
            text.ljust(width) if place == 0 else text.rjust(width)
            for place, (text, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    )
