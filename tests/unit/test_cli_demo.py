"""The demo's throw-away place: gone afterwards, whatever ends it and however often."""

from __future__ import annotations

import signal
import tempfile
from pathlib import Path

import pytest

from workbench.cli import demo
from workbench.errors import BadInput


@pytest.mark.parametrize("again", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_second_signal_does_not_end_the_clearing_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, again: signal.Signals
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(demo, "_end_runs", lambda home: signal.raise_signal(again))
    before = signal.getsignal(again)

    def interrupted() -> None:
        with demo._place(None) as place:
            place.home.mkdir()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(tmp_path.iterdir()) == []
    assert signal.getsignal(again) is before


def test_runs_that_cannot_be_ended_do_not_keep_the_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(home: Path) -> None:
        raise OSError("no runs to be read")

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(demo, "_end_runs", fail)
    with pytest.raises(OSError, match="no runs"), demo._place(None) as place:
        place.home.mkdir()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("left", ["kept.export", "kept.passphrase"])
def test_what_an_earlier_demo_left_beside_is_refused_in_words(tmp_path: Path, left: str) -> None:
    (tmp_path / left).touch()
    with pytest.raises(BadInput, match=left), demo._place(tmp_path / "kept"):
        pass
    assert [path.name for path in tmp_path.iterdir()] == [left]
