"""Every screen, as it is kept: two sizes, the dark and the light theme, and without colours."""

from __future__ import annotations

import contextlib
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from textual.pilot import Pilot

from tests.fixtures.screens import LARGE, SMALL, drive, matches, settled, until
from tests.fixtures.staged_home import staged_session
from tests.fixtures.visits import ALL_PLACES, same_machine, visit
from workbench.tui.app import WorkbenchApp
from workbench.tui.modals.questions import ConfirmModal
from workbench.tui.session import Session
from workbench.tui.settings import UiSettings, write_settings

LOOKS = ("dark", "light", "no-colour")
# Clipping, which is a third of a picture's size, and what differs: the home's folder, hashes.
_COMPACT = (
    (re.compile(r' clip-path="url\([^)]*\)"'), ""),
    (re.compile(r"<clipPath.*?</clipPath>\s*", re.DOTALL), ""),
    *(
        (re.compile(rf"/tmp/wb-[a-z0-9_]{{{cut}}}(?![a-z0-9_])"), f"/tmp/wb-{'12345678'[:cut]}")
        for cut in range(1, 9)  # a dialog may cover the end of it
    ),
    (re.compile(r"\b[0-9a-f]{64}\b"), "0" * 64),
)


@pytest.fixture
def session() -> Iterator[Session]:
    staged = staged_session()
    yield staged
    shutil.rmtree(staged.home.parent)


def _dress(session: Session, look: str, monkeypatch: pytest.MonkeyPatch) -> None:
    theme = "workbench-light" if look == "light" else "workbench-dark"
    write_settings(session.home, UiSettings(theme=theme, animation=False))
    if look == "no-colour":
        monkeypatch.setenv("NO_COLOR", "1")
    else:
        monkeypatch.delenv("NO_COLOR", raising=False)


def at_work(app: WorkbenchApp) -> bool:
    return any(not each.is_finished for each in app.workers if each.name != "runs")


_SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    ("size", "look"),
    [
        pytest.param(size, look, id=f"{size[0]}x{size[1]}-{look}",
                     marks=() if (size, look) == (SMALL, "dark") else _SLOW)
        for size in (SMALL, LARGE)
        for look in LOOKS
    ],
)  # fmt: skip
@pytest.mark.timeout(600)
def test_every_place(
    session: Session, size: tuple[int, int], look: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _dress(session, look, monkeypatch)
    monkeypatch.chdir(session.home.parent)  # exports go there by default
    different: list[str] = []

    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        async def compare(name: str) -> None:
            # What follows a run or a list never ends; what opens a screen does.
            with contextlib.suppress(AssertionError):
                await until(pilot, lambda: not at_work(app), 4)
            await settled(pilot, app)
            try:
                matches(app, f"all/{name}-{size[0]}x{size[1]}-{look}", *_COMPACT)
            except AssertionError as error:
                different.append(str(error))

        for name in ALL_PLACES:
            await visit(pilot, app, name)
            await compare(name)
        app.go("home")
        for key, name in (("f2", "places"), ("f1", "page"), ("g", "air-gap")):
            await pilot.press(key)
            await compare(name)
            await pilot.press("escape")
        app.push_screen(
            ConfirmModal("Remove triage?", "All of it.", yes="Remove", type_name="triage")
        )
        await compare("confirm")
        await pilot.press("escape", "ctrl+l")
        await compare("unlock")

    with same_machine():
        drive(session, steps, size)
    assert not different, "\n\n".join(different)


@pytest.mark.parametrize("look", LOOKS)
def test_the_welcome(look: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if look == "no-colour":
        monkeypatch.setenv("NO_COLOR", "1")

    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        app.theme = "workbench-light" if look == "light" else "workbench-dark"
        await settled(pilot, app)
        matches(app, f"all/welcome-80x24-{look}", *_COMPACT)

    drive(Session(Path("/nowhere/home")), steps)
