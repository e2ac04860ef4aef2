"""Every screen, as it is kept: two sizes, the dark and the light theme, and without colours.

One app goes through all screens, and changes its size and its looks on each of them.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeAlias
from unittest import mock

import pytest
from textual.pilot import Pilot

from tests.fixtures.screens import LARGE, SMALL, drive, matches, settled
from tests.fixtures.staged_home import staged_session
from tests.fixtures.visits import ALL_PLACES, same_machine, visit
from workbench.tui.app import WorkbenchApp
from workbench.tui.modals.questions import ConfirmModal
from workbench.tui.screens.recovery import RecoveryScreen
from workbench.tui.session import Session
from workbench.tui.settings import UiSettings

Page: TypeAlias = tuple[tuple[int, int], str]  # size and look
COMMON: tuple[Page, ...] = ((SMALL, "dark"), (LARGE, "light"))
OTHERS: tuple[Page, ...] = (
    (SMALL, "light"), (SMALL, "no-colour"), (LARGE, "dark"), (LARGE, "no-colour"),
)  # fmt: skip
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
_KEY = "-".join(letter * 4 for letter in "23456789ABCDEF")


@pytest.fixture
def session() -> Iterator[Session]:
    staged = staged_session()
    yield staged
    shutil.rmtree(staged.home.parent)


class Album:
    """Compares what an app shows with the kept pictures, at each of some sizes and looks."""

    def __init__(self, kept: Sequence[Page]) -> None:
        self.kept = kept
        self.different: list[str] = []

    async def compare(self, pilot: Pilot[int], app: WorkbenchApp, name: str) -> None:
        """Compare the screen on top, which may still be at work on what it shows."""
        for size, look in self.kept:
            if app.size != size:
                await pilot.resize_terminal(*size)
            _put_on(app, look)
            if name == "settings":  # names the theme as it was when the screen opened
                await visit(pilot, app, name)
            await settled(pilot, app)
            try:
                matches(app, f"all/{name}-{size[0]}x{size[1]}-{look}", *_COMPACT)
            except AssertionError as error:
                self.different.append(str(error))


def _put_on(app: WorkbenchApp, look: str) -> None:
    """Let an app look as one that was started so."""
    environment = {"NO_COLOR": "1"} if look == "no-colour" else {}
    with mock.patch.dict("os.environ", environment):
        started = WorkbenchApp(app.session)
    app.no_color, app._filters = started.no_color, started._filters
    theme = "workbench-light" if look == "light" else "workbench-dark"
    app.change_settings(UiSettings(theme=theme, animation=False))
    app.refresh_css(animate=False)
    for screen in app.screen_stack:
        for widget in (screen, *screen.query("*")):
            widget._styles_cache.clear()
            widget.refresh()


@pytest.mark.parametrize(
    "kept", [COMMON, pytest.param(OTHERS, marks=pytest.mark.slow)], ids=["common", "others"]
)
@pytest.mark.timeout(600)
def test_every_place(
    session: Session, kept: tuple[Page, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("HOME", str(session.home.parent))  # exports go there by default
    album = Album(kept)

    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        for name in ALL_PLACES:
            await visit(pilot, app, name)
            await album.compare(pilot, app, name)
        app.go("home")
        for key, name in (("f2", "places"), ("f1", "page"), ("g", "air-gap")):
            await pilot.press(key)
            await album.compare(pilot, app, name)
            await pilot.press("escape")
        app.push_screen(
            ConfirmModal("Remove triage?", "All of it.", yes="Remove", type_name="triage")
        )
        await album.compare(pilot, app, "confirm")
        await pilot.press("escape", "ctrl+l")
        await album.compare(pilot, app, "unlock")

    with same_machine():
        drive(session, steps, kept[0][0])
    assert not album.different, "\n\n".join(album.different)


def test_the_first_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    album = Album(COMMON + OTHERS)

    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        await album.compare(pilot, app, "welcome")
        app.switch_screen(RecoveryScreen(_KEY))
        await album.compare(pilot, app, "recovery-key")

    drive(Session(Path("/nowhere/home")), steps)
    assert not album.different, "\n\n".join(album.different)
