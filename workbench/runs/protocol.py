"""The one protocol between front doors and jobs: what stands in a run's plain files.

`spec.json` is written once, before the launch. `events.jsonl` has one writer, the holder of the
run's lock: the engine while it lives, a front door only to tell a launch and the stop of a run
that has no process. `control.jsonl` takes commands from front doors.
All three hold numbers, switches, ids and short codes only (see `values`), so they need no
passphrase to be read and no record text can leak through them.

Commands carry `v`, `id`, `t` and `command`. The job obeys them between two pieces of work:

==============  ==================================================================================
pause           checkpoint and leave the device
stop            checkpoint, publish what was learnt, and end for good
checkpoint      write a checkpoint after the step at hand
sample          after the step at hand, let the model answer a few held-out records
resume          no command to the job: what stands before it was meant for an earlier process
==============  ==================================================================================

Events carry `v` (format version), `seq` (1, 2, …), `t` (Unix seconds) and `type`:

==============  ==================================================================================
launched        written by the launcher, before the job's process exists
queued          position (1 = next)
started         pid, resumed
protection      layers: {layer: {state, detail}}
loading         -
loaded          parameters, trainable, base_sha256, predicted_bytes
measured        records, tokens, skipped: {reason: count}, micro_batch, accumulate, offload
step            step, steps, loss, lr, tokens and seconds (totals since step 1, time of steps only),
                tokens_per_second, eta_seconds, grad_norm,
                memory: {allocated, reserved, peak, host} in bytes
evaluated       step, loss, tokens
checkpointed    step, bytes, best
paused          step; the engine exits, the device is free
resumed         step
adjusted        reason, micro_batch, accumulate, recomputed_layers, offload; other_pid, other_bytes:
                who holds most of the GPU beside the run
sampled         number (1, 2, …), step, records, held_out, tokens, seconds; the answers themselves
                are sealed in `samples/` (see `samples`)
not_sampled     step, code: why a sample that was asked for came to nothing
progress        phase, done, total (0 = unknown)
published       adapter, bytes, sha256
finished        whatever totals the job has: loss_first, loss_last, tokens, peak_bytes, …
stopped         step
failed          error_type, place ("package.module:line"), code
==============  ==================================================================================

Unknown types and fields are ignored by readers of the same version.
"""

from __future__ import annotations

import json
import os
import secrets
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, get_args

from workbench.durable import append_line, open_private
from workbench.errors import BadInput, Refused
from workbench.runs.lines import LineTail
from workbench.runs.values import Plain, is_code, is_object_id, plain

VERSION = 1
JobKind = Literal["train", "evaluate", "generate", "export", "probe"]
Command = Literal["pause", "resume", "stop", "checkpoint", "sample"]
Event = dict[str, Any]

JOB_KINDS: tuple[str, ...] = get_args(JobKind)
COMMANDS: tuple[str, ...] = get_args(Command)
FINAL_TYPES = frozenset({"finished", "stopped", "failed"})

# After one of these a power cut must not bring back an older truth.
_SYNCED_TYPES = FINAL_TYPES | {"checkpointed", "paused", "published", "protection", "adjusted"}
_CHUNK = 64 * 1024


@dataclass(frozen=True)
class RunSpec:
    """What may be known about a run without the passphrase: ids, numbers and codes only.

    Attributes:
        run: The run's object id, `ru-…`.
        kind: Which job the engine does.
        created: ISO 8601 UTC, for example `2026-01-31T12:00:00Z`.
        device: The device queue that the job waits in, for example `cpu` or `cuda-0`.
        objects: Role to object id: `model`, `dataset`, `adapter`, `adapter_2`, …
        numbers: Figures that help a reader: `steps`, `predicted_bytes`, …
        version: Format of this file.
    """

    run: str
    kind: JobKind
    created: str
    device: str
    objects: Mapping[str, str] = field(default_factory=dict)
    numbers: Mapping[str, int | float] = field(default_factory=dict)
    version: int = VERSION

    def __post_init__(self) -> None:
        """Refuse anything but ids, numbers and codes.

        Raises:
            BadInput: code `bad_run_spec`, or `newer_format` for a version of the future.
        """
        _check_version(self.version)
        numbers = all(
            is_code(key) and isinstance(number, int | float) and not isinstance(number, bool)
            for key, number in self.numbers.items()
        )
        objects = all(is_code(role) and is_object_id(name) for role, name in self.objects.items())
        valid = (
            is_object_id(self.run)
            and self.kind in JOB_KINDS
            and _is_moment(self.created)
            and is_code(self.device)
            and numbers
            and objects
        )
        if not valid:
            raise BadInput(
                "The run's specification holds something else than ids, numbers and codes.",
                code="bad_run_spec",
            )

    def to_json(self) -> dict[str, Plain]:
        """Return the file's JSON object."""
        return {**asdict(self), "objects": dict(self.objects), "numbers": dict(self.numbers)}

    @classmethod
    def from_json(cls, data: object) -> RunSpec:
        """Read the file's JSON object.

        Raises:
            BadInput: code `bad_run_spec` or `newer_format`.
        """
        names = {"version", "run", "kind", "created", "device", "objects", "numbers"}
        if isinstance(data, dict):
            _check_version(data.get("version"))
        if (
            not isinstance(data, dict)
            or set(data) != names
            or not isinstance(data["objects"], dict)
            or not isinstance(data["numbers"], dict)
        ):
            raise BadInput("The run's specification is damaged.", code="bad_run_spec")
        return cls(**data)


def _is_moment(value: object) -> bool:
    try:
        return isinstance(value, str) and len(value) < 40 and bool(datetime.fromisoformat(value))
    except ValueError:
        return False


def _check_version(version: object) -> None:
    if isinstance(version, int) and version > VERSION:
        raise Refused(
            "This run was written by a newer version of the workbench.",
            hint="Install that version to read it; nothing was changed.",
            code="newer_format",
        )
    if version != VERSION:
        raise BadInput("The run's format version cannot be read.", code="bad_run_spec")


def _encode(fields: Mapping[str, object]) -> bytes:
    checked = {name: plain(item) for name, item in fields.items()}
    return json.dumps(checked, separators=(",", ":"), allow_nan=False).encode("ascii")


def _decode(line: bytes) -> Event | None:
    """Return the line's event; None for a torn or forged one."""
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(event, dict):
        return None
    version = event.get("v")
    if isinstance(version, int) and version > VERSION:
        _check_version(version)
    try:
        event = {name: plain(item) for name, item in event.items() if is_code(name)}
    except BadInput:
        return None
    whole = isinstance(event.get("seq"), int) and isinstance(event.get("t"), int | float)
    return event if version == VERSION and whole and is_code(event.get("type")) else None


def decode_events(data: bytes) -> list[Event]:
    """Return the events of a piece of `events.jsonl`; torn and forged lines are left out.

    Raises:
        Refused: code `newer_format`.
    """
    decoded = (_decode(line) for line in data.split(b"\n") if line)
    return [event for event in decoded if event is not None]


class EventWriter:
    """Appends events to `events.jsonl`; use it only while holding the run's lock.

    Each event reaches the kernel before `write` returns, and the disk for those that a reader
    must never lose (checkpoints, pauses, endings). Writing continues the numbering of what is
    there; a torn last line that a killed writer left is closed first and spoils only itself.
    """

    def __init__(self, path: Path) -> None:
        self._descriptor = open_private(path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
        self._sequence, self._torn = _last_sequence(self._descriptor)

    def write(self, type: str, **fields: object) -> Event:
        """Append one event and return it.

        Raises:
            BadInput: code `not_plain` for text or anything else that may not stand there.
            OSError: the disk is full or failing; the next write closes what was torn.
        """
        moment = round(time.time(), 3)
        # Counted first: a job that is interrupted in here leaves a number out, and repeats none.
        self._sequence += 1
        head = {"v": VERSION, "seq": self._sequence, "t": moment, "type": type}
        clash = head.keys() & fields.keys()
        if clash:
            raise BadInput(f"An event's field may not be called {min(clash)}.", code="not_plain")
        line = _encode({**head, **fields}) + b"\n"
        if self._torn:
            line = b"\n" + line
        written = 0
        try:
            while written < len(line):
                # Set before each write: a part of the line may land even when the call fails.
                self._torn = True
                written += os.write(self._descriptor, line[written:])
        except OSError:
            self._sequence -= 1
            raise
        self._torn = False
        if type in _SYNCED_TYPES:
            os.fsync(self._descriptor)
        return {**head, **fields}

    def close(self) -> None:
        """Flush to the disk and close."""
        if self._descriptor >= 0:
            try:
                os.fsync(self._descriptor)
            finally:
                os.close(self._descriptor)
                self._descriptor = -1

    def __enter__(self) -> EventWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _last_sequence(descriptor: int) -> tuple[int, bool]:
    """Return the last event's number and whether the file ends inside a line."""
    size = os.fstat(descriptor).st_size
    if size == 0:
        return 0, False
    torn = os.pread(descriptor, 1, size - 1) != b"\n"
    span = _CHUNK
    while True:
        start = max(0, size - span)
        lines = os.pread(descriptor, size - start, start).split(b"\n")
        for line in reversed(lines if start == 0 else lines[1:]):
            event = _decode(line)
            if event is not None:
                return int(event["seq"]), torn
        if start == 0:
            return 0, torn
        span *= 8


class EventTail:
    """Reads `events.jsonl` from its beginning and then follows it."""

    def __init__(self, path: Path) -> None:
        self._tail = LineTail(path)

    def poll(self) -> list[Event]:
        """Return the events that arrived since the last call, torn and forged lines left out.

        Raises:
            Refused: code `newer_format`: a newer version of the workbench writes this run.
            NotFound: code `run_gone`: the run was removed meanwhile.
        """
        decoded = (_decode(line) for line in self._tail.lines() if line)
        return [event for event in decoded if event is not None]


@dataclass(frozen=True)
class Request:
    """One command that a front door wrote: its id and what it asks for."""

    id: str
    command: Command


class ControlFile:
    """The front doors' end of `control.jsonl`."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def send(self, command: Command) -> str:
        """Append one command durably and return its id.

        Raises:
            BadInput: no such command.
        """
        if command not in COMMANDS:
            raise BadInput("There is no such command for a run.", code="bad_command")
        name = secrets.token_hex(8)
        moment = round(time.time(), 3)
        append_line(
            self._path, _encode({"v": VERSION, "id": name, "t": moment, "command": command})
        )
        return name


class ControlTail:
    """The engine's end of `control.jsonl`.

    What was asked before the latest `resume` was meant for an earlier process and is left out;
    what was asked since, even before this process started, is delivered.
    """

    def __init__(self, path: Path) -> None:
        self._tail = LineTail(path)

    def poll(self) -> list[Request]:
        """Return the commands that arrived since the last call, oldest first.

        Raises:
            Refused: code `newer_format`.
            NotFound: code `run_gone`.
        """
        found: list[Request] = []
        for line in self._tail.lines():
            request = _decode_request(line)
            if request is None:
                continue
            if request.command == "resume":
                found.clear()
            else:
                found.append(request)
        return found


def _decode_request(line: bytes) -> Request | None:
    try:
        data = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(data, dict):
        return None
    if isinstance(data.get("v"), int) and data["v"] > VERSION:
        _check_version(data["v"])
    if data.get("v") != VERSION or data.get("command") not in COMMANDS:
        return None
    return Request(data["id"], data["command"]) if is_code(data.get("id")) else None
