"""Jobs that somebody waits for: started, followed to the end, their result read, then shredded.

Evaluations, chats and exports leave nothing behind: what they found out is in the result that
the front door reads, and their folder goes with its key, so that transcripts and answers do not
pile up. A front door that dies meanwhile leaves its lock free; the next unlock sweeps for it.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench import errors
from workbench.adapters.results import read_result
from workbench.errors import BadInput, Busy, DoesNotFit, JobFailed, Refused, VaultDamaged
from workbench.planning.probe import probe_hardware
from workbench.runs.follow import follow
from workbench.runs.launch import create_run, launch, making_run
from workbench.runs.protocol import Event, JobKind, RunSpec
from workbench.runs.state import RunState
from workbench.runs.steering import remove_run, stop
from workbench.vault.ids import new_id
from workbench.vault.locking import hold

if TYPE_CHECKING:
    from workbench.vault.store import Vault

Progress = Callable[[int, int, str], None]

_POLL_SECONDS = 0.05
_BEAT_SECONDS = 0.5
_STOP_SECONDS = 5.0


@dataclass(frozen=True)
class ShortJob:
    """What a short job is told.

    Attributes:
        kind: `evaluate`, `generate`, `export` or `probe`.
        objects: Role to object id; the job gets the keys of datasets and adapters among them.
        sealed: Names, paths and texts.
        read: What it reads outside the home.
        write: What it writes outside the home.
    """

    kind: JobKind
    objects: Mapping[str, str]
    sealed: Mapping[str, Any]
    read: Sequence[Path] = field(default=())
    write: Sequence[Path] = field(default=())


@dataclass(frozen=True)
class JobOutcome:
    """The sealed result of a job, and what its events said of it."""

    result: dict[str, Any]
    state: RunState


def run_job(vault: Vault, job: ShortJob, progress: Progress | None = None) -> JobOutcome:
    """Run a job to its end and return its result; its folder and its key are gone then.

    Raises:
        WorkbenchError: as `awaited_job`.
    """
    with awaited_job(vault, job, progress) as outcome:
        return outcome


@contextlib.contextmanager
def awaited_job(
    vault: Vault, job: ShortJob, progress: Progress | None = None
) -> Iterator[JobOutcome]:
    """Run a job to its end and yield its result; its folder and key go when the block ends.

    An interrupt (Ctrl+C), or whatever else `progress` raises, stops the job. It is called at least
    every half second, so that a job which is silent can be given up too.

    Raises:
        JobFailed: it crashed or was stopped.
        WorkbenchError: it was refused or could not use what it was given; the class and the code
            are those that it failed with.
    """
    run_id = new_id("ru")
    with _owned(vault, run_id):
        spec = _spec(run_id, job)
        with making_run(vault):
            run_key = vault.new_key(run_id)
            try:
                folder = create_run(vault, spec, job.sealed)
            except BaseException:
                vault.shred(run_id)
                raise
        try:
            keyed = [name for name in job.objects.values() if name.startswith(("ds-", "ad-"))]
            keys = [run_key, *(vault.key(name) for name in dict.fromkeys(keyed))]
            launch(folder, keys, read=job.read, write=job.write)
            teller = _Teller(progress)
            state = follow(folder, teller.told, until=teller.until_over, poll_seconds=_POLL_SECONDS)
            if state.state != "finished":
                raise failure(state)
            yield JobOutcome(read_result(folder, run_key), state)
        except BaseException:
            # Whoever waited is gone: so is the reason for the job.
            stop(vault.home, run_id, grace_seconds=_STOP_SECONDS)
            raise
        finally:
            with contextlib.suppress(Busy):
                remove_run(vault, run_id)


def _spec(run_id: str, job: ShortJob) -> RunSpec:
    return RunSpec(
        run=run_id,
        kind=job.kind,
        created=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        device=probe_hardware().device,
        objects=dict(job.objects),
    )


def is_owned(vault: Vault, run_id: str) -> bool:
    """Say whether a living front door waits for this job."""
    try:
        with hold(_lock_of(vault, run_id), wait=0.0):
            return False
    except Busy:
        return True


def forget_owner(vault: Vault, run_id: str) -> None:
    """Remove the lock file of a job that is gone."""
    _lock_of(vault, run_id).unlink(missing_ok=True)


@contextlib.contextmanager
def _owned(vault: Vault, run_id: str) -> Iterator[None]:
    try:
        with hold(_lock_of(vault, run_id)):
            yield
    finally:
        forget_owner(vault, run_id)


def _lock_of(vault: Vault, run_id: str) -> Path:
    return vault.locks_folder / f"owner-{run_id}.lock"


class _Teller:
    """Tells whoever waits how far the job is, and again while nothing changes."""

    def __init__(self, progress: Progress | None) -> None:
        self._progress = progress
        self._last = (0, 0, "starting")
        self._beat = 0.0

    def told(self, event: Event) -> None:
        if event["type"] == "progress":
            self._tell((int(event["done"]), int(event["total"]), str(event["phase"])))
        elif event["type"] in ("queued", "loading"):
            self._tell((0, 0, str(event["type"])))

    def until_over(self, state: RunState) -> bool:
        if not state.is_over and time.monotonic() - self._beat >= _BEAT_SECONDS:
            self._tell(self._last)
        return state.is_over

    def _tell(self, last: tuple[int, int, str]) -> None:
        self._last, self._beat = last, time.monotonic()
        if self._progress is not None:
            self._progress(*last)


# What a job may fail with, told again in the front door: events carry codes and no messages.
_TOLD: dict[str, tuple[str, str]] = {
    "base_mismatch": (
        "The adapter was trained on another base than this model, bit for bit.",
        "Use the model it was trained on; `workbench adapter show` names it.",
    ),
    "fidelity": (
        "The written files did not answer as the adapter does; they were removed.",
        "Nothing else was changed. Please report the model's family and the method.",
    ),
    "model_changed": (
        "A file of the base model differs from what was registered.",
        "`workbench model verify` names it.",
    ),
    "adapter_mismatch": (
        "The adapter's weights do not fit its manifest or its base.",
        "`workbench adapter verify` checks its files.",
    ),
    "nothing_to_score": (
        "No record of this split can be scored.",
        "Choose another --split; `workbench dataset show` lists them.",
    ),
    "no_such_split": (
        "The dataset has no such split.",
        "`workbench dataset show` lists its splits.",
    ),
    "prompt_too_long": (
        "The conversation fills the model's whole context.",
        "Begin a new one, or shorten the question.",
    ),
    "no_adapter": (
        "All weights were trained, so there is no adapter to hand out on its own.",
        "Export with `--to safetensors`.",
    ),
    "unmergeable": (
        "The adapter holds more than low-rank changes and cannot be merged.",
        "Export it with `--to peft`.",
    ),
    "out_of_memory": (
        "The job ran out of memory; nothing was changed.",
        "Close other programs, or choose shorter records.",
    ),
}
_KEPT_CLASSES: tuple[type[errors.WorkbenchError], ...] = (
    BadInput,
    DoesNotFit,
    Refused,
    VaultDamaged,
)


def failure(state: RunState) -> errors.WorkbenchError:
    """Return the error that tells how a job ended which did not finish."""
    code = str(state.error.get("code", state.state))
    kind = getattr(errors, str(state.error.get("error_type", "")).rpartition(".")[2], None)
    message, hint = _TOLD.get(code, ("", ""))
    if code == "out_of_memory":
        return DoesNotFit(message, hint=hint, code=code)
    if isinstance(kind, type) and issubclass(kind, _KEPT_CLASSES):
        message = message or f"The {state.kind} job could not use what it was given ({code})."
        return kind(message, hint=hint, code=code)
    if message:
        return JobFailed(message, hint=hint, code=code)
    if state.state != "failed":
        return JobFailed(
            f"The {state.kind} job was {state.state}.", hint="Start it again.", code=state.state
        )
    return JobFailed(
        f"The {state.kind} job crashed: {state.error.get('error_type')} at "
        f"{state.error.get('place')}.",
        hint="Nothing was changed. Try again; if it repeats, report this line.",
        code=code,
    )
