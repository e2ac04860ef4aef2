"""The Fit step's widgets, and the words it uses."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from textual.app import App, ComposeResult
from textual.pilot import Pilot
from textual.widget import Widget

from tests.fixtures.fitting import LLAMA_8B, WITH_GPU
from workbench.planning.lengths import LengthSample
from workbench.recipe import FIELDS, parse
from workbench.tui.modals.expert import spelled
from workbench.tui.screens.wizard import fit_words, outlook
from workbench.tui.screens.wizard.outlook import Ground
from workbench.tui.widgets.figures import Figures
from workbench.tui.widgets.legend import Entry, Legend
from workbench.tui.widgets.memory_bars import (
    PARTS,
    Bar,
    MemoryBars,
    cells,
    drawn,
    line_column,
    reach,
)
from workbench.tui.widgets.sentences import fitted
from workbench.tui.widgets.slider import Slider, Stop, WordSlider

HOSTILE = "[red]x[/] \x1b[31m\u202e\ud800"
AMOUNTS = st.lists(st.integers(0, 1 << 40), min_size=8, max_size=8)


class Host(App[None]):
    """Shows one widget and notes what it posts."""

    def __init__(self, widget: Widget) -> None:
        super().__init__()
        self.widget = widget
        self.told: list[object] = []

    def compose(self) -> ComposeResult:
        yield self.widget

    def on_slider_changed(self, event: Slider.Changed) -> None:
        self.told.append(event.value)

    def on_legend_opened(self, event: Legend.Opened) -> None:
        self.told.append(event.term)

    def on_memory_bars_pressed(self, event: MemoryBars.Pressed) -> None:
        self.told.append(event.key)


def shown(widget: Widget, steps: Callable[[Pilot[None], Host], Awaitable[None]]) -> list[object]:
    app = Host(widget)

    async def run() -> None:
        async with app.run_test(size=(80, 24)) as pilot:
            await steps(pilot, app)
            await pilot.pause()

    asyncio.run(run())
    return app.told


@given(AMOUNTS, st.integers(1, 1 << 40), st.integers(10, 100))
def test_a_bar_is_as_long_as_its_total(amounts: list[int], end: int, width: int) -> None:
    found = cells(amounts, end, width)
    assert all(count >= 0 for count in found)
    assert sum(found) == min(width, round(sum(amounts) / end * width))


@given(AMOUNTS, st.integers(1 << 20, 1 << 40), st.integers(10, 100))
def test_a_bar_that_passes_the_line_shows_it(amounts: list[int], limit: int, width: int) -> None:
    end = reach([sum(amounts)], limit)
    text = drawn(amounts, limit, end, width).plain
    assert len(text) == width
    column = line_column(limit, end, width)
    if sum(amounts) > limit:
        assert column is not None
        assert text[column] == "┃"
    assert ("▶" in text) == (sum(amounts) > end)


def test_parts_can_be_told_apart_without_colour() -> None:
    assert len({part.glyph for part in PARTS}) == len(PARTS) == 8


def test_bars_say_hostile_names_as_they_are() -> None:
    bars = MemoryBars()

    async def steps(pilot: Pilot[None], app: Host) -> None:
        bars.bars = (
            Bar("one", HOSTILE, (1,) * 8, HOSTILE, HOSTILE, fits=True, chosen=True),
            Bar("two", "two", (9,) * 8, "72 B", "too much", fits=False, chosen=False),
        )
        bars.limit, bars.line = 20, HOSTILE
        await pilot.pause()
        text = bars.render().plain
        assert "\x1b" not in text
        assert "[red]" in text
        await pilot.click(MemoryBars, offset=(2, 2))

    assert shown(bars, steps) == ["two"]


def test_a_slider_moves_by_keys_and_mouse_and_tells_only_then() -> None:
    slider = Slider("rank", "Rank", [Stop(n, str(n)) for n in (8, 16, 32)], value=16)

    async def steps(pilot: Pilot[None], app: Host) -> None:
        slider.focus()
        slider.put(8)
        await pilot.press("left", "right", "end", "right", "home")
        await pilot.click(slider, offset=(13 + slider._track - 1, 0))
        await pilot.mouse_down(slider, offset=(13 + slider._track - 1, 0))
        await pilot.hover(slider, offset=(13, 0))
        await pilot.mouse_up(slider, offset=(13, 0))
        slider.said, slider.note = HOSTILE, HOSTILE
        assert "\x1b" not in slider.render().plain

    assert shown(slider, steps) == [16, 32, 8, 32, 8]


def test_a_value_that_is_no_stop_changes_nothing() -> None:
    slider = Slider("rank", "Rank", [Stop(8, "8"), Stop(16, "16")], value=16)
    slider.put(5)
    assert slider.value == 16
    slider.put(5, [Stop(1, "1"), Stop(2, "2")])
    assert slider.value == 1


def test_words_are_chosen_with_the_mouse() -> None:
    choice = WordSlider("m", "Method", [Stop(w, w) for w in ("auto", "lora", "full")], value="auto")

    async def steps(pilot: Pilot[None], app: Host) -> None:
        await pilot.click(choice, offset=(13 + 9, 0))
        await pilot.press("right")

    assert shown(choice, steps)[0] == "lora"


def test_the_legend_opens_what_is_marked_or_clicked() -> None:
    legend = Legend()

    async def steps(pilot: Pilot[None], app: Host) -> None:
        legend.entries = tuple(Entry(f"t{n}", "x", "", HOSTILE, "1 B") for n in range(9))
        legend.focus()
        await pilot.press("right", "down", "enter", "left", "up", "enter")
        await pilot.click(legend, offset=(legend.size.width // 3 * 2 + 1, 2))
        assert "\x1b" not in legend.render().plain

    assert shown(legend, steps) == ["t4", "t0", "t8"]


def test_figures_are_cut_and_harmless() -> None:
    figures = Figures(column=39)

    async def steps(pilot: Pilot[None], app: Host) -> None:
        figures.show([("name", HOSTILE * 20), ("other", "figure")])
        await pilot.pause()
        text = figures.render().plain
        assert len(text) <= 80
        assert "\x1b" not in text

    shown(figures, steps)


@pytest.mark.parametrize("rows", [1, 2, 3, 10])
def test_sentences_fill_their_room_and_no_more(rows: int) -> None:
    sentences = ["One two three four five.", "Six seven eight.", "Nine ten eleven twelve."]
    lines = fitted(sentences, 20, rows, "… (more)")
    assert len(lines) <= rows
    assert all(len(line) <= 20 for line in lines)
    assert ("… (more)" in " ".join(lines)) == (rows < 10)
    assert lines[0].startswith("One")


def test_contexts_reach_what_the_data_fills_and_the_model_reads() -> None:
    ground = Ground("m", "d", LLAMA_8B, WITH_GPU, {})
    assert outlook.contexts(ground, {})[-1] == 131072
    short = Ground("m", "d", LLAMA_8B, WITH_GPU, {}, LengthSample(3, (50, 60, 700), 700))
    assert outlook.contexts(short, {})[-1] == 1536
    assert 1000 in outlook.contexts(short, {"context": 1000})
    assert outlook.ranks({"rank": 17}).count(17) == 1
    assert outlook.rows({"micro_batch": "auto"})[0] == 1


def test_settings_hold_only_what_differs() -> None:
    changed = outlook.with_value({}, "rank", 32)
    assert changed == {"rank": 32}
    assert outlook.with_value(changed, "rank", 16) == {}
    assert outlook.told(parse({"rank": 16, "targets": ["q_proj"]})) == {"targets": ["q_proj"]}


def test_a_tie_with_no_time_says_why() -> None:
    ground = Ground("m", "d", LLAMA_8B, WITH_GPU, {}, LengthSample(3, (50, 60, 700), 700))
    assert fit_words.time_taken(outlook.look(ground, {})).startswith("about")
    assert "card" in fit_words.time_taken(outlook.look(ground, {}, 24 << 30))
    assert "measured" in fit_words.time_taken(
        outlook.look(Ground("m", "d", LLAMA_8B, WITH_GPU, {}), {})
    )


@pytest.mark.parametrize(
    ("key", "value"),
    [("rank", 32), ("learning_rate", 1e-05), ("targets", ["q_proj", "v_proj"]), ("dora", True),
     ("memory_limit", 20 << 30), ("memory_limit", 123_456_789), ("context", "auto")],
)  # fmt: skip
def test_what_is_spelled_is_read_again(key: str, value: object) -> None:
    text = spelled(FIELDS[key], value)
    assert parse({}, [f"{key}={text}"]) == parse({key: value})
