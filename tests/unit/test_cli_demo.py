"""The demo's throw-away place: gone afterwards, whatever ends it and however often."""

from __future__ import annotations

import signal
import tempfile
from pathlib import Path

import pytest

from workbench.cli import demo


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
