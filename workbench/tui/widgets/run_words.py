"""A run in plain words: its state, its phase, its events, what went wrong and what was kept.

Whatever stands in a run's plain files is a number or a short code (`workbench.runs.values`);
sentences are made here. A code that has no sentence yet is shown as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from workbench.runs.state import RunState
from workbench.wording import count, duration

# Glyph, word and colour token of each state: the first two say it without the third.
STATES: Mapping[str, tuple[str, str, str]] = {
    "starting": ("◌", "starting", "$accent"),
    "queued": ("◌", "waiting", "$accent"),
    "running": ("▶", "running", "$accent"),
    "pausing": ("▶", "pausing", "$accent"),
    "stopping": ("▶", "stopping", "$accent"),
    "paused": ("‖", "paused", "$warning"),
    "finished": ("✓", "finished", "$success"),
    "stopped": ("■", "stopped", "$text-muted"),
    "failed": ("✗", "failed", "$error"),
    "crashed": ("✗", "crashed", "$error"),
    "damaged": ("✗", "damaged", "$error"),
}
PHASES = {
    "starting": "starting",
    "loading": "loading the model",
    "preparing_train": "reading the records to train on",
    "preparing_validation": "reading the held-out records",
    "measuring": "trying the longest batch",
    "training": "training",
    "sampling": "answering a sample's records",
    "evaluating": "judging on held-out records",
    "publishing": "sealing the adapter",
}
_MEASURED_PHASES = frozenset({"loading", "preparing_train", "preparing_validation"})
_KINDS = {
    "train": "training",
    "evaluate": "evaluation",
    "generate": "chat",
    "export": "export",
    "probe": "measuring",
}
# Reasons for which records are left out.
_SKIPPED = {
    "too_long": "longer than the context",
    "all_masked": "without an answer to learn from",
    "no_end_token": "cut before their end",
    "bad_chat_template": "refused by the model's chat template",
    "template_not_prefix_stable": "that the chat template cannot mark",
}
# Why a sample came to nothing.
_UNSAMPLED = {
    "out_of_memory": "memory was short",
    "disk_full": "the disk is full",
    "failed": "answering failed",
}
_ERRORS = {
    "out_of_memory": (
        "Not even one record at a time fits into memory.",
        "Go back to Fit and choose a shorter context, a smaller rank or QLoRA.",
    ),
    "nan_loss": (
        "The loss stopped being a number several steps in a row.",
        "Start again with a lower learning rate or a longer warm-up.",
    ),
    "no_records": (
        "No record of the dataset can be trained on.",
        "Choose a longer context, or look at the dataset: answers may be missing.",
    ),
    "checkpoint_mismatch": (
        "The base model or the dataset is not the one that this run was started with.",
        "Start a new run.",
    ),
    "dataset_changed": (
        "The dataset is not the version that this run was started with.",
        "Start a new run.",
    ),
    "model_changed": (
        "The model's files are not what they were when the model was added.",
        "Verify the model in Models.",
    ),
    "not_sealed": (
        "The air gap could not be closed, so no record was read.",
        "Doctor says which layer is missing and why.",
    ),
    "disk": ("The disk is full.", "Free some space, then resume."),
    "disk_full": ("The disk is full.", "Free some space, then resume."),
    "vault_damaged": (
        "A sealed file does not verify.",
        "Doctor and Audit help to find which; restore it from a backup of the home.",
    ),
}
LAYERS = {
    "network_namespace": "no network devices",
    "no_core_dumps": "memory stays out of crash files",
    "no_new_privs": "no new rights",
    "landlock": "reaches only its own files",
    "seccomp": "may open no network socket",
    "self_test": "tried to get out, and could not",
    "audit_hook": "Python reports attempts",
}
_LAYER_STATES = {"active": "● holds", "refused": "▲ refused", "unavailable": "○ not there"}


def state_words(state: RunState) -> str:
    """Return glyph and word of the state: `▶ training`, `◌ waiting, 2nd in line`."""
    glyph, word, _ = STATES.get(state.state, ("?", state.state, ""))
    if state.state == "queued" and state.position:
        return f"{glyph} waiting: {count(state.position, 'job')} before it"
    if state.state == "running":
        return f"{glyph} {phase_words(state)}"
    return f"{glyph} {word}"


def state_colour(state: RunState) -> str:
    """Return the colour token of the state."""
    return STATES.get(state.state, ("", "", "$foreground"))[2]


def kind_words(kind: str) -> str:
    """Return what a kind of job is called."""
    return _KINDS.get(kind, kind or "job")


def phase_words(state: RunState) -> str:
    """Return what the job is busy with."""
    phase = state.phase
    if phase == "training" and state.steps and state.step >= state.steps:
        phase = "publishing"
    words = PHASES.get(phase, phase.replace("_", " ") or "running")
    if state.total and phase in _MEASURED_PHASES:
        words += f" {min(100, 100 * state.done // state.total)} %"
    return words


def left_out(counts: Mapping[str, Any]) -> str:
    """Say which records are left out and why; empty where all are used."""
    skipped: dict[str, int] = {}
    for part in ("skipped", "validation_skipped"):
        told = counts.get(part)
        for reason, number in told.items() if isinstance(told, Mapping) else ():
            if isinstance(number, int) and number:
                skipped[str(reason)] = skipped.get(str(reason), 0) + number
    return ", ".join(
        f"{count(number)} {_SKIPPED.get(reason, reason.replace('_', ' '))}"
        for reason, number in skipped.items()
    )


def unsampled_words(event: Mapping[str, Any]) -> str:
    """Say why a sample that was asked for came to nothing."""
    code = str(event.get("code", ""))
    why = _UNSAMPLED.get(code, code.replace("_", " ") or "it could not be taken")
    return f"No sample: {why}. It trains on."


def ending_words(state: RunState) -> str:
    """Say how a run ended, what was kept and what can be done; empty while it works."""
    told = _ENDINGS.get(state.state)
    return "" if told is None else told(state)


def _kept(state: RunState) -> str:
    if state.checkpoint_step is None:
        return "It had written no checkpoint yet"
    if state.checkpoint_step == 0:
        return "The checkpoint from before the first step was kept"
    return f"The checkpoint of step {count(state.checkpoint_step)} was kept"


def _finished(state: RunState) -> str:
    first, last = state.loss_first, state.loss_last
    took = f" in {duration(state.seconds)}" if state.seconds else ""
    gain = f": loss {first:.3f} → {last:.3f}" if first is not None and last is not None else ""
    return f"Finished after {count(state.step, 'step')}{took}{gain}."


def _stopped(state: RunState) -> str:
    if state.adapter is None:
        return f"Stopped at step {count(state.step)}; no adapter came of it."
    return (
        f"Stopped at step {count(state.step)}; it cannot be resumed. "
        "What it had learnt by then was kept as an adapter."
    )


def _paused(state: RunState) -> str:
    why = "The disk was full, so it paused" if state.reason == "disk_full" else "Paused"
    free = " Free some space, then resume." if state.reason == "disk_full" else ""
    return (
        f"{why} at step {count(state.step)}. The device is free; Resume goes on from there.{free}"
    )


def _failed(state: RunState) -> str:
    code = str(state.error.get("code", ""))
    happened, hint = _ERRORS.get(code, ("", ""))
    place = f"{state.error.get('error_type', 'Error')} at {state.error.get('place', '?')}"
    happened = happened or f"The job failed ({place})."
    resume = " Resume tries again from it." if state.checkpoint_step is not None else ""
    return f"{happened} {_kept(state)}.{resume} {hint}".strip()


def _crashed(state: RunState) -> str:
    then = "Resume goes on from it." if state.checkpoint_step is not None else "Resume tries again."
    return (
        "The job ended without a word: it was killed, or the machine went down. "
        f"{_kept(state)}. {then}"
    )


def _damaged(_: RunState) -> str:
    return "This run's description cannot be read. It can be removed; its adapter stays."


_ENDINGS: Mapping[str, Callable[[RunState], str]] = {
    "finished": _finished,
    "stopped": _stopped,
    "paused": _paused,
    "failed": _failed,
    "crashed": _crashed,
    "damaged": _damaged,
}


def layer_lines(protection: Mapping[str, Any]) -> list[str]:
    """Return a line for each layer of the job's protection."""
    lines = []
    for name, told in protection.items():
        facts = told if isinstance(told, Mapping) else {}
        state = _LAYER_STATES.get(str(facts.get("state")), "? unknown")
        # Why a layer is missing matters here; how one was had stands in the run's record.
        detail = "" if facts.get("state") == "active" else str(facts.get("detail") or "")
        about = LAYERS.get(str(name), str(name).replace("_", " "))
        lines.append(f"{state:<12} {about}" + (f" ({detail})" if detail else ""))
    return lines
