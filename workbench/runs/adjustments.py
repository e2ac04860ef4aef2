"""What a run changed of itself to go on, in a sentence."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from workbench.text import printable
from workbench.wording import count, size


def adjustment_words(event: Mapping[str, Any]) -> str:
    """Say what an `adjusted` event changed."""
    micro, accumulate = event.get("micro_batch"), event.get("accumulate")
    parts = (
        [f"{count(micro, 'row')} at a time", f"{count(accumulate, 'time')} a step"]
        if isinstance(micro, int) and isinstance(accumulate, int)
        else ["fewer rows at a time"]
    )
    recomputed = event.get("recomputed_layers")
    if isinstance(recomputed, int) and recomputed:
        parts.append(f"{count(recomputed, 'layer')} computed twice")
    if event.get("offload") is True:
        parts.append("inner values kept in main memory")
    what = ", ".join(parts)
    if event.get("reason") != "out_of_memory":
        return f"It goes on with {what}."
    return f"Memory ran out. It goes on with {what}: slower, with the same result.{_other(event)}"


def _other(event: Mapping[str, Any]) -> str:
    """Name who holds memory beside the run; events hold its number only."""
    pid, held = event.get("other_pid"), event.get("other_bytes")
    if not isinstance(pid, int) or not isinstance(held, int):
        return ""
    try:
        name = printable(Path(f"/proc/{pid}/comm").read_text("utf-8", "replace").strip(), limit=16)
    except OSError:
        name = ""
    called = f"{name} (process {pid})" if name else f"process {pid}, which has ended since,"
    return f" Beside it, {called} held {size(held)} of the GPU."
