"""What a run changed of itself to go on, in a sentence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from workbench.wording import count


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
    if event.get("reason") == "out_of_memory":
        return f"Memory ran out. It goes on with {what}: slower, with the same result."
    return f"It goes on with {what}."
