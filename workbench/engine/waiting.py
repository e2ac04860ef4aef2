"""What recomputed layers wait with, their inputs, in main memory instead of on the device.

A recomputed layer keeps its input and nothing else for the backward pass. With many layers and long
rows these inputs are most of what is kept, and they are needed once, much later: each leaves while
its layer computes, and comes back while the layer behind it is computed again. On a GPU both go
through page-locked memory on a stream of their own, beside the arithmetic. The device holds two
inputs at a time, besides that of the layer at work.

On a processor there is no other memory to wait in: copies are made and used all the same, so that
the path is the same and can be tried anywhere, but nothing is gained.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

# Inputs on the device whose copies may still be under way.
ON_DEVICE = 2


def in_main_memory(like: Tensor, *, pinned: bool) -> Tensor:
    """Return room for a tensor in main memory.

    Raises:
        RuntimeError: There is none; `engine.pressure.is_out_of_memory` knows it.
    """
    return torch.empty_like(like, device="cpu", pin_memory=pinned)


@dataclass(eq=False)
class _Input:
    """The input of one layer; it lives as long as the graph that waits for it.

    Attributes:
        away: Its copy in main memory.
        here: Itself, while it is on the device.
        before: The input of the layer before it.
        moved: When the last copy in either direction is through; None on a processor.
    """

    away: Tensor
    here: Tensor | None
    device: torch.device
    before: weakref.ref[_Input] | None
    moved: Any = field(default=None)

    def earlier(self) -> _Input | None:
        """Return the input of the layer before, if it still waits."""
        return None if self.before is None else self.before()


class Waiting:
    """Takes inputs to main memory and brings them back, the last one first."""

    def __init__(self, device: torch.device) -> None:
        self._cuda = device.type == "cuda"
        self._stream: Any = torch.cuda.Stream(device) if self._cuda else None
        self._last: weakref.ref[_Input] | None = None

    def apart(self, again: Callable[..., Any]) -> Callable[..., Any]:
        """Return `again`, which checkpoints a layer, so that what it keeps waits elsewhere.

        Inside, checkpointing has hooks of its own; outside it saves the layer's input, by the
        hooks that are set here (`_CheckpointFrame.save_inputs` in torch/utils/checkpoint.py).
        """

        def leaving(function: Any, *args: Any) -> Any:
            with saved_tensors_hooks(self._leave, self._return):
                return again(function, *args)

        return leaving

    def _leave(self, tensor: Tensor) -> _Input:
        tensor = tensor.detach()
        last = self._last() if self._last is not None else None
        # Before there is one more: two are on the device, and the earlier one has had a layer's
        # time to leave.
        earlier = None if last is None else last.earlier()
        if earlier is not None and earlier.here is not None:
            self._catch_up(earlier)
            earlier.here = None
        away = in_main_memory(tensor, pinned=self._cuda)
        left = _Input(away, tensor, tensor.device, self._last)
        self._copy(tensor, away, left)
        self._last = weakref.ref(left)
        return left

    def _return(self, waited: _Input) -> Tensor:
        if waited.here is None:
            self._bring(waited)
        self._catch_up(waited)
        found, waited.here = waited.here, None
        earlier = waited.earlier()
        if earlier is not None and earlier.here is None:
            self._bring(earlier)
        self._last = waited.before
        assert found is not None
        return found

    def _bring(self, waited: _Input) -> None:
        waited.here = torch.empty_like(waited.away, device=waited.device)
        self._copy(waited.away, waited.here, waited)

    def _copy(self, source: Tensor, target: Tensor, moving: _Input) -> None:
        if self._stream is None:
            target.copy_(source)
            return
        self._stream.wait_stream(torch.cuda.current_stream(moving.device))
        with torch.cuda.stream(self._stream):
            target.copy_(source, non_blocking=True)
            moving.moved = self._stream.record_event()

    def _catch_up(self, moving: _Input) -> None:
        """Let the arithmetic wait for the copy: only then may its memory be used or given back."""
        if moving.moved is not None:
            torch.cuda.current_stream(moving.device).wait_event(moving.moved)
