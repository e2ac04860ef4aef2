"""Looking into datasets: pages of records, one in full, hidden until revealed."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from tests.fixtures.screens import until, words
from tests.tui.test_datasets import asked, brought, holds, look_into, on_datasets
from workbench.datasets.importing import import_files
from workbench.tui.app import WorkbenchApp
from workbench.tui.screens.records import RecordScreen, RecordsScreen
from workbench.tui.widgets.paged_table import MARGIN
from workbench.tui.widgets.turns import Turns
from workbench.vault.store import Vault


def test_five_thousand_records_are_paged(vault: Vault) -> None:
    brought(vault, "letters", [asked(number) for number in range(5000)], splits={})

    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        table = await look_into(pilot, app)
        assert "Question" not in words(app)
        assert "••••••••" in words(app)
        await pilot.press("r")
        await pilot.pause()
        assert "Question 0 " in words(app)
        await pilot.press("g")
        await pilot.press(*"9999", "enter")
        await pilot.pause()
        assert "from 1 to 5,000" in words(app)
        app.screen.query_one("#number", Input).value = "4,321"
        await pilot.press("enter")
        await until(pilot, lambda: "Question 4320 " in words(app))
        assert not holds(table, 0)
        assert len(table._window._rows) <= 2 * MARGIN + table.size.height
        await pilot.press("end")
        await until(pilot, lambda: "Question 4999 " in words(app))
        await pilot.press("home")
        await until(pilot, lambda: "Question 0 " in words(app))
        await pilot.press("escape")
        await look_into(pilot, app)
        assert "Question" not in words(app), "what was revealed is not remembered"

    on_datasets(vault, steps)


def test_only_the_rows_in_sight_are_asked_for(
    vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    brought(vault, "letters", [asked(number) for number in range(5000)], splits={})
    from workbench.datasets import collection

    calls: list[tuple[int, int]] = []

    def page(vault: Vault, name: str, first: int, number: int, *rest: Any, **more: Any) -> Any:
        calls.append((first, number))
        return collection.page(vault, name, first, number, *rest, **more)

    monkeypatch.setattr("workbench.tui.screens.records.page", page)

    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        table = await look_into(pilot, app)
        assert calls == [(0, 20 + MARGIN)] or calls[0][1] <= 25 + MARGIN
        for _ in range(3):
            await pilot.press("down")
        assert len(calls) == 1, "a key press within what is held asks for nothing"
        # A storm of jumps asks for what is in sight when an answer comes, not for every place.
        for row in range(200, 4900, 100):
            table.move_cursor(row=row)
        await until(pilot, lambda: holds(table, 4800) and not table._awaited)
        assert len(calls) < 12

    on_datasets(vault, steps)


def test_splits_and_an_empty_one(vault: Vault) -> None:
    lines = [asked(number) for number in range(40)]
    brought(vault, "letters", lines, splits={"test": 1.0, "validation": 0.0})

    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        table = await look_into(pilot, app)
        assert "▸test 40" in words(app)
        assert table.row_count == 40
        await pilot.press("s")
        await pilot.pause()
        while "▸train 0" not in words(app):
            await pilot.press("s")
        assert "no records in this split" in words(app)
        await pilot.press("g")
        assert isinstance(app.screen, RecordsScreen)

    on_datasets(vault, steps)


def test_a_record_is_opened_in_full_and_turned(vault: Vault) -> None:
    long = "word " * 2000
    lines = [asked(number, more=f" {long}end{number}") for number in range(5)]
    brought(vault, "letters", lines, splits={})

    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        await look_into(pilot, app)
        await pilot.press("r", "down", "enter")
        await until(pilot, lambda: isinstance(app.screen, RecordScreen) and "Asked" in words(app))
        assert "Row 2 of 5, record 1 of the import" in words(app)
        assert "Question" not in words(app), "each screen hides until it is asked"
        await pilot.press("r")
        await until(pilot, lambda: "Question 1" in words(app))
        await pilot.press("end")
        await until(pilot, lambda: "end1" in words(app) and "Answer 1" in words(app))
        await pilot.press("right")
        await until(pilot, lambda: "Row 3 of 5" in words(app))
        await pilot.press("left", "left")
        await until(pilot, lambda: "Row 1 of 5" in words(app))
        await pilot.press("left")
        assert "Row 1 of 5" in words(app)

    on_datasets(vault, steps)


def test_locking_forgets_what_was_revealed(vault: Vault) -> None:
    brought(vault, "letters", [asked(number) for number in range(30)], splits={})

    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        table = await look_into(pilot, app)
        await pilot.press("r", "enter")
        await until(pilot, lambda: isinstance(app.screen, RecordScreen) and "Asked" in words(app))
        turns = app.screen.query_one(Turns)
        await pilot.press("r", "ctrl+l")
        await until(pilot, lambda: not app.session.is_open and not turns.children)
        assert not table._window._rows
        assert not table.revealed
        assert not turns.revealed

    on_datasets(vault, steps)


def test_rows_that_were_on_their_way_when_it_was_locked_come_after_the_door(
    vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    brought(vault, "letters", [asked(number) for number in range(5000)], splits={})
    from workbench.datasets import collection

    go_on = threading.Event()

    def page(*told: Any, **more: Any) -> Any:
        found = collection.page(*told, **more)
        go_on.wait(10)
        return found

    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        table = await look_into(pilot, app)
        monkeypatch.setattr("workbench.tui.screens.records.page", page)
        table.move_cursor(row=4000)
        await until(pilot, lambda: table._awaited)
        vault = app.session.vault
        await pilot.press("ctrl+l")
        await until(pilot, lambda: not app.session.is_open)
        go_on.set()
        await pilot.pause(0.2)
        assert not table._window._rows, "what comes after the lock is not taken in"
        app.session._vault = vault
        app.enter()
        await until(pilot, lambda: holds(table, 4000))

    on_datasets(vault, steps)


@pytest.mark.slow
def test_a_million_records_scroll_as_smoothly_as_ten(vault: Vault) -> None:
    path = vault.home.parent / "million.csv"
    with path.open("w") as out:
        out.write("prompt,completion\n")
        out.writelines(
            f"Question {number} of the ward,Answer {number}\n" for number in range(10**6)
        )
    import_files(vault, [path], "million", splits={}, dedupe="off")
    path.unlink()

    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        table = await look_into(pilot, app)
        await pilot.press("r")
        table.move_cursor(row=400_000)
        await until(pilot, lambda: "Question 400000 " in words(app))
        before = resident()
        began = time.monotonic()
        table.move_cursor(row=900_000)
        while "Question 900000 " not in words(app):
            await pilot.pause(0.01)
        assert time.monotonic() - began < 1.0
        for row in range(0, 10**6, 25_000):
            table.move_cursor(row=row)
            await until(pilot, lambda row=row: holds(table, row) and not table._awaited)  # type: ignore[misc]
        assert resident() - before < 64 << 20

    on_datasets(vault, steps)


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096
