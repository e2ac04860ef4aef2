"""Where a run stands: one value, made by folding its events from the first to the last.

Every reader uses this one reducer, so that a screen, a command and a test cannot disagree.
Re-attaching to a run is folding from zero again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from workbench.runs.job import JobFolder
from workbench.runs.protocol import Event, RunSpec

# The job's process has ended or is about to; `crashed` is never told, it is concluded.
OVER = frozenset({"finished", "stopped", "failed", "paused", "crashed", "damaged"})
RESUMABLE = frozenset({"paused", "failed", "crashed"})

_CURVE_POINTS = 512
_EVALUATIONS = 512
_NEVER_LAUNCHED_AFTER_SECONDS = 60.0


@dataclass(frozen=True)
class RunState:
    """What is known about a run without the passphrase.

    Attributes:
        state: starting, queued, running, pausing, paused, stopping, finished, stopped, failed,
            crashed (no ending was told and nobody holds the lock), damaged (no readable spec).
        phase: What the job is busy with, as a code: `loading`, `training`, `publishing`, …
        done: How far that phase is, and `total` of how much; 0 = unknown.
        loss: Of the latest step; `loss_first` and `loss_last` are the curve's two ends.
        curve: (step, loss), thinned to at most 512 points that span the whole run.
        evaluations: (step, held-out loss), the latest 512.
        tokens: Counted so far; `seconds` is the time of those steps alone.
        memory: Bytes at the latest step: allocated, reserved, peak, host.
        samples: How many samples the model has given; `unsampled` counts those that it could not
            give.
        sample: The figures of the latest of either: number, step, records, … or step and code.
        adjustments: What out-of-memory changed: {reason, micro_batch, accumulate, …}.
        counts: Figures of loading and preparing: parameters, trainable, records, …
        totals: The fields of the ending.
        error: {error_type, place, code} of a failure.
        reason: Why the job paused or ended by itself, as a code: `disk_full`, …
    """

    run: str
    kind: str = ""
    state: str = "starting"
    created: str = ""
    device: str = ""
    objects: Mapping[str, str] = field(default_factory=dict)
    pid: int | None = None
    position: int = 0
    phase: str = ""
    done: int = 0
    total: int = 0
    step: int = 0
    steps: int = 0
    loss: float | None = None
    loss_first: float | None = None
    loss_last: float | None = None
    learning_rate: float | None = None
    grad_norm: float | None = None
    curve: tuple[tuple[int, float], ...] = ()
    curve_stride: int = 1
    evaluations: tuple[tuple[int, float], ...] = ()
    tokens: int = 0
    seconds: float = 0.0
    tokens_per_second: float | None = None
    eta_seconds: float | None = None
    memory: Mapping[str, Any] = field(default_factory=dict)
    peak_bytes: int | None = None
    predicted_bytes: int | None = None
    checkpoint_step: int | None = None
    checkpoints: int = 0
    samples: int = 0
    unsampled: int = 0
    sample: Mapping[str, Any] = field(default_factory=dict)
    adapter: str | None = None
    adjustments: tuple[Mapping[str, Any], ...] = ()
    counts: Mapping[str, Any] = field(default_factory=dict)
    totals: Mapping[str, Any] = field(default_factory=dict)
    protection: Mapping[str, Any] = field(default_factory=dict)
    error: Mapping[str, Any] = field(default_factory=dict)
    reason: str | None = None
    started: float | None = None
    ended: float | None = None
    sequence: int = 0

    @property
    def is_over(self) -> bool:
        """Whether the job's process has ended or is about to."""
        return self.state in OVER

    @property
    def is_resumable(self) -> bool:
        """Whether the run can go on from its last checkpoint."""
        return self.state in RESUMABLE

    @property
    def eval_loss(self) -> float | None:
        """The latest held-out loss."""
        return self.evaluations[-1][1] if self.evaluations else None

    def to_json(self) -> dict[str, Any]:
        """Return the fields of `run show`, the contract's names among them."""
        fields = asdict(self)
        del fields["curve_stride"]
        return {**fields, "eval_loss": self.eval_loss, "resumable": self.is_resumable}


def first_state(spec: RunSpec) -> RunState:
    """Return the state before any event."""
    predicted = spec.numbers.get("predicted_bytes")
    return RunState(
        run=spec.run,
        kind=spec.kind,
        created=spec.created,
        device=spec.device,
        objects=dict(spec.objects),
        steps=int(spec.numbers.get("steps", 0)),
        predicted_bytes=None if predicted is None else int(predicted),
    )


def fold(state: RunState, event: Event) -> RunState:
    """Return the state after `event`; unknown types and fields change nothing but the sequence."""
    told = _known(event)
    change = _REDUCERS.get(str(event["type"]))
    following = state if change is None else change(state, told)
    return replace(following, sequence=event["seq"])


def fold_all(state: RunState, events: Iterable[Event]) -> RunState:
    """Fold several events, oldest first."""
    for event in events:
        state = fold(state, event)
    return state


# What the reducers read, and as what: a forged or future value of another type is left out.
_INTEGERS = {
    "position", "pid", "step", "steps", "tokens", "done", "total", "bytes", "peak_bytes",
    "predicted_bytes", "number",
}  # fmt: skip
_FLOATS = {
    "t", "loss", "lr", "seconds", "tokens_per_second", "eta_seconds", "grad_norm", "loss_first",
    "loss_last",
}  # fmt: skip
_MAPPINGS = {"layers", "memory"}
_STRINGS = {"phase", "adapter", "reason"}


_KINDS: dict[str, type | tuple[type, ...]] = {
    **dict.fromkeys(_INTEGERS, int),
    **dict.fromkeys(_FLOATS, (int, float)),
    **dict.fromkeys(_MAPPINGS, dict),
    **dict.fromkeys(_STRINGS, str),
}


def _known(event: Event) -> dict[str, Any]:
    return {
        name: value
        for name, value in event.items()
        if name not in _KINDS or (isinstance(value, _KINDS[name]) and not isinstance(value, bool))
    }


def _facts(event: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in event.items() if name not in {"v", "seq", "t", "type"}}


def _launched(state: RunState, event: Event) -> RunState:
    # The first start is the run's; a later one belongs to a resume and undoes the ending.
    return replace(
        state,
        state="starting",
        phase="starting",
        started=state.started or event["t"],
        ended=None,
        reason=None,
        error={},
        totals={},
    )


def _queued(state: RunState, event: Event) -> RunState:
    return replace(state, state="queued", position=event.get("position", 0))


def _started(state: RunState, event: Event) -> RunState:
    return replace(_launched(state, event), state="running", pid=event.get("pid"))


def _protected(state: RunState, event: Event) -> RunState:
    return replace(state, protection=event.get("layers", {}))


def _loading(state: RunState, event: Event) -> RunState:
    return replace(state, state="running", phase="loading", done=0, total=0)


def _counted(state: RunState, event: Event) -> RunState:
    return replace(
        state,
        counts={**state.counts, **_facts(event)},
        predicted_bytes=event.get("predicted_bytes", state.predicted_bytes),
        steps=event.get("steps", state.steps),
    )


def _stepped(state: RunState, event: Event) -> RunState:
    loss, step = event.get("loss"), event.get("step", state.step)
    memory = event.get("memory", state.memory)
    following = replace(
        state,
        state="running",
        phase="training",
        step=step,
        steps=event.get("steps", state.steps),
        learning_rate=event.get("lr"),
        grad_norm=event.get("grad_norm"),
        tokens=event.get("tokens", state.tokens),
        seconds=event.get("seconds", state.seconds),
        tokens_per_second=event.get("tokens_per_second", state.tokens_per_second),
        eta_seconds=event.get("eta_seconds"),
        memory=memory,
        peak_bytes=_larger(state.peak_bytes, memory.get("peak")),
    )
    return following if loss is None else _with_loss(following, step, float(loss))


def _with_loss(state: RunState, step: int, loss: float) -> RunState:
    # A run that went on from a checkpoint repeats steps: the later telling stands.
    curve = list(state.curve)
    while curve and curve[-1][0] >= step:
        curve.pop()
    stride = state.curve_stride
    if not curve or step - curve[-1][0] >= stride:
        curve.append((step, loss))
    if len(curve) > _CURVE_POINTS:
        curve, stride = curve[::2], stride * 2
    first = loss if state.loss_first is None or step <= 1 else state.loss_first
    return replace(
        state,
        loss=loss,
        loss_first=first,
        loss_last=loss,
        curve=tuple(curve),
        curve_stride=stride,
    )


def _evaluated(state: RunState, event: Event) -> RunState:
    loss, step = event.get("loss"), event.get("step", state.step)
    if loss is None:
        return state
    kept = [item for item in state.evaluations if item[0] < step]
    return replace(state, evaluations=(*kept, (step, float(loss)))[-_EVALUATIONS:])


def _checkpointed(state: RunState, event: Event) -> RunState:
    step = event.get("step", state.step)
    return replace(state, checkpoint_step=step, checkpoints=state.checkpoints + 1)


def _paused(state: RunState, event: Event) -> RunState:
    # A job that left before it had loaded anything tells step 0; the run stands where it stood.
    step = event.get("step") or state.step
    return replace(
        state,
        state="paused",
        step=step,
        ended=event["t"],
        eta_seconds=None,
        reason=event.get("reason"),
    )


def _resumed(state: RunState, event: Event) -> RunState:
    return replace(state, state="running", step=event.get("step", state.step), ended=None)


def _adjusted(state: RunState, event: Event) -> RunState:
    return replace(state, adjustments=(*state.adjustments, _facts(event))[-_EVALUATIONS:])


def _sampled(state: RunState, event: Event) -> RunState:
    # Counted by its own number: a reader of both ends of the file knows how many there were.
    number = event.get("number", state.samples + 1)
    return replace(state, phase="training", samples=number, sample=_facts(event))


def _not_sampled(state: RunState, event: Event) -> RunState:
    return replace(state, phase="training", unsampled=state.unsampled + 1, sample=_facts(event))


def _progressed(state: RunState, event: Event) -> RunState:
    return replace(
        state,
        phase=event.get("phase", state.phase),
        done=event.get("done", 0),
        total=event.get("total", 0),
    )


def _published(state: RunState, event: Event) -> RunState:
    return replace(state, adapter=event.get("adapter", state.adapter))


def _ended(state: RunState, event: Event) -> RunState:
    kind = str(event["type"])
    failed = kind == "failed"
    return replace(
        state,
        state=kind,
        ended=event["t"],
        eta_seconds=None,
        step=event.get("step") or state.step,
        tokens=event.get("tokens", state.tokens),
        tokens_per_second=event.get("tokens_per_second", state.tokens_per_second),
        loss_first=event.get("loss_first", state.loss_first),
        loss_last=event.get("loss_last", state.loss_last),
        peak_bytes=_larger(state.peak_bytes, event.get("peak_bytes")),
        predicted_bytes=event.get("predicted_bytes", state.predicted_bytes),
        reason=event.get("reason"),
        totals={} if failed else _facts(event),
        error=_facts(event) if failed else {},
    )


def _larger(known: int | None, told: object) -> int | None:
    if not isinstance(told, int):
        return known
    return told if known is None else max(known, told)


_REDUCERS: dict[str, Callable[[RunState, Event], RunState]] = {
    "launched": _launched,
    "queued": _queued,
    "started": _started,
    "protection": _protected,
    "loading": _loading,
    "loaded": _counted,
    "measured": _counted,
    "step": _stepped,
    "evaluated": _evaluated,
    "checkpointed": _checkpointed,
    "paused": _paused,
    "resumed": _resumed,
    "adjusted": _adjusted,
    "sampled": _sampled,
    "not_sampled": _not_sampled,
    "progress": _progressed,
    "published": _published,
    "finished": _ended,
    "stopped": _ended,
    "failed": _ended,
}


def current_state(run_folder: Path) -> RunState:
    """Return where the run stands now.

    Raises:
        NotFound: there is no such run. BadInput: its spec is damaged.
        Refused: code `newer_format`.
    """
    folder = JobFolder(run_folder)
    spec = folder.spec()
    # Looked at before the events: a job that ends in between has told its ending by then.
    alive = folder.is_alive()
    state = fold_all(first_state(spec), folder.events().poll())
    return settle(state, folder, alive=alive)


def settle(state: RunState, folder: JobFolder, *, alive: bool) -> RunState:
    """Add to the events' account what only the lock and the control file know.

    Args:
        alive: Whether the lock was held before the events were read.
    """
    if state.state in OVER:
        return state
    if not alive:
        return state if _is_being_launched(state, folder) else replace(state, state="crashed")
    process = folder.process()
    state = replace(state, pid=process.pid if process else state.pid)
    asked = [request.command for request in folder.requests().poll()]
    if "stop" in asked:
        return replace(state, state="stopping")
    return replace(state, state="pausing") if "pause" in asked else state


def _is_being_launched(state: RunState, folder: JobFolder) -> bool:
    """Say whether the front door may still be between making the folder and taking its lock."""
    if folder.lock_file.exists():
        return False
    try:
        created = datetime.fromisoformat(state.created)
    except ValueError:
        return False
    if created.tzinfo is None:
        created = created.replace(tzinfo=UTC)
    return abs(time.time() - created.timestamp()) < _NEVER_LAUNCHED_AFTER_SECONDS
