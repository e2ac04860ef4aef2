"""Home: what is here, what runs, and the one thing to do next."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Button

from tests.fixtures.runs import make_run, start
from tests.fixtures.screens import drive, until, words
from tests.fixtures.staged_home import staged_session
from tests.fixtures.vaults import make_original, reopened
from workbench.airgap.lockdown import LAYERS, Layer, Protection
from workbench.runs.drafts import Draft, keep_draft
from workbench.runs.state import RunState
from workbench.tui.app import WorkbenchApp
from workbench.tui.modals.air_gap import AirGapModal
from workbench.tui.modals.base import ClosesOnce
from workbench.tui.modals.expert import ExpertModal
from workbench.tui.modals.page import HelpModal
from workbench.tui.modals.pickers import FolderModal
from workbench.tui.overview import Overview, next_step, progress_line, run_counts
from workbench.tui.palette import Palette
from workbench.tui.screens.home import HomeScreen
from workbench.tui.session import Session, Tour
from workbench.tui.widgets.plain import Plain


@pytest.fixture
def session() -> Iterator[Session]:
    staged = staged_session()
    yield staged
    shutil.rmtree(staged.home.parent)


def test_home_tells_what_is_here_and_goes_on_with_the_draft(session: Session) -> None:
    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        await until(pilot, lambda: "letters, triage" in words(app))
        told = words(app)
        assert "Datasets     2" in told
        assert "1 paused, 2 finished" in told
        assert "triage-v2, triage-v1" in told
        assert "Go on with step 3, Fit" in told
        assert "starter on triage" in told
        button = app.focused
        assert isinstance(button, Button)
        assert str(button.label) == "Go on with Fit"

    drive(session, steps)


def test_an_empty_vault_begins_with_data_and_the_tour_says_so(tmp_path: Path) -> None:
    original = make_original(tmp_path / "home")
    tour = Tour((), "d", "m", tmp_path, "a", tmp_path, kept=True)
    session = Session(original.home, vault=reopened(original.home, original), tour=tour)

    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        await until(pilot, lambda: "Begin: bring in your data" in words(app))
        assert "none yet: step 1 of New fine-tuning" in words(app)
        assert "Tour: press Enter: Begin." in words(app)
        assert "Nothing runs." in words(app)

    drive(session, steps)


def test_what_changes_meanwhile_is_shown(session: Session) -> None:
    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        await until(pilot, lambda: "Go on with step 3" in words(app))
        keep_draft(session.vault, Draft(step="review"))
        await pilot.press("f1", "escape")
        await until(pilot, lambda: "Go on with step 5, Review" in words(app))
        run = make_run(session.vault, steps=400, step_ms=50)
        start(session.vault, run)
        await until(pilot, lambda: "of 400" in words(app))
        assert "▶" in words(app).splitlines()[0], "the top line tells of it too"
        await until(pilot, lambda: "1 at work" in words(app))
        from workbench.runs.steering import stop

        stop(session.home, run.name, grace_seconds=2, term_seconds=2)
        await until(pilot, lambda: "Nothing runs." in words(app))

    drive(session, steps)


def test_f1_in_a_dialog_explains_the_screen_below_and_comes_back(session: Session) -> None:
    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        await pilot.press("g")
        dialogs = [AirGapModal, FolderModal, ExpertModal]
        titles = ["Home", "Home", "Every setting"]
        others = [None, FolderModal(session.home), ExpertModal({}, lambda _: None)]
        for kind, title, other in zip(dialogs, titles, others, strict=True):
            if other is not None:
                app.push_screen(other)
            await until(pilot, lambda kind=kind: isinstance(app.screen, kind))  # type: ignore[misc]
            dialog = app.screen
            await pilot.press("f1")
            await until(pilot, lambda: isinstance(app.screen, HelpModal))
            assert title in str(app.screen.query_one(".dialog-title", Plain).visual)
            await pilot.press("escape")
            assert app.screen is dialog
            await pilot.press("escape")

    drive(session, steps)


def test_the_air_gap_is_explained_layer_by_layer(session: Session) -> None:
    layers = dict.fromkeys(LAYERS, Layer("active"))
    layers["network_namespace"] = Layer("refused", "EPERM")
    layers["landlock"] = Layer("unavailable", "not-asked-for")

    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        assert "● air gap holds" in words(app).splitlines()[0]
        app.protection = Protection(layers)
        await pilot.press("g")
        await pilot.pause()
        told = words(app)
        assert "✗ Network of its own  refused: forbidden by kernel or container" in told
        await pilot.press("end")
        await until(pilot, lambda: "● Self-test  active" in words(app))
        await pilot.press("escape")
        assert isinstance(app.screen, HomeScreen)

    drive(session, steps)


RUN = RunState("ru-1", kind="train", objects={"model": "mo-1", "dataset": "ds-1"})
NAMED = {"mo-1": "starter", "ds-1": "notes"}


@pytest.mark.parametrize(
    ("seen", "says", "place"),
    [
        (Overview(), "Begin: bring in your data.", "wizard"),
        (Overview({"dataset": ("notes",)}), "Fine-tune a model on notes.", "wizard"),
        (
            Overview({"dataset": ("notes",), "adapter": ("mine",)}),
            "Try mine: talk to it beside its base model.",
            "playground",
        ),
        (
            Overview(by_id=NAMED, runs=(RunState(**{**vars(RUN), "state": "running"}),)),
            "Training runs: starter on notes.",
            "runs",
        ),
        (
            Overview(by_id=NAMED, runs=(RunState(**{**vars(RUN), "state": "crashed"}),)),
            "A run ended before it was done: starter on notes.",
            "runs",
        ),
        (
            Overview(
                by_id=NAMED,
                runs=(RunState(**{**vars(RUN), "state": "finished"}),),
                draft=Draft(step="train", run="ru-1"),
            ),
            "Training has finished: see what it learned.",
            "wizard",
        ),
        (
            Overview(
                by_id=NAMED,
                runs=(RunState(**{**vars(RUN), "state": "running"}),),
                draft=Draft(step="train", run="ru-1"),
            ),
            "Training runs: starter on notes.",
            "wizard",
        ),
        (Overview(draft=Draft(step="model")), "Go on with step 2, Model.", "wizard"),
    ],
)
def test_the_next_step_is_one(seen: Overview, says: str, place: str) -> None:
    step = next_step(seen)
    assert (step.says, step.place) == (says, place)
    assert step.button


def test_progress_is_told_with_what_is_known() -> None:
    whole = RunState("ru-1", state="running", step=30, steps=120, loss=0.5123, eta_seconds=90.0)
    line = progress_line(whole)
    assert "25 %" in line
    assert "step 30 of 120" in line
    assert "loss 0.512" in line
    assert "1 min 30 s left" in line
    assert progress_line(RunState("ru-1", state="queued", position=2)).endswith("2 jobs before it")
    assert "loading" in progress_line(RunState("ru-1", state="running", phase="loading"))
    assert run_counts((whole, RunState("ru-2", state="finished"))) == "1 at work, 1 finished"


@pytest.mark.parametrize("key", ["f1", "f2", "ctrl+p"])
def test_a_dialog_that_is_told_twice_to_close_closes_itself_alone(
    session: Session, key: str
) -> None:
    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        await pilot.press(key)
        dialog = app.screen
        assert isinstance(dialog, ClosesOnce)
        # Keys that were typed ahead are heard by the dialog when it is closed already.
        dialog.dismiss(None)
        dialog.dismiss(None)
        await pilot.pause()
        assert isinstance(app.screen, HomeScreen)

    drive(session, steps)


def test_a_result_closes_what_is_open_over_its_dialog(session: Session) -> None:
    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        await pilot.press("f2")
        places = app.screen
        assert isinstance(places, ClosesOnce)
        app.push_screen(HelpModal("Over it", "A page."))
        assert app.screen is not places
        places.dismiss(None)
        await pilot.pause()
        assert isinstance(app.screen, HomeScreen)

    drive(session, steps)


def test_a_search_that_begins_in_a_closed_palette_ends_nothing(session: Session) -> None:
    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        await pilot.press("ctrl+p")
        palette = app.screen
        assert isinstance(palette, Palette)
        await palette.dismiss(None)
        palette._gather_commands("runs")
        await pilot.pause(0.1)
        assert app.is_running
        assert not app.failure

    drive(session, steps)
