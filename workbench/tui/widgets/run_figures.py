"""A run's figures as lines of text: progress, numbers, memory bars."""

from __future__ import annotations

from collections.abc import Mapping

from textual.content import Content

from workbench.runs.state import RunState
from workbench.text import printable
from workbench.tui.widgets.plain import shown
from workbench.tui.widgets.run_words import left_out
from workbench.wording import count, duration, size

_NONE = "–"
_LABEL = 15
_MEMORY_LABEL = 12
_MEMORY_VALUE = 9
_WIDEST_BAR = 48
_NEAR = 0.05  # of the prediction: near enough to call it met
_MEMORY = (
    ("allocated", "in use"),
    ("reserved", "reserved"),
    ("peak", "most so far"),
    ("host", "main memory"),
)


def progress_line(state: RunState, width: int) -> Content:
    """Return `step 42 of 140 ████░░ 30 %, 2 min 05 s left`."""
    if not state.steps:
        return shown(_not_counted(state))
    left = f"step {count(state.step)} of {count(state.steps)} "
    share = min(1.0, state.step / state.steps)
    right = f" {100 * share:.0f} %"
    if state.eta_seconds is not None and not state.is_over:
        right += f", {duration(state.eta_seconds)} left"
    room = max(0, width - len(left) - len(right))
    done = int(share * room)
    return Content.assemble(left, ("█" * done, "$primary"), ("░" * (room - done), "$panel"), right)


def _not_counted(state: RunState) -> str:
    return "" if state.is_over else "The number of steps is not known yet."


def figures(state: RunState, width: int) -> Content:
    """Return the run's numbers, one a line: label, value at the right edge."""
    rows = (
        ("loss", _number(state.loss)),
        ("at the start", _number(state.loss_first)),
        ("held-out loss", _number(state.eval_loss)),
        ("learning rate", _rate(state.learning_rate)),
        ("tokens a second", _whole(state.tokens_per_second)),
        ("tokens so far", count(state.tokens) if state.tokens else _NONE),
        ("memory", _bytes(state.memory.get("allocated"))),
        ("predicted", _bytes(state.predicted_bytes)),
        ("checkpoint", _NONE if state.checkpoint_step is None else f"step {state.checkpoint_step}"),
        ("left out", _left_out(state.counts, width)),
    )
    lines = []
    for label, value in rows:
        room = max(1, width - _LABEL - 1)
        lines.append(
            Content.assemble(
                (f"{label:<{_LABEL}} ", "$secondary"), printable(value, limit=room).rjust(room)
            )
        )
    return Content("\n").join(lines)


def memory_bars(state: RunState, width: int) -> Content:
    """Return bars of the memory at the latest step, with the plan's prediction as a line."""
    predicted = state.predicted_bytes or 0
    told = {
        name: value for name, value in state.memory.items() if isinstance(value, int) and value > 0
    }
    lines = [Content.styled("Memory of the job", "bold")]
    if not told:
        lines.append(Content.styled("Told after the first step.", "$secondary"))
    bar = max(4, min(_WIDEST_BAR, width - _MEMORY_LABEL - _MEMORY_VALUE - 1))
    scale = max([predicted, *told.values()], default=1) or 1
    line = min(bar - 1, round(predicted / scale * (bar - 1))) if predicted else -1
    for name, label in _MEMORY:
        if name in told:
            cells = ["█"] * max(1, round(told[name] / scale * bar))
            lines.append(_bar_line(label, cells, bar, line, size(told[name])))
    if predicted and told:
        share = (state.peak_bytes or 0) / predicted
        lines.append(_bar_line("predicted │", [], bar, line, size(predicted)))
        over = share > 1 + _NEAR
        verdict = "More than predicted." if over else "Less than predicted."
        if abs(share - 1) <= _NEAR:
            verdict = "About what was predicted."
        lines.append(Content.styled(verdict, "$warning" if over else "$secondary"))
    return Content("\n").join(lines)


def _bar_line(label: str, cells: list[str], width: int, line: int, value: str) -> Content:
    full, empty = "".join(cells), "░" * (width - len(cells))
    bar = [(full, "$primary"), (empty, "$panel")]
    if 0 <= line < width:
        before, after = (full + empty)[:line], (full + empty)[line + 1 :]
        cut = max(0, len(full) - line - 1)
        bar = [
            (before[: len(full)], "$primary"),
            (before[len(full) :], "$panel"),
            ("│", "bold $warning"),
            (after[:cut], "$primary"),
            (after[cut:], "$panel"),
        ]
    return Content.assemble(
        (f"{label:<{_MEMORY_LABEL}}", "$secondary"),
        *bar,
        value.rjust(_MEMORY_VALUE + 1),
    )


def _left_out(counts: Mapping[str, object], width: int) -> str:
    if "skipped" not in counts:
        return _NONE
    told = left_out(counts)
    room = max(1, width - _LABEL - 1)
    if not told:
        return "nothing"
    total = sum(
        number
        for part in ("skipped", "validation_skipped")
        if isinstance(parts := counts.get(part), Mapping)
        for number in parts.values()
        if isinstance(number, int)
    )
    return told if len(told) <= room else count(total, "record")


def _number(value: float | None) -> str:
    return _NONE if value is None else f"{value:.4f}"


def _rate(value: float | None) -> str:
    return _NONE if value is None else f"{value:.3g}"


def _whole(value: float | None) -> str:
    return _NONE if value is None else f"{value:,.0f}"


def _bytes(value: object) -> str:
    return size(value) if isinstance(value, int) and value > 0 else _NONE
