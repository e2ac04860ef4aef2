"""The run monitor: what it says of a run, how it steers one, what it does when the run is lost."""

from __future__ import annotations

import re
import shutil
import time

import pytest
from textual.pilot import Pilot

from tests.fixtures.run_stories import make_story, story, tell
from tests.fixtures.runs import make_run, start
from tests.fixtures.screens import LARGE, SMALL, drive, matches, until, words
from workbench.runs.job import JobFolder
from workbench.runs.state import RunState, current_state
from workbench.tui.app import WorkbenchApp
from workbench.tui.modals.questions import ConfirmModal
from workbench.tui.screens.run import RunScreen
from workbench.tui.session import Session
from workbench.tui.widgets.run_events import EventTeller
from workbench.tui.widgets.run_figures import figures, memory_bars, progress_line
from workbench.tui.widgets.run_monitor import RunMonitor
from workbench.tui.widgets.run_words import ending_words, layer_lines, left_out, state_words
from workbench.vault.store import Vault

CLOCK = (re.compile(r"\d\d:\d\d:\d\d"), "12:34:56")


def session(vault: Vault) -> Session:
    return Session(vault.home, vault=vault)


def line_with(app: WorkbenchApp, word: str) -> str:
    return next((line for line in words(app).splitlines() if word in line), "")


def figure(app: WorkbenchApp, label: str) -> str:
    """Return what stands at the right edge of the figure called so."""
    found = re.search(rf"(?m)\s{label} +([\d–].*)$", words(app))
    return found[1] if found else ""


async def open_run(pilot: Pilot[int], app: WorkbenchApp, folder: JobFolder) -> RunMonitor:
    app.go("runs", RunScreen(folder.run, "tuned"))
    await until(pilot, lambda: app.screen.query(RunMonitor))
    monitor = app.screen.query_one(RunMonitor)
    await until(pilot, lambda: monitor.state is not None)
    return monitor


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_a_run_at_work_is_shown_whole(vault: Vault, size: tuple[int, int]) -> None:
    folder = make_story(vault, story())
    name = f"{size[0]}x{size[1]}"

    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        await open_run(pilot, app, folder)
        await until(pilot, lambda: "Step 40: checkpoint sealed" in words(app))
        text = words(app)
        assert "step 40 of 100" in text
        assert "30 s left" in text
        assert figure(app, "loss") == "0.3500"
        assert figure(app, "held-out loss") == "0.5500"
        assert figure(app, "tokens a second") == "3,800"
        assert figure(app, "left out").startswith("17 records")
        assert "4 rows at a time, 2 times a step" in text, "what running out of memory changed"
        await pilot.pause(0.5)
        matches(app, f"run-{name}", CLOCK)
        if size == LARGE:
            assert "Protection of the job" in text
            assert "Memory of the job" in text
            return
        await pilot.press("m")
        await until(pilot, lambda: "Memory of the job" in words(app))
        assert "1.3 GiB" in line_with(app, "in use")
        assert "2 GiB" in line_with(app, "predicted")
        assert "700 MiB" in line_with(app, "main memory")
        matches(app, f"run-memory-{name}", CLOCK)
        await pilot.press("a")
        await until(pilot, lambda: "Protection of the job" in words(app))
        assert "○ not there" in line_with(app, "its own files")
        await pilot.press("l")
        await until(pilot, lambda: "Step 10" in words(app))
        await pilot.press("home")
        await until(pilot, lambda: "12 longer than the context" in " ".join(words(app).split()))
        assert "Locked down: 6 of 7 layers hold." in words(app)

    with folder.held():
        drive(session(vault), steps, size)


def test_new_events_arrive_and_a_late_screen_replays_from_zero(vault: Vault) -> None:
    folder = make_story(vault, story(steps=3))

    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        await open_run(pilot, app, folder)
        await until(pilot, lambda: "step 3 of 100" in words(app))
        tell(folder, story(steps=5)[-1:])
        await until(pilot, lambda: "step 5 of 100" in words(app), 3)
        await pilot.press("escape")
        monitor = await open_run(pilot, app, folder)
        await until(pilot, lambda: "Launched." in "".join(monitor._lines), 3)
        assert monitor.state is not None
        assert len(monitor.state.curve) == 4

    with folder.held():
        drive(session(vault), steps)


def test_pausing_checkpointing_resuming_and_stopping_a_live_run(vault: Vault) -> None:
    path = make_run(vault, steps=4000, step_ms=20)
    start(vault, path)
    folder = JobFolder(path)

    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        await open_run(pilot, app, folder)
        await until(pilot, lambda: "▶ training" in words(app))
        await pilot.press("k")
        await until(pilot, lambda: re.search(r"Checkpoint of step \d+ sealed", words(app)))
        await pilot.press("p")
        await until(pilot, lambda: "Paused after" in words(app))
        assert "the device is free" in words(app)
        assert current_state(path).state == "paused"
        assert not folder.is_alive()
        await until(pilot, lambda: "Resume" in words(app).splitlines()[-1], 3)
        # What `resume` does, with the fake engine in place of the real one.
        folder.control().send("resume")
        start(vault, path)
        await until(pilot, lambda: "▶ training" in words(app))
        await pilot.press("s")
        await until(pilot, lambda: isinstance(app.screen, ConfirmModal))
        await pilot.press("enter")
        await until(pilot, lambda: not isinstance(app.screen, ConfirmModal))
        assert not current_state(path).is_over, "Cancel has the focus"
        await pilot.press("s")
        await until(pilot, lambda: isinstance(app.screen, ConfirmModal))
        await pilot.press("tab", "enter")
        await until(pilot, lambda: "■ stopped" in words(app), 15)
        assert current_state(path).state == "stopped"

    drive(session(vault), steps)


def test_a_crash_says_what_was_kept_and_offers_to_resume(vault: Vault) -> None:
    folder = make_story(vault, story(steps=23))

    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        await open_run(pilot, app, folder)
        await until(pilot, lambda: "✗ crashed" in words(app))
        text = words(app)
        assert "The checkpoint of step 20 was kept" in " ".join(text.split())
        assert "r Resume" in text.splitlines()[-1]
        assert "p Pause" not in text
        await pilot.pause(0.5)
        matches(app, "run-crashed-80x24", CLOCK)
        # What it needs is not in this vault: the refusal is told, and nothing has changed.
        await pilot.press("r")
        await until(pilot, lambda: "That did not work" in words(app))
        await pilot.press("enter")
        await until(pilot, lambda: "✗ crashed" in words(app))

    drive(session(vault), steps)


def test_a_folder_that_goes_away_is_one_clear_line(vault: Vault) -> None:
    folder = make_story(vault, story(steps=3))

    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        await open_run(pilot, app, folder)
        shutil.rmtree(folder.path)
        await until(pilot, lambda: "was removed" in words(app))
        assert "Escape goes back" in words(app)
        await pilot.press("escape")
        assert not app.failure

    drive(session(vault), steps)


def test_many_events_at_once_become_few_repaints(vault: Vault) -> None:
    folder = make_story(vault, story(steps=3))
    shown: list[int] = []

    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        monitor = await open_run(pilot, app, folder)
        show = monitor.show

        def count(state: RunState) -> None:
            shown.append(state.step)
            show(state)

        monitor.show = count  # type: ignore[method-assign]
        events = story(steps=300, of=300)[-297:]
        end = time.monotonic() + 3
        for event in events:
            tell(folder, [event])
            await pilot.pause(0.005)
        await until(pilot, lambda: monitor.state is not None and monitor.state.step == 300)
        assert time.monotonic() > end - 3
        assert len(shown) < len(events) / 3, "events are taken in handfuls"

    with folder.held():
        drive(session(vault), steps)


# Words


def test_states_and_endings_are_plain_sentences() -> None:
    assert state_words(RunState("ru", state="queued", position=2)) == "◌ waiting: 2 jobs before it"
    failed = RunState(
        "ru", state="failed", checkpoint_step=7,
        error={"code": "nan_loss", "error_type": "JobFailed", "place": "training:1"},
    )  # fmt: skip
    assert "stopped being a number" in ending_words(failed)
    assert "The checkpoint of step 7 was kept." in ending_words(failed)
    strange = RunState("ru", state="failed", error={"code": "x", "error_type": "E", "place": "m:1"})
    assert ending_words(strange) == ("The job failed (E at m:1). It had written no checkpoint yet.")
    full = RunState("ru", state="paused", step=9, reason="disk_full")
    assert "The disk was full" in ending_words(full)
    assert "no adapter came of it" in ending_words(RunState("ru", state="stopped"))


def test_what_is_left_out_is_summed_by_reason() -> None:
    counts = {"skipped": {"too_long": 1, "new_reason": 2}, "validation_skipped": {"too_long": 3}}
    assert left_out(counts) == "4 longer than the context, 2 new reason"
    assert left_out({"skipped": "nonsense"}) == ""


def test_events_of_another_shape_do_not_break_the_log() -> None:
    teller = EventTeller()
    assert teller.line({"v": 1, "seq": 1, "t": 0.0, "type": "teleported"}) is None
    odd = teller.line({"v": 1, "seq": 1, "t": 1e300, "type": "evaluated", "step": "x"})
    assert odd is not None
    assert odd.endswith("evaluated.")


def test_layers_of_another_shape_are_shown_as_unknown() -> None:
    assert layer_lines({"seccomp": "yes", "new_layer": {"state": "active"}}) == [
        "? unknown    may open no network socket",
        "● holds      new layer",
    ]


@pytest.mark.parametrize("width", [1, 8, 30, 200])
def test_figures_fit_any_width(width: int) -> None:
    state = RunState(
        "ru", state="running", step=3, steps=7, eta_seconds=9.0, predicted_bytes=1 << 30,
        peak_bytes=3 << 30, memory={"allocated": 2 << 30, "host": "odd"},
    )  # fmt: skip
    assert "step 3 of 7" in progress_line(state, width).plain
    assert len(figures(state, width).plain.splitlines()) == 10
    bars = memory_bars(state, width).plain
    assert "More than predicted." in bars
    assert "main memory" not in bars
