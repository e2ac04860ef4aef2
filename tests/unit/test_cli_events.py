"""What a watcher is told of a run's events."""

from __future__ import annotations

import pytest

from workbench.cli.console import Console
from workbench.cli.train import show_event


def test_records_that_are_left_out_are_told_with_the_reason(
    capsys: pytest.CaptureFixture[str],
) -> None:
    measured = {
        "type": "measured",
        "records": 1200,
        "tokens": 90_000,
        "steps": 40,
        "skipped": {"too_long": 3},
        "validation_skipped": {"too_long": 1, "all_masked": 2},
    }
    show_event(measured, Console(as_json=False))
    said = capsys.readouterr().out
    assert said == "  1,200 records, 90,000 tokens, 40 steps; left out: 4 too long, 2 all masked\n"
    show_event({**measured, "skipped": {}, "validation_skipped": {}}, Console(as_json=False))
    assert "left out" not in capsys.readouterr().out


@pytest.mark.parametrize("event", [{"type": "step"}, {"type": "evaluated", "step": 1, "loss": "x"}])
def test_an_event_that_lacks_something_ends_no_watching(
    event: dict[str, object], capsys: pytest.CaptureFixture[str]
) -> None:
    show_event(event, Console(as_json=False))
    assert capsys.readouterr().out == f"  {event['type']}.\n"
