"""The screens on a real pseudo-terminal: bad terminals, lost lines, crashes. No traceback, ever."""

from __future__ import annotations

import os
import random
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.fixtures.staged_home import staged_session
from tests.fixtures.terminals import ALTERNATE_OFF, Terminal, plain_environment, terminal
from tests.fixtures.troubled_ui import RECORD
from workbench.airgap.environment import child_environment
from workbench.runs.listing import list_runs
from workbench.runs.steering import stop
from workbench.tui.app import WorkbenchApp
from workbench.tui.session import Session
from workbench.tui.start import doubtful_locale, refused_terminal

WORKBENCH = Path(sys.executable).with_name("workbench")
ESCAPE, CTRL_C, CTRL_Q = b"\x1b", b"\x03", b"\x11"


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    session = staged_session(draft=False)
    yield session.home
    shutil.rmtree(session.home.parent)


def opened(home: Path, **environment: str) -> AbstractContextManager[Terminal]:
    return terminal([WORKBENCH, "--home", home], environment=plain_environment(**environment))


def troubled(home: Path, trouble: str) -> AbstractContextManager[Terminal]:
    program = [sys.executable, "-m", "tests.fixtures.troubled_ui", home, trouble]
    return terminal([str(each) for each in program])


def test_sizes_from_one_cell_to_a_wall_and_a_storm_of_them(home: Path) -> None:
    with opened(home) as screen:
        screen.wait_for("The vault is locked")
        screen.resize(20, 5)
        screen.wait_for("20x5")
        for size in ((1, 1), (2, 60), (400, 2), (1, 1)):
            screen.resize(*size)
            screen.read(0.1)
        chance = random.Random(7)
        for _ in range(150):
            screen.resize(chance.randint(1, 300), chance.randint(1, 90))
            screen.read(0.003)
        screen.resize(80, 24)
        screen.read(0.5)
        here = len(screen.output)
        screen.resize(100, 30)
        screen.wait_for("The vault is locked", since=here)
        screen.send(ESCAPE)
        assert screen.wait() == 0
        assert b"Traceback" not in screen.output


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        ({"TERM": "dumb"}, "cannot place text"),
        ({"TERM": ""}, "TERM is not set"),
        ({"LANG": "C"}, "LANG=C does not say UTF-8"),
        ({"TERM": "vt100", "COLORTERM": ""}, "The vault is locked"),
        ({"NO_COLOR": "1"}, "The vault is locked"),
    ],
)
def test_a_poor_terminal_gets_a_clear_line(
    home: Path, variables: dict[str, str], told: str
) -> None:
    with opened(home, **variables) as screen:
        screen.wait_for(told)
        if "place text" in told or "not set" in told:
            assert screen.wait() == 2
            assert b"\x1b" not in screen.output
        else:
            screen.wait_for("The vault is locked")
            screen.send(ESCAPE)
            assert screen.wait() == 0
        assert b"Traceback" not in screen.output


def test_without_colours_none_are_sent(home: Path) -> None:
    with opened(home, NO_COLOR="1") as screen:
        screen.wait_for("The vault is locked")
        screen.send(ESCAPE)
        screen.wait()
        colours = set()
        for part in bytes(screen.output).split(b"38;2;")[1:]:
            colours.add(tuple(part.split(b"m")[0].split(b";")[:3]))
        assert all(len(set(colour)) == 1 for colour in colours), "greys alone"


def test_a_hang_up_ends_the_screen_and_not_the_run(home: Path) -> None:
    with troubled(home, "run") as screen:
        screen.wait_for("At work")
        screen.wait_for("of 2,000")
        (run,) = [state for state in list_runs(home) if not state.is_over]
        screen.hang_up()
        assert screen.wait() in (-1, 129)
        assert b"Traceback" not in screen.output
    time.sleep(0.5)
    (after,) = [state for state in list_runs(home) if state.run == run.run]
    assert after.state == "running"
    assert after.step >= run.step
    stop(home, run.run, grace_seconds=2, term_seconds=2)


def test_a_hang_up_ends_the_screen_where_the_signal_was_ignored(home: Path) -> None:
    # `setsid`, besides: the terminal then controls nobody, so that the kernel sends no signal.
    ignoring = 'trap "" HUP; exec setsid --wait "$0" --home "$1"'
    program = ["/bin/sh", "-c", ignoring, str(WORKBENCH), str(home)]
    with terminal(program, environment=plain_environment()) as screen:
        screen.wait_for("The vault is locked")
        screen.hang_up()
        assert screen.wait() == 1  # what setsid says of a child that a signal ended


def test_ctrl_c_twice_leaves_and_says_that_the_run_goes_on(home: Path) -> None:
    with troubled(home, "run") as screen:
        screen.wait_for("of 2,000")
        screen.send(CTRL_C)
        screen.wait_for("Training goes on")
        screen.send(CTRL_C)
        assert screen.wait() == 0
        assert ALTERNATE_OFF in screen.output
    (run,) = [state for state in list_runs(home) if not state.is_over]
    stop(home, run.run, grace_seconds=2, term_seconds=2)


@pytest.mark.parametrize("trouble", ["key", "compose", "render", "timer", "handler"])
def test_a_crash_tells_no_record_restores_the_terminal_and_offers_to_reopen(
    home: Path, trouble: str
) -> None:
    with troubled(home, trouble) as screen:
        screen.wait_for("Open Playground")
        screen.send(b"z")
        screen.wait_for("Press Enter to open it again")
        after = bytes(screen.output[screen.output.rfind(ALTERNATE_OFF) :])
        assert b"The screen failed (" in after, "told on the restored terminal"
        assert b"\x1b[?25h" in after, "the cursor is back"
        here = len(screen.output)
        screen.send(b"\r")
        screen.wait_for("Open Playground", since=here)
        screen.send(CTRL_Q)
        assert screen.wait() == 0
        whole = screen.plain() + bytes(screen.output)
        assert RECORD.encode() not in whole
        assert b"Canary" not in whole
        assert b"Traceback" not in whole


@pytest.mark.parametrize("trouble", ["task", "worker"])
def test_what_fails_in_the_background_leaves_the_screen_open(home: Path, trouble: str) -> None:
    with troubled(home, trouble) as screen:
        screen.wait_for("Open Playground")
        screen.send(b"z")
        screen.read(0.5)
        if trouble == "worker":
            screen.wait_for("Something in the workbench itself failed")
        screen.send(CTRL_Q)
        assert screen.wait() == 0
        assert b"Canary" not in screen.output
        assert b"Traceback" not in screen.output


def test_a_home_that_goes_away_is_told(home: Path, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    with troubled(home, "none") as screen:
        screen.wait_for("Open Playground")
        home.rename(moved)
        try:
            here = len(screen.output)
            screen.send(b"\x1bOP")  # F1 and back: Home looks again
            screen.wait_for("Home tells where you stand", since=here)
            screen.send(ESCAPE)
            screen.wait_for("The vault is gone from", since=here)
        finally:
            moved.rename(home)
        screen.send(CTRL_Q)
        assert screen.wait() == 0
        assert b"Traceback" not in screen.output


def test_the_locale_is_doubted_only_where_it_says_something_else() -> None:
    assert doubtful_locale({}) == ""
    assert doubtful_locale({"LANG": "en_US.UTF-8"}) == ""
    assert doubtful_locale({"LC_ALL": "C.utf8", "LANG": "C"}) == ""
    assert doubtful_locale({"LC_CTYPE": "C.UTF-8"}) == ""
    assert "LANG=C " in doubtful_locale({"LC_CTYPE": "C.UTF-8", "LANG": "C"})
    assert "LC_CTYPE=POSIX" in doubtful_locale({"LC_CTYPE": "POSIX", "LANG": "C.UTF-8"})
    assert "\x1b" not in doubtful_locale({"LANG": "C\x1b[31m"})
    assert refused_terminal({"TERM": "screen"}) == ""


def test_no_colour_reaches_the_children(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    app = WorkbenchApp(Session(Path("/nowhere")))
    assert app.no_color
    assert os.environ.get("NO_COLOR") == "1", "Textual keeps it to itself in other versions"
    assert child_environment()["NO_COLOR"] == "1"
