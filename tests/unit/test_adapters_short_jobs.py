"""A job that is silent can be given up all the same."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.vaults import make_original
from workbench.adapters import short_jobs
from workbench.adapters.short_jobs import ShortJob, run_job
from workbench.runs.state import RunState


class GivenUp(Exception):
    """What somebody who waits raises."""


def test_whoever_waits_is_asked_again_while_nothing_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vault = make_original(tmp_path / "original").copy(tmp_path / "home")
    keys = vault.key_ids()
    stopped: list[str] = []
    told: list[tuple[int, int, str]] = []

    def follow(
        folder: Path, on_event: Callable[[Any], None], *, until: Any, poll_seconds: float
    ) -> RunState:
        on_event({"type": "progress", "done": 3, "total": 9, "phase": "answer_base"})
        state = RunState(folder.name, state="running")
        deadline = time.monotonic() + 10
        while not until(state):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        return state

    def progress(done: int, total: int, phase: str) -> None:
        told.append((done, total, phase))
        if len(told) == 3:
            raise GivenUp

    monkeypatch.setattr(short_jobs, "launch", lambda *_, **__: None)
    monkeypatch.setattr(short_jobs, "follow", follow)
    monkeypatch.setattr(short_jobs, "stop", lambda home, run, **_: stopped.append(run))
    monkeypatch.setattr(short_jobs, "_BEAT_SECONDS", 0.05)
    with pytest.raises(GivenUp):
        run_job(vault, ShortJob("evaluate", {}, {}), progress)
    assert told == [(3, 9, "answer_base")] * 3
    assert len(stopped) == 1
    assert list(vault.runs_folder.iterdir()) == []
    assert vault.key_ids() == keys
