"""The guided path's Train step: start, refusals, coming back, crashes, and the real engine."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Button, Input

from tests.fixtures.libraries import Library, make_library
from tests.fixtures.run_stories import make_story, story
from tests.fixtures.screens import LARGE, SMALL, drive, matches, until, words
from tests.fixtures.tiny_jobs import LESSONS, write_adapter
from workbench.adapters.manifest import DatasetRecord
from workbench.datasets.importing import import_files
from workbench.errors import DoesNotFit
from workbench.models.shelf import add_starter
from workbench.recipe import RecipeError
from workbench.runs import training
from workbench.runs.drafts import Draft, keep_draft, load_draft
from workbench.runs.job import JobFolder
from workbench.runs.listing import list_runs
from workbench.tui import hints
from workbench.tui.app import WorkbenchApp
from workbench.tui.hints import told
from workbench.tui.screens.run_panel import RunPanel
from workbench.tui.screens.wizard.train import TrainStep
from workbench.tui.screens.wizard.train_work import free_name, recipe_of
from workbench.tui.session import Session, Tour
from workbench.vault.sealed import DataKey

CLOCK = (re.compile(r"\d\d:\d\d:\d\d"), "12:34:56")
# What depends on the machine that the tests run on.
MACHINE = (re.compile(r"[\d.]+&#160;(MiB|GiB|s|min)"), "1&#160;MiB")


@pytest.fixture
def library(tmp_path: Path) -> Library:
    found = make_library(tmp_path)
    path = tmp_path / "lessons.jsonl"
    path.write_text(
        "".join(
            json.dumps({"prompt": f"{question} {number}", "completion": answer}) + "\n"
            for question, answer in LESSONS
            for number in range(10)
        )
    )
    import_files(found.vault, [path], "lessons", splits={"validation": 0.2}, seed=3)
    return found


def draft_of(library: Library, **changes: Any) -> Draft:
    catalogue = library.vault.catalogue
    draft = Draft(
        step="train",
        dataset=catalogue.get("dataset", "lessons").object_id,
        model=catalogue.get("model", "tiny").object_id,
        settings={"method": "lora", "context": 256},
    ).with_changes(**changes)
    keep_draft(library.vault, draft)
    return draft


def session(library: Library, tour: Tour | None = None) -> Session:
    return Session(library.vault.home, vault=library.vault, tour=tour)


async def open_form(pilot: Pilot[int], app: WorkbenchApp) -> None:
    app.go("wizard")
    await until(pilot, lambda: "of memory" in " ".join(words(app).split()), 20)


def engine(library: Library, *, publishes: bool = True) -> Callable[..., int]:
    """Return a launcher whose engine has done all its work when it returns."""

    def launch(folder: Path, keys: list[DataKey], **_: Any) -> int:
        job, vault = JobFolder(folder), library.vault
        objects = job.spec().objects
        data = vault.catalogue.get("dataset", objects["dataset"])
        key = next(key for key in keys if key.object_id == objects["adapter"])
        with job.held(), job.writer() as events:
            for kind, fields in story(8, of=8):
                events.write(kind, **fields)
            if publishes:
                base = vault.catalogue.get("model", objects["model"])
                write_adapter(
                    vault.adapters_folder, training.model_part(vault, base),
                    object_id=objects["adapter"], name="lessons-tiny", key=key, run=job.run,
                    dataset=DatasetRecord(data.object_id, data.name, data.record["root"]),
                )  # fmt: skip
                events.write("published", adapter=objects["adapter"], bytes=99, sha256="0" * 64)
            events.write("finished", step=8, loss_first=6.2, loss_last=0.95)
        return 1

    return launch


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_enter_starts_and_leads_to_review(
    library: Library, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int]
) -> None:
    draft_of(library)
    monkeypatch.setattr(training, "launch", engine(library))

    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        await open_form(pilot, app)
        assert app.screen.query_one("#train-name", Input).value == "lessons-tiny"
        text = " ".join(words(app).split())
        assert "tiny will learn from lessons with plain LoRA of rank 16" in text
        assert app.focused is app.screen.query_one("#train-start")
        matches(app, f"train-form-{size[0]}x{size[1]}", MACHINE)
        await pilot.press("enter")
        await until(pilot, lambda: "is in the library" in words(app), 20)
        assert "✓ finished" in words(app)
        assert app.focused is app.screen.query_one("#train-review", Button)
        await pilot.pause(0.5)
        matches(app, f"train-finished-{size[0]}x{size[1]}", CLOCK)

    drive(session(library), steps, size)
    kept = load_draft(library.vault)
    assert kept is not None
    assert [state.run for state in list_runs(library.vault.home)] == [kept.run]
    assert kept.adapter == "lessons-tiny"
    entry = library.vault.catalogue.get("adapter", "lessons-tiny")
    assert entry.record["run"] == kept.run


def test_refusals_say_what_to_change_and_start_nothing(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    library.train("taken")
    draft_of(library, settings={"method": "lora", "context": 256})

    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        await open_form(pilot, app)
        # What finished while nobody looked is registered first.
        await until(pilot, lambda: library.vault.catalogue.entries("adapter"))
        name = app.screen.query_one("#train-name", Input)
        for typed, said in (("taken", "Type another name."), ("../x", "Letters, digits")):
            name.value = typed
            name.focus()
            await pilot.press("enter")
            await until(pilot, lambda said=said: said in words(app))  # type: ignore[misc]
            assert app.focused is name, "the name can be typed again at once"
        monkeypatch.setattr(training, "_check_disk", _full)
        name.value = "free"
        await pilot.press("enter")
        await until(pilot, lambda: "Free some disk, or step back to Fit" in words(app))
        assert app.focused is app.screen.query_one("#train-start")

    drive(session(library), steps)
    assert len(list_runs(library.vault.home)) == 1, "nothing was started"


def _full(*_: object) -> None:
    raise DoesNotFit("Checkpoints need 9 GiB and 1 GiB are free.", code="disk")


def test_a_plan_that_does_not_fit_leads_back_to_fit(library: Library) -> None:
    draft_of(library, settings={"memory_limit": "150MiB"})

    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        app.go("wizard")
        await until(pilot, lambda: "step back to Fit" in " ".join(words(app).split()), 20)
        await pilot.press("enter")
        await until(pilot, lambda: "QLoRA need less" in " ".join(words(app).split()), 20)
        assert "does not fit this machine's memory" in " ".join(words(app).split())

    drive(session(library), steps)
    assert list_runs(library.vault.home) == []


def test_coming_back_attaches_and_replays(library: Library) -> None:
    folder = make_story(library.vault, story(30))
    draft_of(library, run=folder.run, adapter="tuned")

    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        app.go("wizard")
        await until(pilot, lambda: "step 30 of 100" in words(app))
        assert "Review" in words(app).splitlines()[2]
        assert not app.screen.query("#train-form")
        await pilot.press("ctrl+n")
        told = [each.message for each in app._notifications]
        assert any("Review opens when" in message for message in told)
        await pilot.pause(0.5)
        matches(app, "train-running-80x24", CLOCK)

    with folder.held():
        drive(session(library), steps)


def test_a_crash_offers_to_resume_or_to_train_again(library: Library) -> None:
    folder = make_story(library.vault, story(30))
    draft_of(library, run=folder.run, adapter="tuned")

    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        app.go("wizard")
        await until(pilot, lambda: "✗ crashed" in words(app))
        assert app.screen.query_one(RunPanel).can("resume")
        assert "Train again" in words(app)
        assert not app.screen.query_one("#train-review").display
        app.screen.query_one("#train-again", Button).press()
        await until(pilot, lambda: app.screen.query("#train-form"))

    drive(session(library), steps)
    kept = load_draft(library.vault)
    assert kept is not None
    assert kept.run == ""
    assert folder.path.exists(), "the old run stays until it is removed"


def test_a_run_that_is_gone_or_left_nothing_can_be_done_again(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    draft_of(library, run="ru-" + "0" * 16)
    monkeypatch.setattr(training, "launch", engine(library, publishes=False))

    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        app.go("wizard")
        await until(pilot, lambda: "Train again" in words(app))
        await pilot.press("enter")
        await until(pilot, lambda: "of memory" in " ".join(words(app).split()), 20)
        await pilot.press("enter")
        await until(pilot, lambda: "No adapter came of it" in words(app), 20)
        assert not app.screen.query_one("#train-review").display

    drive(session(library), steps)


def test_the_demo_brings_name_and_recipe(library: Library, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text('method = "lora"\nrank = 4\ncontext = 256\n')
    tour = Tour((), "lessons", "tiny", recipe, "toured", tmp_path / "export", kept=False)
    draft = draft_of(library, settings={"context": 64})
    assert recipe_of(tour, draft).rank == 4
    assert recipe_of(tour, draft).context == 64, "what was chosen goes over it"

    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        await open_form(pilot, app)
        assert app.screen.query_one("#train-name", Input).value == "toured"
        assert "LoRA of rank 4" in " ".join(words(app).split())
        assert "Tour: Enter starts" in words(app)

    drive(session(library, tour), steps)


def test_what_must_be_chosen_first() -> None:
    assert "data" in TrainStep.lacks(Draft())
    assert "model" in TrainStep.lacks(Draft(dataset="ds-1"))
    assert TrainStep.lacks(Draft(dataset="ds-1", model="mo-1")) == ""
    with pytest.raises(RecipeError):
        recipe_of(None, Draft(settings={"rnak": 8}))


def test_names_are_made_free_and_sound() -> None:
    assert free_name("triage", []) == "triage"
    assert free_name("triage", ["triage", "triage-2"]) == "triage-3"
    assert free_name("../\x1b[31m evil", []) == "31m evil"
    assert free_name("***", []) == "adapter"
    assert len(free_name("x" * 300, [])) <= 100


def test_refusals_without_words_of_their_own_keep_the_rooms() -> None:
    error = DoesNotFit("It does not fit.", hint="Take another.", code="new")
    assert told(error, "train") == "It does not fit. Take another."


def test_what_a_refusal_says_names_no_command() -> None:
    with pytest.raises(RecipeError) as caught:
        recipe_of(None, Draft(settings={"rnak": 8, "epochs": -1}))
    said = told(caught.value, "train")
    assert "rnak" in said
    assert "Step back to Fit" in said
    for text in (said, *hints._EVERYWHERE.values(), *hints._AT["train"].values()):
        assert "`" not in text
        assert "--" not in text


@pytest.mark.slow
def test_the_real_engine_pauses_resumes_and_finishes_from_the_screen(library: Library) -> None:
    vault = library.vault
    add_starter(vault)
    base = vault.catalogue.get("model", "starter")
    draft = draft_of(library)
    settings = {"method": "qlora", "rank": 4, "context": 64, "micro_batch": 1, "accumulate": 1,
                "max_steps": 60, "epochs": 60, "threads": 1, "evaluate_every": 20,
                "learning_rate": 0.002}  # fmt: skip
    keep_draft(vault, replace(draft, model=base.object_id, settings=settings))
    paused_after = 0.0

    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        nonlocal paused_after
        await open_form(pilot, app)
        await pilot.press("enter")
        await until(pilot, lambda: app.screen.query(RunPanel), 30)
        panel = app.screen.query_one(RunPanel)
        await until(pilot, lambda: panel.state is not None and panel.state.step >= 2, 90)
        began = time.monotonic()
        await pilot.press("p")
        await until(pilot, lambda: "Paused after" in words(app), 30)
        paused_after = time.monotonic() - began
        assert panel.state is not None
        assert panel.state.step < 60
        await pilot.press("r")
        await until(pilot, lambda: "is in the library" in words(app), 180)
        assert "Goes on from step" in "".join(panel.query_one("RunMonitor")._lines)  # type: ignore[attr-defined]
        assert app.focused is app.screen.query_one("#train-review", Button)

    drive(session(library), steps)
    assert paused_after < 10, "the device is free within 10 s"
    entry = vault.catalogue.get("adapter", "lessons-starter")
    state = list_runs(vault.home)[0]
    assert state.state == "finished"
    assert state.step == 60
    assert state.loss_last is not None
    assert state.loss_first is not None
    assert state.loss_last < state.loss_first
    assert state.objects["adapter"] == entry.object_id
