"""A run's events as lines of its log."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

from workbench.runs.adjustments import adjustment_words
from workbench.runs.protocol import Event
from workbench.tui.widgets.run_words import PHASES, left_out, unsampled_words
from workbench.wording import count, size


class EventTeller:
    """Turns events into log lines; it remembers what the job was told to be busy with."""

    def __init__(self) -> None:
        self._phase = ""

    def line(self, event: Event) -> str | None:
        """Return `HH:MM:SS  sentence`, or None for what needs no line of its own."""
        sentence = self._sentence(event)
        if not sentence:
            return None
        try:
            clock = datetime.fromtimestamp(event["t"]).strftime("%H:%M:%S")
        except (ValueError, OverflowError, OSError):
            clock = "--:--:--"
        return f"{clock}  {sentence}"

    def _sentence(self, event: Event) -> str:
        kind = str(event["type"])
        if kind == "progress":
            phase = str(event.get("phase", ""))
            if phase == self._phase:
                return ""
            self._phase = phase
            return "" if phase == "loading" else f"Now {PHASES.get(phase, phase)}."
        tell = _SENTENCES.get(kind)
        if tell is None:
            return ""
        try:
            return tell(event)
        except (KeyError, TypeError, ValueError, AttributeError):  # a field of another kind
            return f"{kind}."


def _measured(event: Event) -> str:
    told = ", ".join(count(event[f"{noun}s"], noun) for noun in ("record", "token", "step"))
    out = left_out(event)
    return f"{told}; left out: {out}." if out else f"{told}; none left out."


def _tell_protection(event: Event) -> str:
    layers = event["layers"]
    holding = sum(1 for told in layers.values() if told.get("state") == "active")
    return f"Locked down: {holding} of {len(layers)} layers hold."


def _tell_checkpoint(event: Event) -> str:
    best = ", the best so far" if event.get("best") else ""
    return f"Step {count(event['step'])}: checkpoint sealed{best}."


_SENTENCES: Mapping[str, Callable[[Event], str]] = {
    "launched": lambda event: "Launched.",
    "queued": lambda event: f"Waiting for the device: {count(event['position'], 'job')} before it.",
    "started": lambda event: "Started again." if event.get("resumed") else "Started.",
    "protection": _tell_protection,
    "loading": lambda event: "Loading the model.",
    "loaded": lambda event: (
        f"Model loaded; {count(event['trainable'])} of {count(event['parameters'])} "
        "parameters will be trained."
    ),
    "measured": _measured,
    "evaluated": lambda event: f"Step {count(event['step'])}: held-out loss {event['loss']:.3f}.",
    "checkpointed": _tell_checkpoint,
    "paused": lambda event: "Paused; the device is free.",
    "resumed": lambda event: f"Goes on from step {count(event['step'])}.",
    "adjusted": adjustment_words,
    "sampled": lambda event: (
        f"Step {count(event['step'])}: sample {count(event['number'])} taken, "
        f"{count(event['records'], 'record')} answered."
    ),
    "not_sampled": unsampled_words,
    "published": lambda event: f"Adapter sealed ({size(event['bytes'])}).",
    "finished": lambda event: "Finished.",
    "stopped": lambda event: "Stopped.",
    "failed": lambda event: f"Failed: {event['error_type']} at {event['place']}.",
}
