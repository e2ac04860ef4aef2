"""The demo's whole path with the real engine: Enter, and nothing else, from files to an export."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from textual.pilot import Pilot

from tests.fixtures.screens import SMALL, drive, until
from tests.fixtures.vaults import make_original
from workbench.adapters.library import list_adapters
from workbench.exports.signing import verify_folder
from workbench.models.shelf import add_starter
from workbench.runs.drafts import load_draft
from workbench.tui.app import WorkbenchApp
from workbench.tui.screens.home import HomeScreen
from workbench.tui.screens.wizard.screen import STEPS, WizardScreen
from workbench.tui.session import Session, Tour
from workbench.tui.widgets.plain import Plain

STARTER = Path(__file__).resolve().parents[2] / "workbench" / "starter"
_SECONDS = 900.0


def short_recipe(folder: Path) -> Path:
    """Write the demo's recipe with a single epoch: enough to learn the form of the answers."""
    told = (STARTER / "recipe.toml").read_text()
    assert "epochs = 4" in told
    path = folder / "recipe.toml"
    path.write_text(told.replace("epochs = 4", "epochs = 1"))
    return path


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_enter_alone_leads_from_files_to_an_exported_model(tmp_path: Path) -> None:
    vault = make_original(tmp_path / "original").copy(tmp_path / "home")
    add_starter(vault)
    files = json.loads((STARTER / "starter.json").read_text())["data"]["train"]
    tour = Tour(
        files=tuple(STARTER / name for name in files),
        dataset="triage",
        model="starter",
        recipe=short_recipe(tmp_path),
        adapter="triage-adapter",
        export=tmp_path / "export",
        kept=True,
    )
    visited: list[str] = []
    said: dict[str, set[str]] = {}

    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        app.go("wizard")
        await until(pilot, lambda: isinstance(app.screen, WizardScreen) and app.screen.step)
        deadline = time.monotonic() + _SECONDS
        while isinstance(app.screen, WizardScreen):
            assert time.monotonic() < deadline, f"stuck in {visited[-1:]}: {said}"
            step = app.screen.step
            assert step is not None
            if visited[-1:] != [step.NAME]:
                visited.append(step.NAME)
            line = str(app.screen.query_one("#tour", Plain).content)
            said.setdefault(step.NAME, set()).add(line)
            # Where the line tells to wait, Enter has nothing to do; pressed too early it must do
            # no harm, so it is not timed.
            if "Enter" in line:
                await pilot.press("enter")
            await pilot.pause(0.5)
        assert isinstance(app.screen, HomeScreen), type(app.screen)

    drive(Session(vault.home, vault=vault, tour=tour), steps, SMALL)
    assert visited == list(STEPS)
    assert all(any("Enter" in line for line in lines) for lines in said.values()), said
    (adapter,) = list_adapters(vault)
    assert adapter["adapter"] == "triage-adapter"
    noted = adapter["metrics"]["evaluations"]["triage/test"]
    assert noted["adapter"]["loss"] < noted["base"]["loss"] / 5
    assert verify_folder(tour.export, vault.audit.public_key) == []
    assert (tour.export / "model.safetensors").is_file()
    assert load_draft(vault) is None, "the path is at its end"
    events = [entry.event for entry in vault.audit.entries()]
    assert events.count("adapter_exported") == 1
