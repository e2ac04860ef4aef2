"""The same numbers each time: deterministic kernels, and random generators that can be restored."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor


def be_deterministic() -> None:
    """Ask torch for kernels that repeat their results bit by bit on one machine.

    An operation that has none only warns: attention on some GPUs would otherwise not run at all.
    """
    torch.use_deterministic_algorithms(True, warn_only=True)
    # Filling fresh memory would find uses of it before it is written; it costs time each step.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # torch types it nowhere
    torch.backends.cudnn.benchmark = False


def random_states() -> dict[str, Tensor]:
    """Return the states of torch's generators."""
    states = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        states["cuda"] = torch.cuda.get_rng_state()
    return states


def restore_random(states: Mapping[str, Tensor]) -> None:
    """Put torch's generators back to where they were."""
    torch.set_rng_state(states["cpu"])
    if "cuda" in states and torch.cuda.is_available():
        torch.cuda.set_rng_state(states["cuda"])


@contextmanager
def untouched_random() -> Iterator[None]:
    """Let what is inside draw random numbers without a trace."""
    states = random_states()
    try:
        yield
    finally:
        restore_random(states)
