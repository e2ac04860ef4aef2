"""What a run can be told from the screens: when, with which words, and what came of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from workbench.runs import steering
from workbench.runs.state import RunState, current_state
from workbench.tui.modals.questions import ConfirmModal
from workbench.tui.session import Session
from workbench.tui.widgets.run_words import unsampled_words
from workbench.wording import count, duration

# What is said while a command is under way.
UNDER_WAY: Mapping[str, str] = {
    "pause": "Pausing: a checkpoint, then it frees the device within 10 s.",
    "resume": "Resuming from the last checkpoint…",
    "checkpoint": "Writing a checkpoint after this step…",
    "sample": "Asked: it comes after the step at hand.",
    "stop": "Stopping: what it has learnt is sealed…",
    "remove": "Removing…",
}
_WORKING = frozenset({"starting", "queued", "running"})


def takes(state: RunState, command: str) -> bool:
    """Say whether a run takes this command as it stands."""
    trains = state.kind == "train"
    if command in ("pause", "checkpoint", "sample"):
        return trains and state.state in _WORKING
    if command == "resume":
        return trains and state.is_resumable
    if command == "stop":
        return not state.is_over or (trains and state.is_resumable)
    if command == "remove":
        return state.is_over
    return state.state != "damaged"  # to watch it


def send(session: Session, command: str, run: str) -> str:
    """Send a command, wait for what comes of it, and return that in words; call it in a thread.

    Raises:
        WorkbenchError: As the functions of `workbench.runs.steering` do.
    """
    if command == "resume":
        steering.resume(session.vault, run)
        return "It starts again."
    if command == "remove":
        steering.remove_run(session.vault, run)
        return "The run was removed."
    if command == "sample":
        return _asked_sample(session, run)
    began = time.monotonic()
    state = _ASK[command](session, run)
    return _outcome(command, state, duration(round(time.monotonic() - began)))


_ASK: Mapping[str, Callable[[Session, str], RunState]] = {
    "pause": lambda session, run: steering.pause(session.home, run),
    "checkpoint": lambda session, run: steering.checkpoint(session.home, run),
    "stop": lambda session, run: steering.stop(session.home, run),
}


def _asked_sample(session: Session, run: str) -> str:
    before = current_state(session.home / "runs" / run)
    state = steering.sample(session.home, run)
    if state.samples > before.samples:
        return f"Sample {count(state.samples)} taken: Samples shows it."
    if state.unsampled > before.unsampled:
        return unsampled_words(state.sample)
    # An ending, asked for or not, says enough of itself.
    return "" if state.is_over else "It has not answered yet; it is still asked to."


def _outcome(command: str, state: RunState, took: str) -> str:
    if command == "checkpoint":
        step = state.checkpoint_step
        return "It has not answered yet." if step is None else f"Checkpoint of step {step} sealed."
    if not state.is_over:
        return "It has not answered yet; it is still asked to."
    if command == "pause" and state.state != "paused":
        return "It ended before it could pause."
    return f"Paused after {took}: the device is free." if command == "pause" else "Stopped."


def stop_question(state: RunState) -> ConfirmModal:
    """Return the question before a run is stopped."""
    kept = (
        f"What it has learnt in {count(state.step, 'step')} is kept as an adapter"
        if state.step and not state.is_over
        else "Its checkpoints stay until the run is removed"
        if state.step
        else "It has learnt nothing yet, so no adapter comes of it"
    )
    pause = "" if state.is_over else " To free the device for a while, pause it instead."
    return ConfirmModal(
        "Stop this run?",
        f"Training ends for good and cannot be resumed. {kept}.{pause}",
        yes="Stop the run",
        danger=True,
    )


def remove_question(name: str) -> ConfirmModal:
    """Return the question before a run is removed."""
    return ConfirmModal(
        "Remove this run?",
        "The run's key is destroyed and its folder deleted, with its checkpoints and its log. "
        "The adapter that it made stays in the library.",
        yes="Remove the run",
        type_name=name,
    )
