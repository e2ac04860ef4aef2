"""The record as the model sees it, and the histogram of lengths."""

from __future__ import annotations

import asyncio

import pytest
from textual.app import App, ComposeResult
from textual.containers import VerticalScroll

from tests.fixtures.screens import _text_of
from workbench.tui import themes
from workbench.tui.widgets.histogram import Histogram, draw, summary
from workbench.tui.widgets.records import MOST_CHARACTERS, Piece, RecordView, record_content

HOSTILE = "\x1b]0;owned\x07[red]bold[/] \u202eevil\ud800\x9b31m\r"


class Bench(App[None]):
    """Both widgets, themed as in the product."""

    def __init__(self, pieces: list[Piece], lengths: list[int] | None = None) -> None:
        super().__init__()
        self._pieces = pieces
        self._lengths = lengths or []
        for theme in themes.ALL:
            self.register_theme(theme)
        self.theme = themes.DARK.name

    def compose(self) -> ComposeResult:
        yield RecordView()
        yield Histogram(self._lengths, 256)

    def on_mount(self) -> None:
        self.query_one(RecordView).show(self._pieces, "Record 1 of 5")


def test_hidden_text_keeps_its_shape_and_nothing_else() -> None:
    pieces: list[Piece] = [("user:\n\tMy name", False), ("Ann Lee", True)]
    assert record_content(pieces, revealed=False).plain == "•••••\n    •• ••••▸••• •••◂"
    shown = record_content(pieces, revealed=True)
    assert shown.plain == "user:\n    My name▸Ann Lee◂"
    learnt = [shown.plain[s.start : s.end] for s in shown.spans if "underline" in str(s.style)]
    assert learnt == ["Ann Lee"], "what is learnt is underlined, and nothing else is"


def test_without_a_model_nothing_is_said_about_learning() -> None:
    shown = record_content([("just text", None)], revealed=True)
    assert shown.plain == "just text"
    assert not [span for span in shown.spans if span.style]


@pytest.mark.parametrize("revealed", [True, False])
def test_hostile_text_is_harmless_and_long_text_is_cut_where_it_is_long(revealed: bool) -> None:
    pieces: list[Piece] = [(HOSTILE + "x" * 3_000_000, False), ("the answer", True)]
    shown = record_content(pieces, revealed=revealed).plain
    assert not set("\x1b\x07\x9b\r\u202e\ud800") & set(shown)
    assert len(shown) < MOST_CHARACTERS + 200
    assert "more characters" in shown
    assert shown.endswith("▸the answer◂" if revealed else "▸••• ••••••◂")
    many: list[Piece] = [("ab", bool(n % 2)) for n in range(5_000)]
    assert "4,800 more pieces" in record_content(many, revealed=revealed).plain


def test_the_view_hides_until_told_and_scrolls() -> None:
    async def run() -> None:
        app = Bench([("question\n" * 100, False), (f"secret {HOSTILE}", True)], [100] * 9)
        async with app.run_test(size=(80, 24)) as pilot:
            view = app.query_one(RecordView)
            await pilot.pause()
            text = _text_of(app.export_screenshot())
            assert "Record 1 of 5" in text
            assert "question" not in text
            assert "hidden: •" in text
            view.toggle()
            await pilot.pause()
            text = _text_of(app.export_screenshot())
            assert "question" in text
            assert "▸learnt◂" in text
            app.query_one(VerticalScroll).focus()
            await pilot.press("end")
            await pilot.pause(0.5)
            assert "▸secret ␛]0;owned␇[red]bold" in _text_of(app.export_screenshot())
            view.show([("another", None)], "Record 2 of 5")
            await pilot.pause()
            text = _text_of(app.export_screenshot())
            assert "another" in text
            assert "learnt" not in text

    asyncio.run(run())


def test_a_histogram_marks_the_limit_and_says_what_is_beyond() -> None:
    lengths = [10] * 40 + [100] * 20 + [280] * 5
    drawn = draw(lengths, 60, 7, 256)
    assert all(len(line) <= 60 for line in drawn.lines)
    assert drawn.mark is not None
    assert all(line[drawn.mark] == "┊" for line in drawn.lines[:-1])
    assert "limit 256" in drawn.lines[-1]
    assert drawn.lines[0].startswith("40▕")
    # Ten is the tallest bar, a hundred half as tall, and both stand before the mark.
    tall = [sum(line[n] != " " for line in drawn.lines[:-2]) for n in range(drawn.left, drawn.mark)]
    assert sorted(tall)[-2:] == [3, 5]
    assert summary(lengths, 256).endswith("5 longer than 256.")


@pytest.mark.parametrize("lengths", [[0], [1], [7] * 3, [5, 90_000], list(range(3000))])
@pytest.mark.parametrize("limit", [0, 1, 64, 131_072])
@pytest.mark.parametrize("width", [24, 79, 200])
def test_any_lengths_fit_any_width(lengths: list[int], limit: int, width: int) -> None:
    drawn = draw(lengths, width, 5, limit)
    assert len(drawn.lines) == 5
    assert any(set(line) & set("▁▂▃▄▅▆▇█") for line in drawn.lines[:-2])
    assert max(len(line) for line in drawn.lines[:-1]) <= width


def test_one_outlier_does_not_flatten_the_rest() -> None:
    drawn = draw([50 + n % 50 for n in range(1000)] + [90_000], 70, 6, 0)
    assert sum("█" in line for line in drawn.lines) >= 3
    assert "99+" in drawn.lines[-1] or "100+" in drawn.lines[-1]
    filled = [char for char in drawn.lines[3] if char not in " ▕"]
    assert len(filled) > 20
