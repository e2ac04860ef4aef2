"""The Train step before the run: one start is one run, whoever goes back and forth meanwhile."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Button

from tests.fixtures.finished import make_finished, session_at
from tests.fixtures.screens import drive, until, words
from workbench.errors import DoesNotFit
from workbench.tui.app import WorkbenchApp
from workbench.tui.screens.wizard import train


def test_stepping_back_and_forth_while_it_starts_starts_one_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vault = make_finished(tmp_path / "original").copy(tmp_path / "home")
    go, starts = threading.Event(), []

    def start(*_: Any) -> dict[str, Any]:
        starts.append(1)
        go.wait(30)
        raise DoesNotFit("There is no room for it.")

    monkeypatch.setattr(train, "start_run", start)

    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        app.go("wizard")

        def button() -> Button | None:
            found = app.screen.query("#train-start")
            return found.first(Button) if found else None

        await until(pilot, lambda: (b := button()) is not None and not b.disabled)
        await pilot.press("enter")
        await until(pilot, lambda: starts == [1])
        await pilot.press("ctrl+g")
        await until(pilot, lambda: button() is None)
        app.screen.open_step("train")  # type: ignore[attr-defined]
        await until(pilot, lambda: "starting the job" in words(app))
        await pilot.press("enter", "ctrl+n")
        await pilot.pause()
        assert starts == [1]
        go.set()
        await until(pilot, lambda: "There is no room for it." in words(app))
        started = button()
        assert started is not None
        assert not started.disabled, "it can be tried again"

    drive(session_at(vault, "train", run="", adapter=""), steps)
    assert starts == [1]
