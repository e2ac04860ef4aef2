"""The library's screens on a real vault with adapters as runs leave them."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import DataTable, Input, TextArea, Tree

from tests.fixtures.libraries import PASSPHRASE, make_library
from tests.fixtures.screens import LARGE, SMALL, drive, matches, settled, until, words
from workbench.adapters.annotating import note_adapter, tag_adapter
from workbench.adapters.library import list_adapters, show_adapter
from workbench.adapters.registration import register_finished
from workbench.tui.app import WorkbenchApp
from workbench.tui.modals.questions import ConfirmModal, MessageModal
from workbench.tui.screens.adapter_views import CompareScreen, LineageScreen
from workbench.tui.screens.adapters import AdaptersScreen
from workbench.tui.session import Session
from workbench.vault.store import Vault

HOSTILE = "\x1b]0;owned\x07[@click=app.exit]x[/] \u202egnp"


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a home with three adapters; tests work on copies."""
    made = make_library(tmp_path_factory.mktemp("library"))
    for name in ("alpha", "beta", "gamma"):
        made.train(name)
        register_finished(made.vault)
        time.sleep(1.1)  # entries are listed by the second in which they were made
    tag_adapter(made.vault, "beta", add=["ward 7"])
    note_adapter(made.vault, "gamma", HOSTILE)
    return made.vault.home


@pytest.fixture
def opened(kept: Path, tmp_path: Path) -> Callable[[], Session]:
    home = tmp_path / "home"
    shutil.copytree(kept, home)
    home.chmod(0o700)
    return lambda: Session(home, vault=Vault.unlock(home, PASSPHRASE))


async def at_adapters(pilot: Pilot[int], app: WorkbenchApp) -> AdaptersScreen:
    app.go("adapters")
    await until(pilot, lambda: isinstance(app.screen, AdaptersScreen))
    screen = app.screen
    assert isinstance(screen, AdaptersScreen)
    await until(pilot, lambda: screen.query_one("#adapters", DataTable).row_count == 3)
    return screen


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_the_library_looks_as_it_should(
    opened: Callable[[], Session], size: tuple[int, int]
) -> None:
    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        await at_adapters(pilot, app)
        await settled(pilot, app)
        matches(app, f"adapters-{size[0]}x{size[1]}")

    drive(opened(), steps, size)


def test_search_tags_notes_and_hostile_text(opened: Callable[[], Session]) -> None:
    session = opened()

    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        screen = await at_adapters(pilot, app)
        assert screen.chosen is not None
        assert screen.chosen["adapter"] == "gamma", "newest first"
        await until(pilot, lambda: "owned" in words(app))
        assert "\x1b" not in words(app)
        assert "\u202e" not in words(app)

        await pilot.press("slash", *"#ward")
        await until(pilot, lambda: screen.query_one("#adapters", DataTable).row_count == 1)
        await pilot.press("enter")
        assert screen.chosen["adapter"] == "beta"
        await pilot.press("t")
        await until(pilot, lambda: app.screen.query("#tags"))
        app.screen.query_one("#tags", Input).value = "june, ward 7"
        await pilot.press("enter")
        await until(pilot, lambda: show_adapter(session.vault, "beta")["tags"] != ["ward 7"])
        assert show_adapter(session.vault, "beta")["tags"] == ["june", "ward 7"]

        await pilot.press("o")
        await until(pilot, lambda: app.screen.query("#text"))
        app.screen.query_one("#text", TextArea).text = "For the board."
        await pilot.press("ctrl+s")
        await until(pilot, lambda: show_adapter(session.vault, "beta")["notes"])
        await until(pilot, lambda: "For the board." in words(app))
        screen.query_one("#query", Input).value = "zebra"
        await until(pilot, lambda: "Nothing fits this search" in words(app))

    drive(session, steps)


def test_two_are_compared_and_the_tree_names_what_they_were_made_from(
    opened: Callable[[], Session],
) -> None:
    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        await at_adapters(pilot, app)
        await pilot.press("c")
        await until(pilot, lambda: "◆ gamma" in words(app))
        await pilot.press("down", "c")
        await until(pilot, lambda: isinstance(app.screen, CompareScreen))
        await until(pilot, lambda: "gamma" in words(app) and "beta" in words(app))
        assert "the same base and the same dataset" in words(app)
        await pilot.press("escape", "l")
        await until(pilot, lambda: isinstance(app.screen, LineageScreen))
        labels = []

        def walk(node: object) -> None:
            for child in node.children:  # type: ignore[attr-defined]
                labels.append(str(child.label))
                walk(child)

        walk(app.screen.query_one("#lineage", Tree).root)
        assert [label.split()[0] for label in labels] == ["base", "dataset", *["adapter"] * 3]

    drive(opened(), steps)


def test_removing_asks_for_the_name(opened: Callable[[], Session]) -> None:
    session = opened()

    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        await at_adapters(pilot, app)
        await pilot.press("v")
        await until(pilot, lambda: isinstance(app.screen, MessageModal))
        assert "Every sealed byte" in words(app)
        await pilot.press("escape", "delete")
        await until(pilot, lambda: isinstance(app.screen, ConfirmModal))
        await pilot.press("enter")  # Cancel has the focus
        await until(pilot, lambda: isinstance(app.screen, AdaptersScreen))
        assert len(list_adapters(session.vault)) == 3
        await pilot.press("delete")
        await until(pilot, lambda: isinstance(app.screen, ConfirmModal))
        app.screen.query_one("#typed", Input).value = "gamm"
        assert app.screen.query_one("#yes").disabled
        app.screen.query_one("#typed", Input).value = "gamma"
        await until(pilot, lambda: not app.screen.query_one("#yes").disabled)
        app.screen.query_one("#yes").focus()
        await pilot.press("enter")
        await until(pilot, lambda: len(list_adapters(session.vault)) == 2)
        await until(pilot, lambda: "gamma" not in words(app))

    drive(session, steps)


def test_an_empty_library_says_what_to_do(tmp_path: Path) -> None:
    vault, _ = Vault.create(tmp_path / "home", PASSPHRASE, kdf="light")

    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        app.go("adapters")
        await until(pilot, lambda: "The library is empty" in words(app))
        assert "Press n to begin one" in words(app)

    drive(Session(tmp_path / "home", vault=vault), steps)
