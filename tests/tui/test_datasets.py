"""Datasets, their records and rejects, on real sealed data."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Button, Input

from tests.fixtures.screens import LARGE, SMALL, drive, matches, until, words
from workbench.datasets.collection import list_datasets
from workbench.datasets.importing import import_files
from workbench.tui.app import WorkbenchApp
from workbench.tui.modals.questions import ConfirmModal, MessageModal
from workbench.tui.screens.datasets import DatasetsScreen
from workbench.tui.screens.records import RecordScreen, RecordsScreen
from workbench.tui.session import Session
from workbench.tui.widgets.paged_table import PagedTable
from workbench.vault.store import Vault

_DIGEST = re.compile(r"[0-9a-f]{64}")
_SIZE = re.compile(r"\d+(\.\d)?&#160;[KM]iB(?=[^,])")
HOSTILE = "\x1b]0;owned\x07[@click=app.exit]x[/] \u202egnp\u202c [bold]"
Steps = Callable[[Pilot[int], WorkbenchApp], Awaitable[None]]


def brought(vault: Vault, name: str, lines: list[str], **options: Any) -> str:
    path = vault.home.parent / f"{name}.jsonl"
    path.write_bytes("\n".join(lines).encode("utf-8", "surrogatepass"))
    return import_files(vault, [path], name, **options).object_id


def asked(number: int, *, more: str = "") -> str:
    return json.dumps({"prompt": f"Question {number}{more}", "completion": f"Answer {number}"})


def on_datasets(vault: Vault, steps: Steps, size: tuple[int, int] = SMALL) -> None:
    async def opened(pilot: Pilot[int], app: WorkbenchApp) -> None:
        app.go("datasets")
        await until(pilot, lambda: isinstance(app.screen, DatasetsScreen) and is_read(app))
        await steps(pilot, app)

    drive(Session(vault.home, vault=vault), opened, size)


def is_read(app: WorkbenchApp) -> bool:
    shown = words(app)
    return "There is no data" in shown or "sealed size" in shown or "version" in shown


async def look_into(pilot: Pilot[int], app: WorkbenchApp) -> PagedTable:
    await pilot.press("o")
    await until(pilot, lambda: isinstance(app.screen, RecordsScreen))
    table = app.screen.query_one(PagedTable)
    await until(pilot, lambda: holds(table, 0))
    return table


def holds(table: PagedTable, row: int) -> bool:
    return table._window.holds(row, row + 1)


def test_an_empty_vault_says_what_to_do(vault: Vault) -> None:
    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        assert "Press i to bring in a file" in words(app)
        assert "Remove" not in words(app)
        await pilot.press("o", "v", "r", "delete")
        assert isinstance(app.screen, DatasetsScreen)
        went: list[str] = []
        app.go = lambda name, screen=None: went.append(name)  # type: ignore[method-assign]
        await pilot.press("i")
        assert went == ["wizard"]

    on_datasets(vault, steps)


def test_the_details_follow_the_cursor(vault: Vault) -> None:
    lines = [
        asked(number, more=" to ann@example.org" if number < 3 else "") for number in range(90)
    ]
    brought(vault, "letters", [*lines, lines[0], "{", '{"prompt": "x"}'])
    brought(vault, "texts", [json.dumps({"text": f"Text {n}"}) for n in range(20)], splits={})

    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        names = [each["dataset"] for each in app.screen._datasets.values()]  # type: ignore[attr-defined]
        await pilot.press("home", *(["down"] if names[0] == "texts" else []))
        await until(pilot, lambda: "3 e-mail addresses" in words(app))
        shown = words(app)
        assert "1 left out" in shown
        assert "not valid JSON (1)" in shown
        assert "letters.jsonl" in shown
        await pilot.press("down" if names[0] == "letters" else "up")
        await until(pilot, lambda: "train 20" in words(app))
        assert "e-mail" not in words(app)

    on_datasets(vault, steps)


def test_verifying_finds_a_changed_byte(vault: Vault) -> None:
    object_id = brought(vault, "letters", [asked(number) for number in range(50)])

    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        await pilot.press("v")
        await until(pilot, lambda: isinstance(app.screen, MessageModal))
        assert "letters is sound" in words(app)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, DatasetsScreen))
        path = vault.datasets_folder / f"{object_id}.duckdb"
        body = bytearray(path.read_bytes())
        body[-100] ^= 1
        path.write_bytes(body)
        await pilot.press("v")
        await until(pilot, lambda: "That did not work" in words(app))

    on_datasets(vault, steps)


def test_removing_asks_for_the_name(vault: Vault) -> None:
    brought(vault, "letters", [asked(number) for number in range(50)])

    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        await pilot.press("delete")
        await until(pilot, lambda: isinstance(app.screen, ConfirmModal))
        yes = app.screen.query_one("#yes", Button)
        assert yes.disabled
        await pilot.press("escape")
        assert list_datasets(vault)
        await pilot.press("delete")
        await until(pilot, lambda: isinstance(app.screen, ConfirmModal))
        app.screen.query_one("#typed", Input).value = "letters"
        await pilot.pause()
        await pilot.click("#yes")
        await until(pilot, lambda: "There is no data" in words(app))

    on_datasets(vault, steps)
    assert list_datasets(vault) == []


def test_what_a_run_needs_stays(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    brought(vault, "letters", [asked(number) for number in range(50)])

    def needed(home: Path, object_id: str) -> None:
        from workbench.errors import BadInput

        raise BadInput("It was not removed: 1 unfinished runs need it.", code="in_use")

    monkeypatch.setattr("workbench.runs.listing.check_unneeded", needed)

    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        await pilot.press("delete")
        await until(pilot, lambda: isinstance(app.screen, ConfirmModal))
        app.screen.query_one("#typed", Input).value = "letters"
        await pilot.pause()
        await pilot.click("#yes")
        await until(pilot, lambda: "unfinished runs need it" in words(app))

    on_datasets(vault, steps)
    assert list_datasets(vault)


def test_rejects_are_listed_with_reasons_in_words(vault: Vault) -> None:
    bad = ["{", '{"prompt": "x"}', '{"prompt": "x", "completion": " "}'] * 60
    brought(vault, "letters", [*(asked(number) for number in range(20)), *bad])

    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        await pilot.press("r")
        await until(pilot, lambda: "the answer is blank (60)" in words(app))
        assert "letters.jsonl" in words(app)
        await pilot.press("end")
        await until(pilot, lambda: "180" in words(app) and "200" in words(app))

    on_datasets(vault, steps)


def test_hostile_text_is_harmless_everywhere(vault: Vault) -> None:
    record = {"prompt": f"{HOSTILE}\r\nB", "completion": "x" * 1_000_000 + HOSTILE}
    brought(vault, "letters", [json.dumps(record), *(asked(n) for n in range(5))], splits={})
    source = vault.home.parent / "[red]\x1b[2J.jsonl"
    source.write_text("\n".join(["{", *(asked(n) for n in range(9))]))
    import_files(vault, [source], "other", splits={})

    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        def harmless(*needed: str) -> bool:
            shown = app.export_screenshot()
            assert "\x1b" not in shown
            assert "\u202e" not in shown
            return all(part in words(app) for part in needed)

        names = [each["dataset"] for each in app.screen._datasets.values()]  # type: ignore[attr-defined]
        await pilot.press("home", *(["down"] if names[0] == "letters" else []))
        await until(pilot, lambda: harmless("[red]␛[2J.jsonl"))
        await pilot.press("r")
        await until(pilot, lambda: harmless("[red]␛[2J.jsonl", "not valid JSON"))
        await pilot.press("escape", "down" if names[0] == "other" else "up")
        await until(pilot, lambda: "letters.jsonl" in words(app))
        table = await look_into(pilot, app)
        await pilot.press("r")
        await until(pilot, lambda: harmless("␛]0;owned␇[@click"))
        for column in range(4):
            await pilot.hover(PagedTable, offset=(5 + 12 * column, 1))
            await pilot.pause()
        assert harmless()
        table.focus()
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, RecordScreen) and "Asked" in words(app))
        await pilot.press("r")
        await until(pilot, lambda: harmless("␛]0;owned␇[@click"))
        await pilot.press("end")
        await until(pilot, lambda: harmless("980,0"))

    on_datasets(vault, steps)


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_the_screens_look_as_they_should(vault: Vault, size: tuple[int, int]) -> None:
    lines = [
        asked(number, more=" to ann@example.org" if number < 3 else "") for number in range(90)
    ]
    name = f"{size[0]}x{size[1]}"
    brought(vault, "letters", [*lines, lines[0], "{", '{"prompt": "x"}'])

    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        matches(app, f"datasets-{name}", (_DIGEST, "0" * 64), (_SIZE, "9.9 MiB"))
        await look_into(pilot, app)
        matches(app, f"records-{name}")
        await pilot.press("r", "enter")
        await until(pilot, lambda: isinstance(app.screen, RecordScreen) and "Asked" in words(app))
        await pilot.press("r")
        await pilot.pause()
        matches(app, f"record-{name}")
        await pilot.press("escape", "escape", "r")
        await until(pilot, lambda: "not valid JSON" in words(app) and "missing" in words(app))
        matches(app, f"rejects-{name}")

    on_datasets(vault, steps, size)
