"""The shelf of base models, on real folders."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Button, Input

from tests.fixtures.screens import LARGE, SMALL, drive, matches, until, words
from tests.fixtures.tiny_models import write_model
from tests.fixtures.vaults import Original, make_original
from tests.tui.test_wizard_model import MACHINE
from workbench.models.shelf import add_model, add_starter, list_models
from workbench.tui.app import WorkbenchApp
from workbench.tui.modals.pickers import FolderModal, nearest_folder
from workbench.tui.modals.questions import ConfirmModal, MessageModal
from workbench.tui.screens.adding import AddModelScreen
from workbench.tui.screens.models import ModelsScreen
from workbench.tui.session import Session
from workbench.tui.widgets.choice import Choice
from workbench.tui.widgets.progress import progress_text
from workbench.tui.widgets.row_table import RowTable
from workbench.vault.ids import new_id
from workbench.vault.store import Vault

Steps = Callable[[Pilot[int], WorkbenchApp], Awaitable[None]]
_DIGEST = re.compile(r"[0-9a-f]{64}")


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Original:
    return make_original(tmp_path_factory.mktemp("original") / "home")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = write_model(tmp_path_factory.mktemp("made") / "tiny-llama")
    (made / "[red]\x1b[2J.bin").write_bytes(b"pickled")
    (made / "modeling_tiny.py").write_text("raise SystemExit")
    return made


@pytest.fixture(scope="module")
def stocked(original: Original, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Original:
    """A vault with the model `tiny`."""
    home = tmp_path_factory.mktemp("stocked") / "home"
    add_model(original.copy(home), folder, "tiny")
    return dataclasses.replace(original, home=home)


@pytest.fixture
def shelf(stocked: Original, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Vault:
    monkeypatch.setattr("workbench.tui.screens.shelf.probe_hardware", lambda: MACHINE)
    return stocked.copy(tmp_path / "home")


@pytest.fixture
def vault(original: Original, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Vault:
    monkeypatch.setattr("workbench.tui.screens.shelf.probe_hardware", lambda: MACHINE)
    return original.copy(tmp_path / "home")


def on_models(vault: Vault, steps: Steps, size: tuple[int, int] = SMALL) -> None:
    async def opened(pilot: Pilot[int], app: WorkbenchApp) -> None:
        app.go("models")
        await until(pilot, lambda: isinstance(app.screen, ModelsScreen) and is_read(app))
        await steps(pilot, app)

    drive(Session(vault.home, vault=vault), opened, size)


def is_read(app: WorkbenchApp) -> bool:
    return "There is no base model" in words(app) or "SHA-256" in words(app)


async def confirm(pilot: Pilot[int], app: WorkbenchApp, name: str) -> None:
    await until(pilot, lambda: isinstance(app.screen, ConfirmModal))
    assert app.screen.query_one("#yes", Button).disabled
    app.screen.query_one("#typed", Input).value = name
    await pilot.pause()
    await pilot.click("#yes")


def test_an_empty_shelf_offers_the_starter(vault: Vault) -> None:
    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        assert "Press a to add the folder of one, or s" in words(app)
        await pilot.press("v", "delete")
        assert isinstance(app.screen, ModelsScreen)
        await pilot.press("s")
        await until(pilot, lambda: "7.3 M" in words(app) and "SHA-256" in words(app), 30)
        assert "Starter" not in words(app)

    on_models(vault, steps)
    assert [model["model"] for model in list_models(vault)] == ["starter"]


def test_a_folder_is_referred_to_and_told_in_full(vault: Vault, folder: Path) -> None:
    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        await pilot.press("a")
        await until(pilot, lambda: isinstance(app.screen, AddModelScreen))
        modal = app.screen
        modal.query_one("#folder", Input).value = str(folder)
        await pilot.pause()
        await pilot.click(modal.query(Choice)[1])
        assert "(●) Refer to it" in words(app)
        await pilot.click("#add")
        await until(pilot, lambda: "referred to where it lies" in words(app), 30)
        app.screen.query_one("#details").scroll_end(animate=False)
        await until(pilot, lambda: "a model's code is never run" in words(app))
        assert "10,320 parameters, 2 layers, hidden size 16" in words(app)
        assert "the model's own" in words(app)
        assert "reading it can run code" in words(app)
        assert "\x1b" not in app.export_screenshot()

    on_models(vault, steps, LARGE)
    assert [model["weights"] for model in list_models(vault)] == ["reference"]


def test_stopping_leaves_nothing_behind(vault: Vault, folder: Path) -> None:
    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        await pilot.press("a")
        await until(pilot, lambda: isinstance(app.screen, AddModelScreen))
        modal = app.screen
        modal.query_one("#folder", Input).value = str(folder)
        await pilot.pause()
        await pilot.press("enter", "enter", "escape")
        await until(pilot, lambda: app.screen is not modal)
        await pilot.pause(2)

    on_models(vault, steps)
    assert list_models(vault) == []
    assert list(vault.models_folder.iterdir()) == []
    assert not [key for key in vault.key_ids() if key.startswith("mo-")]


def test_verifying_names_what_was_changed(shelf: Vault) -> None:
    vault, entry = shelf, shelf.catalogue.get("model", "tiny")

    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        await pilot.press("v")
        await until(pilot, lambda: isinstance(app.screen, MessageModal))
        assert "tiny is sound" in words(app)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, ModelsScreen))
        weights = vault.models_folder / entry.object_id / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:-1] + b"\1")
        await pilot.press("v")
        await until(pilot, lambda: "model.safetensors: not the bytes" in words(app))

    on_models(vault, steps)


def test_a_model_is_removed_by_its_name(shelf: Vault, folder: Path) -> None:
    vault = shelf

    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        await pilot.press("delete")
        await confirm(pilot, app, "tiny")
        await until(pilot, lambda: "There is no base model" in words(app))

    on_models(vault, steps)
    assert list_models(vault) == []
    assert (folder / "model.safetensors").exists()


def test_a_model_that_adapters_need_stays(shelf: Vault) -> None:
    vault, entry = shelf, shelf.catalogue.get("model", "tiny")
    adapter = new_id("ad")
    vault.new_key(adapter)
    vault.catalogue.put("adapter", adapter, "letters", {"base": {"object_id": entry.object_id}})

    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        await pilot.press("delete")
        await confirm(pilot, app, "tiny")
        await until(pilot, lambda: "need this model" in words(app))

    on_models(vault, steps)
    assert [model["model"] for model in list_models(vault)] == ["tiny"]


def test_a_folder_is_browsed_for(shelf: Vault, tmp_path: Path) -> None:
    vault = shelf
    for name in ("plain", "[red]bold", "evil\x1b]0;x\x07"):
        (tmp_path / "top" / name).mkdir(parents=True)
    # A path may look like a closing tag, and a link with a plain name may lead to it.
    behind = tmp_path / "[" / "x]"
    behind.mkdir(parents=True)
    (tmp_path / "top" / "link").symlink_to(behind)

    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        await pilot.press("a")
        await until(pilot, lambda: isinstance(app.screen, AddModelScreen))
        modal = app.screen
        modal.query_one("#folder", Input).value = str(tmp_path / "top" / "not there")
        await pilot.click("#browse")
        await until(pilot, lambda: isinstance(app.screen, FolderModal) and "plain" in words(app))
        assert "[red]bold" in words(app)
        assert "evil" not in words(app)
        assert "\x1b" not in app.export_screenshot()
        lines = [line for line in words(app).splitlines() if "│" in line]
        place = next(n for n, line in enumerate(lines) if "link" in line)
        first = next(n for n, line in enumerate(lines) if ".." in line)
        await pilot.press(*["down"] * (place - first), "enter")
        await until(pilot, lambda: "[/x]" in words(app))
        await pilot.click("#select")
        await until(pilot, lambda: app.screen is modal)
        assert modal.query_one("#folder", Input).value == str(behind)
        assert modal.query_one("#name", Input).value == "x"

    on_models(vault, steps)


def test_browsing_begins_at_the_nearest_folder(tmp_path: Path) -> None:
    assert nearest_folder(str(tmp_path)) == tmp_path
    assert nearest_folder(str(tmp_path / "a" / "b")) == tmp_path
    assert nearest_folder("") == nearest_folder("x\0y") == nearest_folder("~")
    assert nearest_folder("relative").is_absolute()


@pytest.mark.parametrize("typed", ["~nobody-of-this-name/models", "/" + "long" * 100, "/a\0b"])
def test_browsing_from_a_path_that_cannot_be_begins_somewhere(typed: str) -> None:
    assert nearest_folder(typed).is_dir()


def test_progress_tells_share_rate_and_time_left() -> None:
    assert progress_text(0, 0, "Reading", 0) == "Reading  0 B"
    told = progress_text(1 << 30, 4 << 30, "Copying", 10)
    assert told == f"Copying  {'█' * 5}{'░' * 15} 25%  1 GiB of 4 GiB  102 MiB/s  30 s left"
    assert progress_text(3, 4, "Checking", 1, bytes_=False).endswith("3 of 4  3/s  0 s left")
    assert "left" not in progress_text(4, 4, "Checking", 1, bytes_=False)


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_the_shelf_looks_as_it_should(shelf: Vault, size: tuple[int, int]) -> None:
    vault = shelf
    add_starter(vault)
    for entry in vault.catalogue.entries("model"):
        record = {**entry.record, "source": "/media/disk/models/tiny"}
        vault.catalogue.put("model", entry.object_id, entry.name, record)

    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        await pilot.press("home")
        await pilot.pause()
        assert app.screen.query_one(RowTable).cursor_row == 0
        matches(app, f"models-{size[0]}x{size[1]}", (_DIGEST, "0" * 64))

    on_models(vault, steps, size)
