"""The reducer: what screens and commands are told about a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.errors import BadInput, NotFound
from workbench.runs.listing import find_run, list_runs
from workbench.runs.protocol import RunSpec
from workbench.runs.state import RunState, first_state, fold, fold_all

SPEC = RunSpec(
    run="ru-0123456789abcdef",
    kind="train",
    created="2026-01-31T12:00:00Z",
    device="cpu",
    numbers={"steps": 4, "predicted_bytes": 1000},
)
TYPES = [
    "launched",
    "queued",
    "started",
    "protection",
    "loading",
    "loaded",
    "measured",
    "step",
    "evaluated",
    "checkpointed",
    "paused",
    "resumed",
    "adjusted",
    "sampled",
    "not_sampled",
    "progress",
    "published",
    "finished",
    "stopped",
    "failed",
    "teleported",
]


def events(*told: tuple[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Number and date events as a writer would."""
    return [
        {"v": 1, "seq": place, "t": float(place), "type": kind, **fields}
        for place, (kind, fields) in enumerate(told, 1)
    ]


def after(*told: tuple[str, dict[str, Any]]) -> RunState:
    """Fold events into the first state."""
    return fold_all(first_state(SPEC), events(*told))


def step(number: int, loss: float | None, **fields: Any) -> tuple[str, dict[str, Any]]:
    """A step event."""
    return "step", {"step": number, "steps": 4, "loss": loss, "tokens": 10 * number, **fields}


def test_a_whole_life() -> None:
    state = after(
        ("launched", {}),
        ("queued", {"position": 2}),
        ("started", {"pid": 7}),
        ("protection", {"layers": {"seccomp": {"state": "active", "detail": ""}}}),
        ("loading", {}),
        ("loaded", {"parameters": 100, "trainable": 8}),
        ("measured", {"records": 5, "skipped": {"too_long": 1}}),
        step(1, 4.0, memory={"peak": 500}, tokens_per_second=3.0, eta_seconds=9.0),
        ("evaluated", {"step": 1, "loss": 3.5, "tokens": 3}),
        ("checkpointed", {"step": 1, "bytes": 9, "best": True}),
        ("adjusted", {"reason": "out_of_memory", "micro_batch": 1, "accumulate": 8}),
        step(2, 2.0, memory={"peak": 400}),
        ("published", {"adapter": "ad-0123456789abcdef", "bytes": 1, "sha256": "ab"}),
        ("finished", {"tokens": 21, "peak_bytes": 450}),
    )
    assert (state.state, state.step, state.steps, state.tokens) == ("finished", 2, 4, 21)
    assert (state.loss_first, state.loss_last, state.eval_loss) == (4.0, 2.0, 3.5)
    assert (state.peak_bytes, state.predicted_bytes) == (500, 1000)
    assert state.counts["skipped"] == {"too_long": 1}
    assert state.protection["seccomp"]["state"] == "active"
    assert state.adjustments[0]["micro_batch"] == 1
    assert (state.started, state.ended, state.sequence) == (1.0, 14.0, 14)
    assert state.adapter == "ad-0123456789abcdef"
    shown = state.to_json()
    contract = {"run", "state", "step", "steps", "loss", "eval_loss"}
    contract |= {"tokens_per_second", "eta_seconds", "memory"}
    assert contract <= set(shown)


def test_a_pause_ends_the_process_and_a_launch_takes_it_back() -> None:
    paused = after(("started", {"pid": 1}), step(2, 1.0), ("paused", {"step": 2}))
    assert (paused.state, paused.is_over, paused.is_resumable) == ("paused", True, True)
    launched = fold(paused, {"v": 1, "seq": 9, "t": 9.0, "type": "launched"})
    assert (launched.state, launched.step, launched.ended) == ("starting", 2, None)


def test_a_pause_keeps_its_reason_and_the_step_of_a_run_that_left_early() -> None:
    state = after(step(3, 1.0), ("paused", {"step": 0, "reason": "disk_full"}))
    assert (state.step, state.reason) == (3, "disk_full")
    assert fold(state, {"v": 1, "seq": 9, "t": 9.0, "type": "launched"}).reason is None


def test_a_failure_is_forgotten_once_the_run_goes_on() -> None:
    failed = after(("started", {}), ("failed", {"error_type": "RuntimeError", "place": "a:1"}))
    assert failed.error == {"error_type": "RuntimeError", "place": "a:1"}
    assert fold(failed, {"v": 1, "seq": 9, "t": 9.0, "type": "started"}).error == {}


def test_steps_that_are_repeated_after_a_crash_replace_the_earlier_telling() -> None:
    state = after(step(1, 4.0), step(2, 3.0), step(3, 9.0), ("started", {}), step(2, 2.5))
    assert state.curve == ((1, 4.0), (2, 2.5))
    assert (state.loss_first, state.loss_last) == (4.0, 2.5)


def test_the_curve_stays_small_and_spans_the_run() -> None:
    state = first_state(SPEC)
    for event in events(*(step(number, 1.0 / number) for number in range(1, 4_001))):
        state = fold(state, event)
    assert 256 <= len(state.curve) <= 512
    assert state.curve[0][0] == 1
    assert state.curve[-1][0] > 3_900
    assert state.loss_last == 1.0 / 4_000


def test_a_loss_that_is_no_number_keeps_the_last_known_one() -> None:
    state = after(step(1, 4.0), step(2, None))
    assert (state.step, state.loss) == (2, 4.0)


_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)
FIELDS = [
    "step",
    "steps",
    "loss",
    "lr",
    "tokens",
    "seconds",
    "memory",
    "layers",
    "phase",
    "done",
    "total",
    "position",
    "pid",
    "adapter",
    "peak_bytes",
    "predicted_bytes",
    "error_type",
    "grad_norm",
    "eta_seconds",
    "loss_first",
    "unheard_of",
]
_names = st.sampled_from(FIELDS)


@settings(max_examples=50)
@given(st.lists(st.tuples(st.sampled_from(TYPES), st.dictionaries(_names, _values)), max_size=8))
def test_no_event_however_strange_breaks_the_reducer(
    told: list[tuple[str, dict[str, Any]]],
) -> None:
    state = after(*told)
    assert isinstance(state.step, int)
    assert state.loss is None or isinstance(state.loss, float)
    assert isinstance(state.memory, dict)
    assert state.sequence == len(told)


def test_runs_are_found_by_the_beginning_of_their_id(tmp_path: Path) -> None:
    for name in ("ru-aa00000000000000", "ru-ab00000000000000", "other", ".stage-x"):
        (tmp_path / "runs" / name).mkdir(parents=True)
    assert find_run(tmp_path, "ru-aa").name == "ru-aa00000000000000"
    assert find_run(tmp_path, "ab").name == "ru-ab00000000000000"
    with pytest.raises(BadInput) as caught:
        find_run(tmp_path, "a")
    assert caught.value.code == "ambiguous"
    for name in ("ru-b", "", "ru-", "../runs", "*", "ru-aa*", "other"):
        with pytest.raises(NotFound):
            find_run(tmp_path, name)
    assert [state.state for state in list_runs(tmp_path)] == ["damaged", "damaged"]
    assert list_runs(tmp_path / "nowhere") == []
