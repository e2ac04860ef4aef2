"""How the learning rate rises and falls over a run."""

from __future__ import annotations

import math


def learning_rate(step: int, steps: int, *, peak: float, warmup: float, shape: str) -> float:
    """Return the learning rate of optimizer step `step` (1 … steps).

    It rises in a straight line over the first ceil(warmup * steps) steps and reaches `peak` with
    the last of them; then `cosine` and `linear` fall towards zero, which the step after the last
    would reach, and `constant` stays.
    """
    rising = math.ceil(warmup * steps)
    if step <= rising:
        return peak * step / rising
    if shape == "constant":
        return peak
    gone = (step - rising - 1) / max(1, steps - rising)
    if shape == "linear":
        return peak * (1.0 - gone)
    return peak * 0.5 * (1.0 + math.cos(math.pi * gone))
