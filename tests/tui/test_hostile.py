"""Hostile strings through every widget that shows data, on a real pseudo-terminal."""

from __future__ import annotations

import sys

import pytest

from tests.fixtures.hostile import ALL, FEW, faults, many
from tests.fixtures.terminals import terminal
from workbench.text import printable

SIZE = (170, 40)


def feed(count: int, seed: int, seconds: float) -> bytes:
    """Show the strings and return every byte that came."""
    program = [sys.executable, "-m", "tests.fixtures.hostile_ui", str(count), str(seed)]
    with terminal(program, size=SIZE) as screen:
        code = screen.wait(seconds)
        output = bytes(screen.output)
    assert code == 0, screen.plain()[-1500:]
    return output


def test_the_first_of_each_family_through_every_widget() -> None:
    output = feed(FEW, 1, 200)
    assert not faults(output)
    told = output.decode()
    assert "[@click=app.exit]OWNED[/]" in told, "markup is shown as it is"
    assert "␛[7777m" in told, "an escape is shown as a glyph"


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_five_hundred_strings_through_every_widget() -> None:
    assert not faults(feed(500, 2, 1000))


def test_the_known_strings_come_first() -> None:
    assert many(500)[: len(ALL)] == list(ALL)
    assert len(set(many(500))) > 300
    assert many(40) == many(40)


def test_faults_are_found() -> None:
    for text in (
        "\x1b[7777m",
        "\x1b]0;OWNED\x07",
        "\x9b",
        "\u202e",
        "\u200b",
        "\x1bc",
        "\0",
        "\u2028",
    ):
        assert faults(text.encode()), ascii(text)
    assert faults(b"\xff")
    assert not faults("\x1b[0m\x1b[38;2;1;2;3mgrün ␛ 文\x1b[?25h\x1b[1;1H\r\n".encode())


def test_the_sanitiser_leaves_nothing_to_obey_and_stays_harmless_when_repeated() -> None:
    for text in many(3_000, 5):
        once = printable(text)
        assert not faults(once.encode())
        assert printable(once) == once
        assert len(once) <= 10_000


def test_storms_of_combining_marks_are_cut() -> None:
    assert printable("e\u0301") == "e\u0301"
    assert printable("ก็้") == "ก็้"
    stormy = printable("a" + "\u0301" * 500 + "b")
    assert len(stormy) < 15
    assert stormy.startswith("a\u0301")
    assert stormy.endswith("b")
