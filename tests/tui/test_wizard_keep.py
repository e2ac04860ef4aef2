"""The Keep step: tags and a note, an export by Enter in the demo, and the end of the path."""

from __future__ import annotations

import collections
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from tests.fixtures.finished import HOSTILE, ActedExport, figures, make_finished, session_at
from tests.fixtures.screens import LARGE, SMALL, drive, matches, settled, until, words
from tests.fixtures.vaults import Original
from workbench.adapters.annotating import note_adapter
from workbench.adapters.library import show_adapter
from workbench.runs.drafts import load_draft
from workbench.tui.app import WorkbenchApp
from workbench.tui.screens.exporting import ExportPane
from workbench.tui.screens.home import HomeScreen
from workbench.tui.screens.wizard.keep import KeepStep
from workbench.tui.screens.wizard.screen import WizardScreen
from workbench.vault.store import Vault

# The manifest names the vault's key, which is another one in each run.
SIGNED = (re.compile(r"[0-9a-f]{64}"), "0" * 64)
SHOWN = Path("/tmp/workbench-pictures")  # a path that is the same in each picture


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Original:
    return make_finished(tmp_path_factory.mktemp("finished") / "home")


@pytest.fixture
def acted(monkeypatch: pytest.MonkeyPatch) -> ActedExport:
    acted = ActedExport()
    monkeypatch.setattr("workbench.exports.service.export_adapter", acted)
    return acted


@pytest.fixture
def pictures(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    usage = collections.namedtuple("usage", "total used free")
    monkeypatch.setattr(
        "workbench.exports.preflight.shutil.disk_usage", lambda _: usage(1 << 40, 0, 1 << 40)
    )
    shutil.rmtree(SHOWN, ignore_errors=True)
    SHOWN.mkdir()
    yield SHOWN
    shutil.rmtree(SHOWN)


async def at_keep(pilot: Pilot[int], app: WorkbenchApp) -> KeepStep:
    app.go("wizard")
    await until(pilot, lambda: isinstance(app.screen, WizardScreen) and app.screen.step)
    assert isinstance(app.screen, WizardScreen)
    step = app.screen.step
    assert isinstance(step, KeepStep)
    await until(pilot, lambda: "✓ It needs" in words(app))
    return step


def test_in_the_demo_enter_exports_and_enter_finishes(
    vault: Vault, acted: ActedExport, tmp_path: Path
) -> None:
    out = tmp_path / "export"
    session = session_at(vault, "keep", tour=out)

    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        step = await at_keep(pilot, app)
        pane = step.query_one(ExportPane)
        assert "Tour: Press Enter to export it" in words(app)
        await pilot.press("enter")
        await until(pilot, lambda: "25%" in words(app))
        assert "Tour: Wait" in words(app)
        await pilot.press("enter", "ctrl+n")
        assert pane.is_busy, "neither Enter nor Next gives up what is at work"
        acted.go.set()
        await until(pilot, lambda: not pane.is_busy)
        assert "✓ Every file has the hash that was signed" in words(app)
        assert "100.0% of 287 places" in words(app)
        assert f'from_pretrained("{out}")' in words(app)
        await pilot.press("y")
        assert f'from_pretrained("{out}")' in app.clipboard
        assert "Tour: Press Enter to finish" in words(app)
        draft = load_draft(vault)
        assert draft is not None
        assert draft.exported == str(out)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, HomeScreen))

    drive(session, steps, LARGE)
    assert acted.told[0]["target"] == "safetensors"
    assert acted.told[0]["out"] == out
    assert load_draft(vault) is None, "the path is at its end"


def test_outside_the_demo_enter_finishes(vault: Vault, acted: ActedExport) -> None:
    session = session_at(vault, "keep")

    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        await at_keep(pilot, app)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, HomeScreen))

    drive(session, steps)
    assert acted.told == []
    assert load_draft(vault) is None


def test_a_stopped_export_leaves_nothing(vault: Vault, acted: ActedExport, tmp_path: Path) -> None:
    session = session_at(vault, "keep", tour=tmp_path / "out" / "export")
    (tmp_path / "out").mkdir()

    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        step = await at_keep(pilot, app)
        await pilot.press("enter")
        await until(pilot, lambda: list((tmp_path / "out").iterdir()))
        await pilot.press("x")
        await until(pilot, lambda: "Stopped. Nothing was left behind." in words(app))
        assert not step.query_one(ExportPane).is_busy

    drive(session, steps)
    assert list((tmp_path / "out").iterdir()) == []


def test_leaving_the_step_stops_the_export(
    vault: Vault, acted: ActedExport, tmp_path: Path
) -> None:
    run = vault.catalogue.get("adapter", "ward-notes").record["run"]
    session = session_at(vault, "keep", tour=tmp_path / "out" / "export", results=figures(run))
    (tmp_path / "out").mkdir()

    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        await at_keep(pilot, app)
        await pilot.press("enter")
        await until(pilot, lambda: list((tmp_path / "out").iterdir()))
        await pilot.press("ctrl+g")
        await until(pilot, lambda: not list((tmp_path / "out").iterdir()))

    drive(session, steps)


def test_tags_and_a_note_are_kept_and_shown(vault: Vault) -> None:
    note_adapter(vault, "ward-notes", HOSTILE)
    session = session_at(vault, "keep")

    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        await at_keep(pilot, app)
        assert "[@click=app.exit]x[/]" in words(app)
        assert "\x1b" not in words(app)
        await pilot.press("t")
        await until(pilot, lambda: app.screen.query(Input))
        await pilot.press(*"pilot", "enter")
        await until(pilot, lambda: "Tags (T): pilot" in words(app))

    drive(session, steps)
    assert show_adapter(vault, "ward-notes")["tags"] == ["pilot"]


def test_training_again_keeps_the_choices_and_leaves_the_run(
    vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setattr(WizardScreen, "open_step", lambda self, name: opened.append(name))
    session = session_at(vault, "keep", results={"run": "x"}, settings={"rank": 8})

    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        await at_keep(pilot, app)
        await pilot.press("a")
        await until(pilot, lambda: opened)

    drive(session, steps)
    assert opened == ["fit"]
    draft = load_draft(vault)
    assert draft is not None
    assert (draft.run, draft.results, draft.settings) == ("", {}, {"rank": 8})
    assert draft.dataset
    assert [each["adapter"] for each in [show_adapter(vault, "ward-notes")]] == ["ward-notes"]


def test_a_run_that_has_made_nothing_yet_is_told(vault: Vault) -> None:
    session = session_at(vault, "keep", run="ru-0000000000000000")

    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        app.go("wizard")
        await until(pilot, lambda: "has not made an adapter yet" in words(app))
        assert "Export" not in words(app).replace("Export it if", "")

    drive(session, steps)


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_it_looks_as_it_should(
    vault: Vault, acted: ActedExport, pictures: Path, size: tuple[int, int]
) -> None:
    session = session_at(vault, "keep", tour=pictures / "export")
    acted.go.set()

    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        step = await at_keep(pilot, app)
        await settled(pilot, app)
        matches(app, f"wizard-keep-{size[0]}x{size[1]}")
        await pilot.press("enter")
        await until(pilot, lambda: "Every file has" in words(app))
        assert not step.query_one(ExportPane).is_busy
        await settled(pilot, app)
        matches(app, f"wizard-keep-exported-{size[0]}x{size[1]}", SIGNED)

    drive(session, steps, size)
