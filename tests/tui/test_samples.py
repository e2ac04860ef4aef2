"""Samples on the screen: asked for from the run and the Train step, hidden until revealed."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from textual.pilot import Pilot

from tests.fixtures.leftovers import leftovers
from tests.fixtures.run_stories import make_story, story, tell
from tests.fixtures.runs import make_run, start
from tests.fixtures.screens import LARGE, SMALL, drive, matches, until, words
from tests.fixtures.vaults import PASSPHRASE, Original, make_original
from workbench.runs import steering
from workbench.runs.drafts import Draft, keep_draft
from workbench.runs.job import JobFolder
from workbench.runs.samples import Answer, Sample, SampleFolder
from workbench.runs.state import current_state
from workbench.tui.app import WorkbenchApp
from workbench.tui.palette import WorkbenchCommands
from workbench.tui.screens.run import RunScreen
from workbench.tui.screens.run_panel import RunPanel
from workbench.tui.screens.samples import SamplesScreen
from workbench.tui.session import Session
from workbench.tui.widgets.turns import Turns
from workbench.vault.store import Vault

NOTE = "Fever since Monday, and the left ear hurts."


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Original:
    return make_original(tmp_path_factory.mktemp("vault") / "home")


@pytest.fixture
def vault(original: Original, tmp_path: Path) -> Iterator[Vault]:
    found = original.copy(tmp_path / "home")
    yield found
    for path in found.runs_folder.iterdir():
        steering.stop(found.home, path.name, grace_seconds=0.5, term_seconds=0.5)


def session(vault: Vault) -> Session:
    return Session(vault.home, vault=vault)


def running(vault: Vault, *, mute: int = 0, deaf: int = 0) -> JobFolder:
    path = make_run(vault, steps=9000, step_ms=20, mute=mute, deaf=deaf)
    start(vault, path)
    return JobFolder(path)


def sealed(vault: Vault, job: JobFolder, number: int, *, held_out: bool = True) -> None:
    """Put a sample into a run's folder, as its job would."""
    answers = (
        Answer(41, (("system", "Be brief."), ("user", NOTE)), "ENT", f"ENT {number}", 2, True),
        Answer(42, (("user", "A rash on both arms."),), "Skin", "Skin or", 2, False),
    )
    folder = SampleFolder(job.samples_folder, vault.key(job.run))
    folder.write(Sample(number, 10 * number, held_out, 0.5, answers))
    told = {"number": number, "step": 10 * number, "records": 2, "held_out": held_out,
            "tokens": 4, "seconds": 0.5}  # fmt: skip
    tell(job, [("sampled", told)])


async def open_run(pilot: Pilot[int], app: WorkbenchApp, job: JobFolder) -> RunPanel:
    app.go("runs", RunScreen(job.run, "tuned"))
    await until(pilot, lambda: app.screen.query(RunPanel))
    panel = app.screen.query_one(RunPanel)
    await until(pilot, lambda: panel.state is not None)
    return panel


async def open_samples(pilot: Pilot[int], app: WorkbenchApp) -> SamplesScreen:
    await pilot.press("o")
    await until(pilot, lambda: isinstance(app.screen, SamplesScreen))
    screen = app.screen
    assert isinstance(screen, SamplesScreen)
    return screen


def offered(app: WorkbenchApp) -> set[str]:
    return {command.title for command in WorkbenchCommands(app.screen).commands()}


def test_a_sample_is_asked_for_read_and_forgotten_at_the_lock(vault: Vault) -> None:
    job = running(vault)

    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        panel = await open_run(pilot, app, job)
        await until(pilot, lambda: panel.can("sample"))
        assert {"Here: Sample (t)", "Here: Samples (o)"} <= offered(app)
        await open_samples(pilot, app)
        await until(pilot, lambda: "No samples yet" in words(app))
        assert "Press t" in words(app)
        await pilot.press("escape")
        await pilot.press("t")
        await until(pilot, lambda: "Sample 1 taken: Samples shows it." in words(app))
        await until(pilot, lambda: "sample 1 taken, 2 records answered" in words(app))
        screen = await open_samples(pilot, app)
        await until(pilot, lambda: "sample 1, record 1 of 2" in words(app))
        assert "Which ward" not in words(app)
        assert "••••" in words(app)
        await pilot.press("r")
        await until(pilot, lambda: "Which ward has bed 1?" in words(app))
        assert "Ward 1 of step" in words(app)
        # Another one from here; whoever reads the newest is shown the one that comes.
        await pilot.press("right")
        await until(pilot, lambda: "sample 1, record 2 of 2" in words(app))
        await pilot.press("t")
        await until(pilot, lambda: "sample 2, record 1 of 2" in words(app))
        await pilot.press("left", "left")
        await until(pilot, lambda: "sample 1, record 1 of 2" in words(app))
        turns = screen.query_one(Turns)
        await pilot.press("ctrl+l")
        await until(pilot, lambda: not app.session.is_open and not turns.children)
        assert not screen._shown
        assert not turns.revealed
        assert leftovers(app, "Which ward") == []
        await pilot.press(*PASSPHRASE, "enter")
        await until(pilot, lambda: app.session.is_open and app.screen is screen)
        await until(pilot, lambda: "sample 2, record 1 of 2" in words(app))
        assert "Which ward" not in words(app), "after the lock it is hidden again"

    drive(session(vault), steps)


def test_a_pause_does_not_wait_for_a_sample_and_a_refusal_is_told(vault: Vault) -> None:
    deaf, mute = running(vault, deaf=1), running(vault, mute=1)

    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        panel = await open_run(pilot, app, deaf)
        await until(pilot, lambda: panel.can("sample"))
        await pilot.press("t")
        assert "Asked: it comes after the step at hand." in words(app)
        assert not panel.can("sample")
        assert panel.can("pause")
        assert panel.can("stop")
        steering.stop(vault.home, deaf.run, grace_seconds=0.1)
        await until(pilot, lambda: not panel._sampling)
        assert not any("Sample" in line for line in words(app).splitlines()[1:3])
        panel = await open_run(pilot, app, mute)
        await until(pilot, lambda: panel.can("sample"))
        await pilot.press("t")
        await until(pilot, lambda: "No sample: memory was short. It trains on." in words(app))
        assert current_state(mute.path).state == "running"

    drive(session(vault), steps)


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_what_was_taken_is_shown_of_a_run_that_is_over(vault: Vault, size: tuple[int, int]) -> None:
    job = make_story(vault, [*story(30), ("finished", {"step": 30, "loss_first": 6.2})])
    name = f"{size[0]}x{size[1]}"

    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        panel = await open_run(pilot, app, job)
        await until(pilot, lambda: "✓ finished" in words(app))
        assert not panel.can("sample")
        screen = await open_samples(pilot, app)
        await until(pilot, lambda: "No samples were taken of this run" in words(app))
        for number in (1, 2, 3):
            sealed(vault, job, number, held_out=number != 2)
        await until(pilot, lambda: "sample 3, record 1 of 2" in words(app))
        assert "hidden: r shows the text" in words(app)
        assert NOTE not in words(app)
        await pilot.press("r")
        await until(pilot, lambda: NOTE in words(app))
        for told in ("System", "Asked", "Expected", "The model, after step 30 (2 tokens)", "ENT 3"):
            assert told in words(app)
        matches(app, f"samples-{name}")
        await pilot.press("right")
        await until(pilot, lambda: "(2 tokens, cut there)" in words(app))
        await pilot.press("left", "left")
        await until(pilot, lambda: "record 2 of 2 (trained on)" in words(app))
        # Somebody who reads an earlier one is left there.
        sealed(vault, job, 4)
        await until(pilot, lambda: len(screen._shown) == 8)
        assert "sample 2, record 2 of 2" in words(app)
        await pilot.press("escape")
        await until(pilot, lambda: app.screen.query("#do-samples"))
        assert app.screen.query_one("#do-samples").display

    drive(session(vault), steps, size)


def test_a_run_that_goes_away_is_one_clear_line(vault: Vault) -> None:
    job = make_story(vault, story(3))

    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        await open_run(pilot, app, job)
        await open_samples(pilot, app)
        await until(pilot, lambda: "No samples were taken" in words(app))
        shutil.rmtree(job.path)
        await until(pilot, lambda: "was removed" in words(app) and "Escape goes" in words(app))
        assert not app.failure

    drive(session(vault), steps)


def test_the_train_step_samples_too(vault: Vault) -> None:
    job = running(vault)
    chosen = Draft(step="train", dataset="ds-" + "1" * 16, model="mo-" + "1" * 16)
    keep_draft(vault, chosen.with_changes(run=job.run, adapter="tuned"))

    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        app.go("wizard")
        await until(pilot, lambda: "▶ training" in words(app))
        await pilot.press("t")
        await until(pilot, lambda: "Sample 1 taken" in words(app))
        await open_samples(pilot, app)
        await until(pilot, lambda: "sample 1, record 1 of 2" in words(app))
        await pilot.press("escape")
        await until(pilot, lambda: "▸4 Train" in words(app))
        assert "Samples" in words(app), "the button is there now"

    drive(session(vault), steps)
