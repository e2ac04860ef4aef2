"""The guided path's Model step, on a real shelf."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Button, Input

from tests.fixtures.screens import LARGE, SMALL, drive, matches, until, words
from tests.fixtures.tiny_models import LLAMA_CONFIG, write_model
from tests.fixtures.vaults import Original, make_original, reopened
from workbench.datasets.importing import import_files
from workbench.models.facts import facts_from_config
from workbench.models.shelf import add_model, add_starter, list_models
from workbench.planning.choosing import Weighed
from workbench.planning.nvidia import Accelerator
from workbench.planning.probe import Cpu, Hardware
from workbench.runs.drafts import Draft, keep_draft, load_draft
from workbench.tui.app import WorkbenchApp
from workbench.tui.screens.adding import AddModelScreen
from workbench.tui.screens.shelf import Shelf, ShelfModel
from workbench.tui.screens.wizard.model import ModelStep
from workbench.tui.screens.wizard.screen import WizardScreen
from workbench.tui.session import Session, Tour
from workbench.tui.widgets.row_table import RowTable
from workbench.vault.store import Vault

GIB = 1 << 30
CARD = Accelerator(0, "Card", 24 * GIB, 23 * GIB, (8, 9), "580", True, 165e12)
MACHINE = Hardware(Cpu("cpu", 2, True, frozenset({"avx512f"})), 16 * GIB, 12 * GIB, (CARD,))


ONE_B = {"hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 16}
SEVENTY_B = {"hidden_size": 8192, "intermediate_size": 28672, "num_hidden_layers": 80}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("made") / "tiny-llama")


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Original:
    """A vault with a dataset, chosen on the guided path, and nothing on the shelf."""
    root = tmp_path_factory.mktemp("bare")
    made = make_original(root / "home")
    vault = reopened(made.home, made)
    lines = [json.dumps({"prompt": f"Question {n}", "completion": "Answer"}) for n in range(40)]
    (root / "notes.jsonl").write_text("\n".join(lines))
    report = import_files(vault, [root / "notes.jsonl"], "notes")
    keep_draft(vault, Draft(step="model", dataset=report.object_id))
    return made


@pytest.fixture(scope="module")
def started(bare: Original, tmp_path_factory: pytest.TempPathFactory) -> Original:
    """The same with the starter."""
    home = tmp_path_factory.mktemp("started") / "home"
    add_starter(bare.copy(home))
    return dataclasses.replace(bare, home=home)


@pytest.fixture(scope="module")
def stocked(started: Original, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Original:
    """The same with two models that seem to be large."""
    home = tmp_path_factory.mktemp("stocked") / "home"
    vault = started.copy(home)
    for name, config in (("northwind-1b", ONE_B), ("northwind-70b", SEVENTY_B)):
        add_model(vault, folder, name)
        enlarged(vault, name, **config)
    return dataclasses.replace(started, home=home)


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workbench.tui.screens.shelf.probe_hardware", lambda: MACHINE)


def enlarged(vault: Vault, name: str, **config: int) -> None:
    """Let the shelf believe that a model is a larger one: nobody ships gigabytes to a test."""
    entry = vault.catalogue.get("model", name)
    facts = facts_from_config({**LLAMA_CONFIG, "vocab_size": 128_256, **config})
    record = {**entry.record, "facts": facts.to_json(), "bytes": 2 * facts.parameters}
    vault.catalogue.put("model", entry.object_id, entry.name, record)


def on_step(
    vault: Vault, steps: Any, size: tuple[int, int] = SMALL, tour: Tour | None = None
) -> None:
    async def opened(pilot: Pilot[int], app: WorkbenchApp) -> None:
        app.go("wizard")
        await until(pilot, lambda: app.screen.query(ModelStep) and shelf_is_read(app))
        await steps(pilot, app)

    drive(Session(vault.home, vault=vault, tour=tour), opened, size)


def shelf_is_read(app: WorkbenchApp) -> bool:
    step = app.screen.query_one(ModelStep)
    return step._shelf is not None


def wizard_step(app: WorkbenchApp) -> str:
    assert isinstance(app.screen, WizardScreen)
    return app.screen.draft.step


def test_enter_goes_on_with_the_recommended_model(started: Original, tmp_path: Path) -> None:
    vault = started.copy(tmp_path / "home")
    starter = vault.catalogue.get("model", "starter")

    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        assert isinstance(app.focused, RowTable)
        assert "starter" in words(app)
        assert "only for trying things out" in words(app)
        moved = []
        app.screen.query_one(ModelStep).finish = lambda: moved.append(1)  # type: ignore[method-assign]
        await pilot.press("enter")
        await until(pilot, lambda: moved)
        await app.workers.wait_for_complete()

    on_step(vault, steps)
    draft = load_draft(vault)
    assert draft is not None
    assert draft.model == starter.object_id


def test_the_largest_that_fits_well_is_under_the_cursor(stocked: Original, tmp_path: Path) -> None:
    vault = stocked.copy(tmp_path / "home")

    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        table = app.screen.query_one(RowTable)
        assert table.chosen == vault.catalogue.get("model", "northwind-1b").object_id
        assert "northwind-1b is recommended: it fits with room to spare." in words(app)
        assert re.search(r"northwind-70b .*✗ 40.7 GiB: 48 GB card", words(app))
        await pilot.press("down")
        await pilot.pause()
        assert "northwind-70b does not fit here" in words(app)
        assert "it needs a card of 48 GB." in " ".join(words(app).split())
        assert "very roughly" not in words(app)
        await pilot.press("up", "up")
        await pilot.pause()
        assert "starter fits here" in words(app)
        assert "very roughly" in words(app)

    on_step(vault, steps)


def test_what_was_chosen_before_stays_chosen(stocked: Original, tmp_path: Path) -> None:
    vault = stocked.copy(tmp_path / "home")
    starter = vault.catalogue.get("model", "starter")
    draft = load_draft(vault)
    assert draft is not None
    keep_draft(vault, draft.with_changes(model=starter.object_id))

    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        assert app.screen.query_one(RowTable).chosen == starter.object_id

    on_step(vault, steps)


def test_the_model_used_last_comes_before_the_recommended_one() -> None:
    def made(object_id: str, parameters: int) -> ShelfModel:
        weighed = Weighed(object_id, parameters, GIB, 9 * GIB, True, "cuda")
        return ShelfModel({"object_id": object_id, "model": object_id}, weighed)

    models = (made("toy", 7 * 10**6), made("used", 10**9), made("large", 8 * 10**9))
    shelf = Shelf(models, last_used="used", recommended="large")
    assert shelf.default("toy") == "toy"
    assert shelf.default("gone") == shelf.default() == "used"
    assert dataclasses.replace(shelf, last_used="toy").default() == "large"
    assert Shelf(()).default("gone") == ""


def test_an_empty_shelf_offers_the_starter(bare: Original, tmp_path: Path) -> None:
    vault = bare.copy(tmp_path / "home")

    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        assert "There is no base model on the shelf." in words(app)
        assert app.screen.query_one("#use", Button).disabled
        assert "Starter" in words(app)
        await pilot.press("ctrl+n")
        assert wizard_step(app) == "model"
        await pilot.press("s")
        await until(pilot, lambda: app.screen.query_one(RowTable).row_count == 1, 30)
        assert "Starter" not in words(app)

    on_step(vault, steps)
    assert [model["model"] for model in list_models(vault)] == ["starter"]


def test_a_folder_is_added_from_here_and_chosen(
    started: Original, folder: Path, tmp_path: Path
) -> None:
    vault = started.copy(tmp_path / "home")

    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        await pilot.press("a")
        await until(pilot, lambda: isinstance(app.screen, AddModelScreen))
        modal = app.screen
        modal.query_one("#folder", Input).value = str(folder)
        await pilot.pause()
        assert modal.query_one("#name", Input).value == "tiny-llama"
        await pilot.press("enter", "enter")
        await until(pilot, lambda: app.screen is not modal, 30)
        await until(pilot, lambda: app.screen.query_one(RowTable).row_count == 2)
        table = app.screen.query_one(RowTable)
        tiny = vault.catalogue.get("model", "tiny-llama")
        await until(pilot, lambda: table.chosen == tiny.object_id)

    on_step(vault, steps)
    assert [model["weights"] for model in list_models(vault)] == ["copy", "copy"]


def test_a_refusal_keeps_the_form_with_the_reason(
    started: Original, folder: Path, tmp_path: Path
) -> None:
    vault = started.copy(tmp_path / "home")
    pickled = tmp_path / "pickled"
    pickled.mkdir()
    (pickled / "pytorch_model.bin").write_bytes(b"anything")
    (pickled / "config.json").write_text("{}")

    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        await pilot.press("a")
        await until(pilot, lambda: isinstance(app.screen, AddModelScreen))
        modal = app.screen
        await pilot.press("enter", "enter")
        assert "Type the folder's path" in words(app)
        modal.query_one("#folder", Input).value = str(pickled)
        await pilot.pause()
        await pilot.click("#add")
        await until(pilot, lambda: "only pickle files" in words(app), 30)
        assert "Convert it to .safetensors" in words(app)
        modal.query_one("#folder", Input).value = str(folder)
        modal.query_one("#name", Input).value = "starter"
        await pilot.click("#add")
        await until(pilot, lambda: "already a model called starter" in words(app), 30)
        assert app.focused is modal.query_one("#name")
        modal.query_one("#folder", Input).value = "[/] \x1b]0;x\x07 ~nobody/none"
        modal.query_one("#name", Input).value = "other"
        await pilot.click("#add")
        await until(pilot, lambda: "cannot be read" in words(app), 30)
        await pilot.press("escape")
        await until(pilot, lambda: app.screen is not modal)

    on_step(vault, steps)
    assert [model["model"] for model in list_models(vault)] == ["starter"]


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_the_step_looks_as_it_should(
    stocked: Original, tmp_path: Path, size: tuple[int, int]
) -> None:
    vault = stocked.copy(tmp_path / "home")

    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        matches(app, f"wizard-model-{size[0]}x{size[1]}")

    on_step(vault, steps, size)


def test_the_form_looks_as_it_should(started: Original, tmp_path: Path) -> None:
    vault = started.copy(tmp_path / "home")

    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        await pilot.press("a")
        await until(pilot, lambda: isinstance(app.screen, AddModelScreen))
        matches(app, "add-model-80x24")

    on_step(vault, steps)
