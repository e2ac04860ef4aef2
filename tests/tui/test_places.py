"""Audit, Doctor, Help and the places of later versions."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest
from textual.pilot import Pilot
from textual.widgets import Markdown, OptionList

from tests.fixtures.screens import drive, until, words
from tests.fixtures.staged_home import staged_session
from workbench.tui.app import WorkbenchApp
from workbench.tui.documentation import find, read_pages
from workbench.tui.screens.audit import AuditScreen
from workbench.tui.screens.doctor import DoctorScreen
from workbench.tui.screens.help import HelpScreen
from workbench.tui.session import Session
from workbench.tui.toasts import Told
from workbench.tui.widgets.paged_list import PagedList
from workbench.vault.audit_chain import verify_export


@pytest.fixture
def session() -> Iterator[Session]:
    staged = staged_session()
    yield staged
    shutil.rmtree(staged.home.parent)


# Audit


def test_the_log_is_told_in_words_newest_first_and_verifies(session: Session) -> None:
    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        app.go("audit")
        await until(pilot, lambda: "The vault was made" in words(app))
        lines = words(app).splitlines()
        newest = next(n for n, line in enumerate(lines) if "Training finished: triage-v2" in line)
        oldest = next(n for n, line in enumerate(lines) if "The vault was made" in line)
        assert newest < oldest
        await pilot.press("end")
        await until(pilot, lambda: "vault_created" in words(app))
        assert "passphrase cost: light" in words(app)
        assert "not checked yet" in words(app)
        await pilot.press("v")
        await until(pilot, lambda: "● whole: every seal, link and signature" in words(app))

    drive(session, steps)


def test_locking_takes_the_log_from_the_screen_and_the_door_gives_it_back(session: Session) -> None:
    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        app.go("audit")
        await until(pilot, lambda: "The vault was made" in words(app))
        screen, vault = app.screen, session.vault
        assert isinstance(screen, AuditScreen)
        await pilot.press("ctrl+l")
        await until(pilot, lambda: app.screen is not screen)
        assert screen._pages is None, "the log's key would outlive the lock"
        assert not screen._entries
        session._vault = vault
        app.enter()
        await until(pilot, lambda: "The vault was made" in words(app))

    drive(session, steps)


def test_a_broken_log_is_called_broken(session: Session) -> None:
    path = session.home / "audit.log"
    lines = path.read_bytes().splitlines(keepends=True)
    lines[2] = base64.b64encode(b"x" * 80) + b"\n"
    path.write_bytes(b"".join(lines))

    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        app.go("audit")
        await until(pilot, lambda: "this entry does not open" in words(app))
        await pilot.press("v")
        await until(pilot, lambda: "▲ BROKEN" in words(app))
        assert "2 entries" in words(app)

    drive(session, steps)


def test_the_head_line_can_be_copied_unless_the_settings_forbid_it(session: Session) -> None:
    head = session.vault.audit.head()
    copied: list[str] = []

    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        app.go("audit")
        await until(pilot, lambda: "The vault was made" in words(app))
        await pilot.press("h")
        await until(pilot, lambda: head[:32] in words(app))
        with mock.patch.object(app, "copy_to_clipboard", copied.append):
            await pilot.press("c")
            assert copied == [head]
            await pilot.press("escape")
            app.change_settings(app.settings.with_changes(copy=False))
            await pilot.press("h")
            await until(pilot, lambda: head[:32] in words(app))
            await pilot.press("c")
            assert "Copy" not in words(app)
        assert copied == [head]

    drive(session, steps)


def test_the_log_is_exported_to_the_chosen_folder(session: Session, tmp_path: Path) -> None:
    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        app.go("audit")
        await until(pilot, lambda: "The vault was made" in words(app))
        screen = app.screen
        assert isinstance(screen, AuditScreen)
        with mock.patch("workbench.tui.modals.pickers.nearest_folder", return_value=tmp_path):
            await pilot.press("x")
            await pilot.pause()
        await pilot.click("#select")
        await until(pilot, lambda: "The log was written" in words(app))
        assert session.vault.audit.public_key[:40] in words(app)

    drive(session, steps)
    (written,) = tmp_path.glob("audit-*.jsonl")
    assert written.stat().st_mode & 0o077 == 0
    check = verify_export(written.read_text().splitlines(), session.vault.audit.public_key)
    assert check.ok
    assert check.entries == 8
    assert json.loads(written.read_text().splitlines()[1])["event"] == "vault_created"


def test_fifty_thousand_entries_scroll_like_ten(session: Session) -> None:
    path = session.home / "audit.log"
    last = path.read_bytes().splitlines(keepends=True)[-1]
    path.write_bytes(path.read_bytes() + last * 50_000)

    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        app.go("audit")
        await until(pilot, lambda: "50,008 entries" in words(app))
        await until(pilot, lambda: "Training finished: triage-v2" in words(app))
        await pilot.press("end")
        await until(pilot, lambda: "The vault was made" in words(app))
        rows = app.screen.query_one(PagedList)
        assert rows.cursor == 50_007
        assert len(rows._pages) <= 41
        await pilot.press("pageup", "pageup", "home", "down", "pagedown", "up")
        await until(pilot, lambda: 0 < rows.cursor < 30)
        assert len(rows._pages) <= 41

    drive(session, steps)


# Doctor


def test_doctor_tells_the_machine_and_checks_the_vault(session: Session) -> None:
    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        app.go("doctor")
        await until(pilot, lambda: "Processor" in words(app), 30)
        told = words(app)
        assert "Protection of a job, tried just now" in told
        assert "Call filter" in told
        await pilot.press("v")
        await until(pilot, lambda: "● whole" in words(app))
        victim = next((session.home / "adapters").rglob("adapter.sealed"))
        victim.write_bytes(victim.read_bytes()[:-1] + b"\0")
        await pilot.press("v")
        await until(pilot, lambda: "are damaged or missing" in words(app))
        assert "adapter.sealed" in words(app)
        await pilot.press("r")
        await until(pilot, lambda: "Looking at this machine" not in words(app), 30)

    drive(session, steps)


def test_doctor_gives_each_warning_its_cure(session: Session) -> None:
    found = {
        "python": "3.11.7",
        "cpu": {"name": "A [b]processor[/b]", "cores": 8, "bf16": False},
        "ram_bytes": 16 << 30,
        "available_bytes": 9 << 30,
        "limits": {"memory_bytes": 16 << 30, "cpus": None, "memlock_bytes": None},
        "accelerators": [{"name": "Card\x1b[31m", "memory_bytes": 24 << 30, "bf16": True}],
        "libraries": {"torch": "2.13.0"},
        "protection": {"seccomp": {"state": "refused", "detail": "EPERM"}},
        "swap": [{"name": "/dev/sda2", "bytes": 8 << 30, "state": "plain"}],
        "disk": {"home": "/home/x", "free_bytes": 5 << 30},
        "speed": {"matmul_bf16": 2e11, "memory": 2e10},
        "warnings": ["The swap area /dev/sda2 is not encrypted: switch it off (`swapoff`)."],
    }

    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        app.go("doctor", DoctorScreen())
        await until(pilot, lambda: "Processor" in words(app))
        told = words(app)
        assert "▲ The swap area /dev/sda2 is not encrypted" in told
        assert "A [b]processor[/b], 8 cores, no bf16" in told
        assert "Card␛[31m" in told
        assert "limited for this process" in told
        assert "Speed: 200 GFLOP/s in bf16, 20 GB/s of memory." in told
        assert "▲ not encrypted" in told
        assert "✗ Call filter" in told
        assert "training refuses to start" in " ".join(told.split())

    with mock.patch("workbench.planning.doctor.examine", return_value=found):
        drive(session, steps)


# Help


def test_help_lists_every_page_and_finds_words(session: Session) -> None:
    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        app.go("help")
        await pilot.pause()
        rows = app.screen.query_one("#pages", OptionList)
        assert rows.option_count == len(read_pages()) > 15
        await pilot.press("down")
        assert "Data" in app.screen.query_one(Markdown).source[:20]
        await pilot.press("ctrl+f", *"encrypted swap")
        await pilot.pause()
        assert rows.option_count < 5
        assert "Screen: Doctor" in words(app)
        await pilot.press("enter", "enter")
        assert app.focused is app.screen.query_one("#reader")
        await pilot.press("f6", "ctrl+f", *"qqqqq")
        await pilot.pause()
        assert "No page has these words" in words(app)

    drive(session, steps)


def test_finding_puts_titles_first_and_cuts_around_the_word() -> None:
    pages = read_pages()
    assert find(pages, "training")[0].page.title.lower().startswith("training")
    hit = next(hit for hit in find(pages, "hibernation swap disk") or find(pages, "swap"))
    assert "swap" in hit.excerpt.lower()
    assert not any(mark in hit.excerpt for mark in "#*`")
    assert find(pages, "nosuchwordanywhere") == []


# Later versions


@pytest.mark.parametrize("place", ["combine", "serve", "memory"])
def test_what_is_not_here_says_so_and_what_serves_meanwhile(session: Session, place: str) -> None:
    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        app.go(place)
        await pilot.pause()
        assert "not in this version" in words(app)
        assert "Meanwhile" in words(app)
        went: list[str] = []
        with mock.patch.object(app, "go", went.append):
            await pilot.press("enter")
        assert len(went) == 1
        assert not isinstance(app.screen, HelpScreen)

    drive(session, steps)


def test_what_is_told_never_stops_the_clock() -> None:
    over = Told("Saved.", timeout=-5)
    assert over.has_expired
    assert over.time_left > 0, "a timer of no time never ends"
    assert not Told("Saved.").has_expired
