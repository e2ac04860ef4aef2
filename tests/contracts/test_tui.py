"""What every screen, modal and widget keeps to, found by looking at all of them."""

from __future__ import annotations

import ast
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.screen import ModalScreen, Screen

import workbench.tui
from tests.fixtures.screens import drive, until, words
from tests.fixtures.staged_home import staged_session
from tests.fixtures.visits import ALL_PLACES, visit
from workbench.tui.app import WorkbenchApp
from workbench.tui.keymap import bindings_of, nodes
from workbench.tui.modals.base import ClosesOnce, WorkbenchModal
from workbench.tui.navigation import PLACES
from workbench.tui.palette import WorkbenchCommands
from workbench.tui.screens.base import WorkbenchScreen
from workbench.tui.screens.wizard.screen import STEPS
from workbench.tui.session import Session

ROOT = Path(workbench.tui.__file__).parent
HELP = ROOT.parent / "help"
MOST_KEYS = 8


@pytest.fixture
def session() -> Iterator[Session]:
    staged = staged_session(draft=False)
    yield staged
    shutil.rmtree(staged.home.parent)


def screens() -> list[type[WorkbenchScreen]]:
    found = [kind for kind in nodes() if issubclass(kind, WorkbenchScreen)]
    assert len(found) > 15
    return found


# Keys


def test_every_key_can_be_remapped_and_explains_itself() -> None:
    seen: dict[str, str] = {}
    count = 0
    for kind in nodes():
        for binding in bindings_of(kind):
            count += 1
            where = f"{kind.__module__}.{kind.__qualname__}: {binding.key}"
            assert binding.id, where
            assert re.fullmatch(r"[a-z_]+\.[a-z_]+", binding.id), where
            assert binding.description, where
            assert len(binding.tooltip) > 8, where
            assert binding.tooltip[0].isupper(), where
            same = seen.setdefault(binding.id, binding.key)
            assert same == binding.key, f"{where}: the id stands for two keys"
    assert count > 60


def test_a_screen_shows_few_keys_and_the_palette_has_them_all(session: Session) -> None:
    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        for name in ALL_PLACES:
            await visit(pilot, app, name)
            screen = app.screen
            assert isinstance(screen, WorkbenchScreen), words(app)
            for widget in [None, *screen.focus_chain]:
                if widget is not None:
                    widget.focus()
                    await pilot.pause()
                check_keys(app, screen, f"{name} on {widget}")

    drive(session, steps)


def check_keys(app: WorkbenchApp, screen: WorkbenchScreen, where: str) -> None:
    """The footer has room for its keys, and the palette has every key."""
    active = list(screen.active_bindings.values())
    shown = {
        each.binding.id or each.binding.key: each
        for each in active
        if each.binding.show and each.enabled
    }
    where += f": {[each.binding.description for each in shown.values()]}"
    assert len(shown) <= MOST_KEYS, where
    width = sum(
        len(app.get_key_display(each.binding)) + len(each.binding.description) + 3
        for each in shown.values()
    )
    assert width <= 81, where  # the last one's margin may go over the edge
    offered = {command.title for command in WorkbenchCommands(screen).commands()}
    for each in active:
        if each.binding.id and each.enabled:
            assert any(each.binding.description in title for title in offered), where


# Help and empty states


def test_every_screen_has_its_page_of_help() -> None:
    pages = {f"screen-{kind.HELP_PAGE or kind.PLACE}" for kind in screens()}
    pages |= {f"screen-wizard-{step}" for step in STEPS} | {f"screen-{p.name}" for p in PLACES}
    pages.discard("screen-wizard")  # each step has a page of its own
    for page in sorted(pages):
        text = (HELP / f"{page}.md").read_text("utf-8")
        assert text.startswith("# "), page
        assert len(text) > 150, page
    assert len(pages) > 20


def test_an_empty_place_says_what_to_do(tmp_path: Path) -> None:
    from tests.fixtures.vaults import make_original, reopened

    original = make_original(tmp_path / "home")
    session = Session(original.home, vault=reopened(original.home, original))
    told = re.compile(r"no |none|not |nothing|begin|press|first|made|yet|import|add", re.IGNORECASE)

    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        def body() -> str:
            return "\n".join(words(app).splitlines()[2:-1])

        for name in ("datasets", "models", "runs", "adapters", "playground", "export", "home",
                     "audit"):  # fmt: skip
            app.go(name)
            await until(pilot, lambda: told.search(body()) is not None)
            assert not app.screen.query(".-loading"), name

    drive(session, steps)


# Looks


def test_no_colour_but_tokens() -> None:
    value = re.compile(r":[^;{}]*(#[0-9a-fA-F]{3,8}\b|rgba?\(|hsla?\()")
    sheets = sorted(ROOT.rglob("*.tcss"))
    assert len(sheets) > 3
    for sheet in sheets:
        text = re.sub(r"/\*.*?\*/", "", sheet.read_text(), flags=re.DOTALL)
        assert not value.search(text), sheet
    for path in sorted(ROOT.rglob("*.py")):
        if path.name == "themes.py":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                told = node.value
                assert not re.fullmatch(r"#[0-9a-fA-F]{6}", told), path
                assert not re.search(r"\brgba?\(|\bhsla?\(", told), path
                assert "{" not in told or not value.search(told), path
            if isinstance(node, ast.keyword) and node.arg in ("style", "color", "bgcolor"):
                named = node.value
                if isinstance(named, ast.Constant) and isinstance(named.value, str):
                    words_in = set(re.findall(r"[a-z_]+\d*", named.value))
                    assert not words_in & COLOURS, f"{path}:{node.value.lineno}"


COLOURS = {
    f"{bright}{name}"
    for bright in ("", "bright_")
    for name in ("red", "green", "blue", "yellow", "magenta", "cyan", "white", "black")
}


def test_modals_put_the_focus_where_enter_does_no_harm(session: Session) -> None:
    from workbench.tui.modals.questions import ConfirmModal

    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        answers: list[bool | None] = []
        for name in ("", "triage"):
            app.push_screen(ConfirmModal("Remove?", "Gone.", yes="Remove", type_name=name),
                            answers.append)  # fmt: skip
            await pilot.pause()
            await pilot.press("enter")
            await pilot.pause()
        assert answers == [False, False]

    drive(session, steps)


def test_every_modal_can_be_left_with_escape_and_explains_itself_with_f1() -> None:
    found = {kind for kind in nodes() if issubclass(kind, ModalScreen)}
    found -= {WorkbenchModal, ClosesOnce}
    assert len(found) > 8
    for kind in found:
        keys = {
            key
            for base in kind.__mro__
            if issubclass(base, Screen)
            for binding in bindings_of(base)
            for key in binding.key.split(",")
        }
        assert {"escape", "f1"} <= keys, kind


def test_what_reveals_records_masks_them_when_the_vault_is_locked() -> None:
    revealing = {
        kind
        for kind in nodes()
        if any("reveal" in (binding.id or "") for binding in bindings_of(kind))
    }
    assert revealing
    # A stage of the Data step is part of the step, which is what the wizard's screen tells.
    told_by = {"Stage": "DataStep"}
    concealing = {kind.__name__ for kind in nodes() if "conceal" in vars(kind)}
    assert {told_by.get(kind.__name__, kind.__name__) for kind in revealing} <= concealing


# Start


def test_the_first_paint_loads_nothing_heavy(tmp_path: Path) -> None:
    program = f"""
import asyncio, json, sys
from pathlib import Path
from workbench.tui.app import WorkbenchApp
from workbench.tui.session import Session
async def main():
    app = WorkbenchApp(Session(Path({str(tmp_path / "none")!r})))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        assert type(app.screen).__name__ == "WelcomeScreen"
asyncio.run(main())
print(json.dumps(sorted({{name.partition(".")[0] for name in sys.modules}})))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    loaded = set(json.loads(done.stdout.splitlines()[-1]))
    assert "textual" in loaded
    heavy = {"torch", "duckdb", "pyarrow", "cryptography", "numpy", "transformers", "zxcvbn",
             "textual_plot", "textual_fspicker", "textual_fastdatatable"}  # fmt: skip
    assert not loaded & heavy
