"""Records as a model will see them, before any training: in a child that is locked down first.

A stranger's chat template and tokenizer meet plaintext here. The child imports neither torch nor
transformers, has no network, limits on CPU time and memory, and writes nothing to a file; where the
kernel has Landlock, it can open the model's folder and the system's own files alone. Records reach
it through one pipe and what it made of them comes back through another; nothing of them stands in
arguments, environment or files.
"""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from workbench.airgap.landlock import LandlockPaths
from workbench.airgap.leaks import guard_tracebacks
from workbench.airgap.lockdown import Policy, lock_down
from workbench.errors import BadInput, Refused, WorkbenchError
from workbench.models import confined

if TYPE_CHECKING:
    from workbench.models.codec import Encoded, TextCodec

# A conversation of (role, content) pairs, or a plain text.
Sample: TypeAlias = Sequence[tuple[str, str]] | str

MOST_SAMPLES = 2_000
MOST_CHARACTERS = 8 << 20  # of all samples together
CPU_SECONDS = 40
WALL_SECONDS = 90.0
_LARGEST_REPLY = 128 << 20
_PIECE = 1 << 16
# Codes that concern one record; whatever else goes wrong concerns the model and ends the preview.
_OF_A_RECORD = frozenset({"template_refused_record", "template_not_prefix_stable", "bad_text"})
ALL_MASKED = "all_masked"
NO_END_TOKEN = "no_end_token"  # noqa: S105  a reason code


@dataclass(frozen=True, repr=False)
class Rendering:
    """One record as the model will see it.

    Attributes:
        pieces: The whole text in order: (text, whether it is learnt); empty where the record
            cannot be encoded, and where only lengths were asked for.
        tokens: How many tokens it has, 0 where it cannot be encoded.
        counted: How many of them are learnt.
        reason: Why training leaves the record out: `all_masked`, `no_end_token`,
            `template_refused_record`, `template_not_prefix_stable` or `bad_text`; else empty.
            Whether it is too long depends on the context, which is chosen later.
    """

    pieces: tuple[tuple[str, bool], ...]
    tokens: int
    counted: int
    reason: str


def render(
    model_folder: Path,
    samples: Sequence[Sample],
    *,
    whole: int = MOST_SAMPLES,
    cpu_seconds: int = CPU_SECONDS,
) -> list[Rendering]:
    """Return each sample as the model in `model_folder` will see it.

    Args:
        model_folder: A folder of the shelf, with tokenizer.json and chat template.
        samples: At most `MOST_SAMPLES`, and `MOST_CHARACTERS` in all; those beyond are left out.
        whole: How many, from the first, come with their text; the others are only measured.
        cpu_seconds: The child is killed when it has computed for so long.

    Raises:
        BadInput: Tokenizer or template are broken, or took too much time or memory
            (`template_over_budget`, `preview_stopped`).
        Refused: The template reaches for what the sandbox forbids, or this machine cannot lock
            the child down (`not_sealed`).
    """
    taken = _bounded(samples)
    if not taken:
        return []
    request = json.dumps({"samples": taken, "whole": whole}).encode()
    told = _exchange(model_folder.resolve(), request, cpu_seconds)
    confined.raise_told(told)
    try:
        found = [
            Rendering(tuple((str(t), bool(on)) for t, on in pieces), int(n), int(of), str(why))
            for pieces, n, of, why in told["renderings"]
        ]
    except (KeyError, TypeError, ValueError):
        raise _stopped() from None
    if len(found) != len(taken):
        raise _stopped()
    return found


def measure(model_folder: Path, samples: Sequence[Sample]) -> list[Rendering]:
    """Return what `render` does without the text, for many samples at once; raises as it does."""
    return render(model_folder, samples, whole=0)


def _bounded(samples: Sequence[Sample]) -> list[Any]:
    taken: list[Any] = []
    room = MOST_CHARACTERS
    for sample in samples[:MOST_SAMPLES]:
        plain = sample if isinstance(sample, str) else [list(turn) for turn in sample]
        room -= len(plain) if isinstance(plain, str) else sum(len(turn[1]) for turn in plain)
        if room < 0:
            break
        taken.append(plain)
    return taken


def _exchange(folder: Path, request: bytes, cpu_seconds: int) -> dict[str, Any]:
    """Start the child, hand it the request, and return its reply, read within bounds."""
    with subprocess.Popen(
        confined.command("workbench.models.previewing", str(folder), str(cpu_seconds)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=confined.ENVIRONMENT,
        bufsize=0,
    ) as child:
        try:
            reply = _talk(child, request, time.monotonic() + WALL_SECONDS)
        finally:
            child.kill()
    try:
        told = json.loads(reply)
    except (ValueError, RecursionError):
        raise _stopped() from None
    if not isinstance(told, dict):
        raise _stopped()
    return told


def _talk(child: subprocess.Popen[bytes], request: bytes, deadline: float) -> bytes:
    """Write and read at the same time: either pipe alone may fill up and block."""
    if child.stdin is None or child.stdout is None:
        raise TypeError("both ends are pipes")
    os.set_blocking(child.stdin.fileno(), False)
    reply: list[bytes] = []
    room = _LARGEST_REPLY
    left = memoryview(request)
    with selectors.DefaultSelector() as waiting:
        waiting.register(child.stdin, selectors.EVENT_WRITE)
        waiting.register(child.stdout, selectors.EVENT_READ)
        while waiting.get_map():
            ready = waiting.select(max(deadline - time.monotonic(), 0))
            if not ready:
                raise _stopped()
            for key, _ in ready:
                if key.fileobj is child.stdin:
                    left = _sent(child.stdin.fileno(), left)
                    if not left:
                        waiting.unregister(child.stdin)
                        child.stdin.close()
                    continue
                part = os.read(child.stdout.fileno(), _PIECE)
                room -= len(part)
                if room < 0:
                    raise _stopped()
                reply.append(part)
                if not part:
                    return b"".join(reply)
    return b"".join(reply)


def _sent(descriptor: int, left: memoryview) -> memoryview:
    try:
        return left[os.write(descriptor, left[:_PIECE]) :]
    except BrokenPipeError:  # the child is gone; what it told meanwhile decides
        return left[:0]


def _stopped() -> BadInput:
    return BadInput(
        "The preview was stopped: the model's tokenizer or chat template takes too much time or "
        "memory.",
        hint="Choose another model for the preview, or compare this one's files with the "
        "publisher's.",
        code="preview_stopped",
    )


# The child's side


def answer(folder: Path, request: dict[str, Any]) -> dict[str, Any]:
    """Return what the parent is told, as plain JSON values."""
    # Imported under the limits and the lock-down, like everything that parses a stranger's files.
    from workbench.models.codec import TextCodec

    try:
        codec = TextCodec.open(folder)
        whole = int(request["whole"])
        made = [
            _rendered(codec, sample, whole=place < whole)
            for place, sample in enumerate(request["samples"])
        ]
    except WorkbenchError as error:
        return confined.told(error)
    return {"renderings": made}


def _rendered(codec: TextCodec, sample: Any, *, whole: bool) -> list[Any]:
    try:
        if isinstance(sample, str):
            encoded = codec.encode_text(sample)
        else:
            encoded = codec.encode_chat([(role, content) for role, content in sample])
    except BadInput as error:
        if error.code not in _OF_A_RECORD:
            raise
        return [[], 0, 0, error.code]
    pieces = codec.cut(encoded) if whole else []
    return [pieces, len(encoded.ids), sum(encoded.counted), _reason(encoded)]


def _reason(encoded: Encoded) -> str:
    # As training judges: the first token is never predicted, so it alone teaches nothing.
    if not any(encoded.counted[1:]):
        return ALL_MASKED
    return "" if encoded.ended else NO_END_TOKEN


def main(folder: str, cpu_seconds: str) -> None:
    """Lock down, read the request from the standard input, print the reply."""
    guard_tracebacks()
    confined.limit(int(cpu_seconds))
    try:
        lock_down(Policy(landlock=LandlockPaths(read=(Path(folder),))))
    except Refused as error:
        told = confined.told(error)
    else:
        told = answer(Path(folder), json.loads(sys.stdin.buffer.read()))
    sys.stdout.buffer.write(json.dumps(told).encode())


if __name__ == "__main__":
    main(*sys.argv[1:])
