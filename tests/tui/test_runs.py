"""The list of runs: what it says, what it can do, and what it withstands."""

from __future__ import annotations

import re
import shutil
import time

import pytest
from textual.pilot import Pilot
from textual.widgets import DataTable, Input

from tests.fixtures.run_stories import make_story, story, tell
from tests.fixtures.runs import make_run, start
from tests.fixtures.screens import LARGE, SMALL, drive, matches, until, words
from workbench.runs.index import RunIndex
from workbench.runs.job import JobFolder
from workbench.runs.listing import list_runs
from workbench.runs.state import current_state
from workbench.tui.app import WorkbenchApp
from workbench.tui.modals.questions import ConfirmModal
from workbench.tui.screens.run import RunScreen
from workbench.tui.screens.runs import RunsScreen
from workbench.tui.session import Session
from workbench.vault.store import Vault

FINISHED = ("finished", {"step": 100, "loss_first": 6.2, "loss_last": 0.26,
                         "eval_loss_last": 0.46, "tokens": 190_000})  # fmt: skip


def session(vault: Vault) -> Session:
    return Session(vault.home, vault=vault)


def line_with(app: WorkbenchApp, word: str) -> str:
    return next((line for line in words(app).splitlines() if word in line), "")


def every_kind(vault: Vault) -> dict[str, JobFolder]:
    """Leave runs in several states behind, the newest first; none of them works."""
    day = "2026-01-31T1{}:00:00Z"
    return {
        "crashed": make_story(vault, story(23), adapter="second try", created=day.format(3)),
        "paused": make_story(
            vault, [*story(30), ("paused", {"step": 30})], adapter="night", created=day.format(2)
        ),
        "failed": make_story(
            vault,
            [*story(7), ("failed", {"error_type": "JobFailed", "place": "training:1",
                                    "code": "nan_loss"})],
            adapter="too fast", created=day.format(1),
        ),
        "finished": make_story(
            vault, [*story(100), FINISHED], adapter="first try", created=day.format(0)
        ),
    }  # fmt: skip


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_runs_are_listed_newest_first_with_names_and_figures(
    vault: Vault, size: tuple[int, int]
) -> None:
    runs = every_kind(vault)

    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        app.go("runs")
        await until(pilot, lambda: "first try" in words(app))
        text = words(app)
        order = [text.index(name) for name in ("second try", "night", "too fast", "first try")]
        assert order == sorted(order)
        assert "✗ crashed" in line_with(app, "second try")
        assert "23/100" in line_with(app, "second try")
        assert "‖ paused" in line_with(app, "night")
        assert "0.400" in line_with(app, "night"), "its loss"
        assert "0.600" in line_with(app, "night"), "its held-out loss"
        assert "0.460" in line_with(app, "first try")
        assert "notes" in line_with(app, "first try")
        assert runs["crashed"].run in text
        assert "The checkpoint of step 20 was kept" in " ".join(text.split())
        matches(app, f"runs-{size[0]}x{size[1]}")
        await pilot.press("f", "f")
        await until(pilot, lambda: "first try" not in words(app))
        assert "second try" in words(app)
        await pilot.press("f")
        await until(pilot, lambda: "second try" not in words(app))
        assert "first try" in words(app)
        await pilot.press("f", "f")
        await until(pilot, lambda: "No run is like that" in words(app))

    drive(session(vault), steps, size)


def test_no_runs_yet_names_the_next_step(vault: Vault) -> None:
    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        app.go("runs")
        await until(pilot, lambda: "No runs yet." in words(app))
        assert "press F2, then n" in words(app)
        assert "Remove" not in words(app)
        matches(app, "runs-empty-80x24")

    drive(session(vault), steps)


def test_the_list_follows_and_steers_runs_of_other_front_doors(vault: Vault) -> None:
    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        app.go("runs")
        await until(pilot, lambda: "No runs yet." in words(app))
        path = make_run(vault, steps=5000, step_ms=20)  # by whoever else has the vault
        start(vault, path)
        await until(pilot, lambda: "▶ running" in line_with(app, "/5000"))
        assert app.live, "the top line tells it too"
        await pilot.press("p")
        await until(pilot, lambda: "‖ paused" in words(app))
        assert current_state(path).state == "paused"
        assert not app.live
        # Somebody resumes it: it is watched again.
        JobFolder(path).control().send("resume")
        start(vault, path)
        await until(pilot, lambda: "▶ running" in line_with(app, "/5000"))
        assert app.live
        await pilot.press("s")
        await until(pilot, lambda: isinstance(app.screen, ConfirmModal))
        await pilot.press("tab", "enter")
        await until(pilot, lambda: "■ stopped" in words(app), 15)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, RunScreen))
        await until(pilot, lambda: "■ stopped" in words(app))
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, RunsScreen))

    drive(session(vault), steps)


def test_a_home_that_is_taken_away_is_not_a_home_without_runs(vault: Vault) -> None:
    make_story(vault, [*story(3), FINISHED], adapter="kept")
    away = vault.home.with_name("away")

    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        app.go("runs")
        await until(pilot, lambda: "kept" in words(app))
        vault.home.rename(away)
        await until(pilot, lambda: "The vault is gone" in words(app))
        assert "No runs yet" not in words(app)
        away.rename(vault.home)
        await until(pilot, lambda: "kept" in words(app))

    drive(session(vault), steps)


def test_removing_asks_for_the_name(vault: Vault) -> None:
    runs = every_kind(vault)

    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        app.go("runs")
        await until(pilot, lambda: "first try" in words(app))
        await pilot.press("ctrl+end", "d")
        await until(pilot, lambda: isinstance(app.screen, ConfirmModal))
        assert "Type its name to go on: first try" in words(app)
        field = app.screen.query_one("#typed", Input)
        field.focus()
        field.value = "first try"
        await pilot.pause()
        await pilot.press("tab", "tab", "enter")
        await until(pilot, lambda: not runs["finished"].path.exists())
        await until(pilot, lambda: "first try" not in words(app))
        assert runs["finished"].run not in vault.key_ids(), "its key is shredded"

    drive(session(vault), steps)


def test_a_damaged_and_a_vanished_run_are_lines_and_no_crash(vault: Vault) -> None:
    runs = every_kind(vault)
    runs["failed"].spec_file.write_text('{"version": 1, "run": "\\u001b[2J[bold]"}')

    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        app.go("runs")
        await until(pilot, lambda: "✗ damaged" in words(app))
        assert "first try" in words(app)
        await pilot.press("ctrl+end")
        await until(pilot, lambda: "description cannot be read" in words(app))
        assert "Watch" not in words(app)
        shutil.rmtree(runs["crashed"].path)
        await until(pilot, lambda: "second try" not in words(app))
        await pilot.press("ctrl+home")
        await until(pilot, lambda: runs["paused"].run in words(app))
        # Removed at the moment in which it is opened.
        shutil.rmtree(runs["paused"].path)
        await pilot.press("enter")
        await until(pilot, lambda: "run" in words(app) and isinstance(app.screen, RunScreen))
        await until(pilot, lambda: "Escape goes back" in words(app))
        await pilot.press("escape")
        await until(pilot, lambda: "night" not in words(app))
        assert not app.failure

    drive(session(vault), steps)


def test_hostile_names_stay_text(vault: Vault) -> None:
    make_story(vault, story(3), adapter="[bold]\x1b]0;x\x07 \u202ename")

    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        app.go("runs")
        await until(pilot, lambda: "[bold]" in words(app))
        assert "\x1b" not in app.export_screenshot()
        await pilot.press("enter")
        await until(pilot, lambda: "Run › [bold]" in words(app))

    drive(session(vault), steps)


def test_a_thousand_old_runs_stay_quick(vault: Vault) -> None:
    failed = ("failed", {"error_type": "JobFailed", "place": "training:1", "code": "nan_loss"})
    first = make_story(vault, [*story(100), failed])
    spec = first.spec_file.read_text("ascii")
    for number in range(1000):
        path = first.path.with_name(f"ru-{number:016x}")
        path.mkdir()
        (path / "spec.json").write_text(spec.replace(first.run, path.name))
        shutil.copyfile(first.events_file, path / "events.jsonl")
    index = RunIndex(vault.home)
    assert len(index.refresh()) == 1001
    began = time.thread_time()
    again = index.refresh()
    assert time.thread_time() - began < 0.1
    assert all(new is old for new, old in zip(index.refresh(), again, strict=True))

    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        app.go("runs")
        await until(pilot, lambda: "All 1,001" in words(app), 20)
        table = app.screen.query_one(DataTable)
        began = time.monotonic()
        await pilot.press("ctrl+end")
        await until(pilot, lambda: table.cursor_row == 1000)
        assert time.monotonic() - began < 2

    drive(session(vault), steps)


# The index, against the reader that reads everything


def test_the_index_agrees_with_reading_every_event(vault: Vault) -> None:
    runs = every_kind(vault)
    full = {state.run: state for state in list_runs(vault.home)}
    glanced = {state.run: state for state in RunIndex(vault.home).refresh()}
    assert full.keys() == glanced.keys() == {folder.run for folder in runs.values()}
    same = ("state", "step", "steps", "loss", "loss_first", "loss_last", "started", "ended",
            "created", "objects", "totals", "error", "tokens", "reason")  # fmt: skip
    for run, state in full.items():
        for name in same:
            assert getattr(glanced[run], name) == getattr(state, name), name


def test_the_index_sees_changes_endings_and_a_freed_lock(vault: Vault) -> None:
    folder = make_story(vault, story(3))
    index = RunIndex(vault.home)
    with folder.held():
        assert index.refresh()[0].state == "running"
        tell(folder, story(4)[-1:])
        assert index.refresh()[0].step == 4
    assert index.refresh()[0].state == "crashed"
    tell(folder, [("launched", {})])
    with folder.held():
        assert index.refresh()[0].state == "starting"
    tell(folder, [("paused", {"step": 4})])
    assert index.refresh()[0].state == "paused"
    folder.events_file.write_text('{"v": 99, "seq": 1, "t": 1.0, "type": "step"}\n')
    found = index.refresh()[0]
    assert (found.state, found.reason) == ("damaged", "newer_format")
    shutil.rmtree(folder.path)
    assert index.refresh() == ()


def test_rows_name_a_run_by_its_own_account(vault: Vault) -> None:
    from workbench.runs.naming import RunNames, name_runs

    make_story(vault, story(3), adapter="tuned")
    states = list_runs(vault.home)
    names = name_runs(vault, states)
    assert names[states[0].run] == RunNames("tuned", "notes", "tiny")
    vault.shred(states[0].run)
    assert name_runs(vault, states)[states[0].run] == RunNames()
    assert re.fullmatch(r"ru-[0-9a-f]{16}", states[0].run)
