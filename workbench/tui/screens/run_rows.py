"""A run as a row of the list, and in a line or two of its own."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime

from rich.text import Text

from workbench.runs.naming import RunNames
from workbench.runs.state import RunState
from workbench.tui.widgets.plain import cell
from workbench.tui.widgets.run_words import STATES, ending_words, kind_words
from workbench.wording import duration

COLUMNS = (
    ("State", 10), ("Adapter", 20), ("Data", 14), ("Step", 9), ("Loss", 6), ("Held-out", 8),
    ("Time", 12), ("Created", 16), ("Model", 14), ("Run", 19),
)  # fmt: skip
_WIDTHS = dict(COLUMNS)
_NONE = "–"


def row_of(state: RunState, names: RunNames, colours: Mapping[str, str]) -> tuple[Text, ...]:
    """Return the cells of `COLUMNS`; `colours` are the theme's."""
    glyph, word, token = STATES.get(state.state, ("?", state.state, "$foreground"))
    name = names.adapter if state.kind in ("train", "") else f"({kind_words(state.kind)})"
    held_out = state.eval_loss
    if held_out is None and isinstance(told := state.totals.get("eval_loss_last"), float):
        held_out = told
    took = seconds_of(state)
    told_cells = {
        "Adapter": name or _NONE,
        "Data": names.dataset or _NONE,
        "Step": f"{state.step}/{state.steps}" if state.steps else _NONE,
        "Loss": _NONE if state.loss is None else f"{state.loss:.3f}",
        "Held-out": _NONE if held_out is None else f"{held_out:.3f}",
        "Time": _NONE if took is None else duration(took),
        "Created": local_time(state.created) or _NONE,
        "Model": names.model or _NONE,
        "Run": state.run,
    }
    style = colours.get(token.removeprefix("$"), "")
    rest = (cell(text, limit=_WIDTHS[title]) for title, text in told_cells.items())
    return (cell(f"{glyph} {word}", style), *rest)


def detail_of(state: RunState, names: RunNames) -> str:
    """Return what the narrow list cannot show, and how the run ended."""
    took = seconds_of(state)
    parts = (
        state.run,
        f"model {names.model}" if names.model else "",
        f"created {local_time(state.created)}" if local_time(state.created) else "",
        f"took {duration(took)}" if took is not None and state.is_over else "",
    )
    return "  ".join(part for part in parts if part) + f"\n{ending_words(state)}"


def seconds_of(state: RunState) -> float | None:
    """Return how long the run has been under way, or was; None where that is not known."""
    if state.started is None or (state.is_over and state.ended is None):
        return None
    end = state.ended if state.ended is not None else time.time()
    return max(0.0, end - state.started)


def local_time(moment: str) -> str:
    """Return an ISO moment as local date and minute; empty where it is none."""
    try:
        found = datetime.fromisoformat(moment)
    except ValueError:
        return ""
    return (
        (found if found.tzinfo else found.replace(tzinfo=UTC))
        .astimezone()
        .strftime("%Y-%m-%d %H:%M")
    )
