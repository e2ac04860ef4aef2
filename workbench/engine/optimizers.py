"""AdamW of bitsandbytes over the trained weights, with a state that can be sealed and restored.

The 8-bit moments of paged AdamW may move to main memory when a GPU runs full; on a CPU the same
class keeps them where they are. Tensors below 4,096 elements keep 32-bit moments.

Each parameter is updated whole or not at all, and its gradient goes with it: an update that ran
out of memory in between is called again and does what is left, with the same result.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import bitsandbytes as bnb
import torch
from torch import Tensor, nn

from workbench.engine.threads import one_thread
from workbench.errors import VaultDamaged

_CLASSES = {
    "paged_adamw_8bit": bnb.optim.PagedAdamW8bit,
    "adamw_8bit": bnb.optim.AdamW8bit,
    "adamw": bnb.optim.AdamW32bit,
}
# Waking threads for a tensor on a processor takes longer than they save on a smaller one: the
# update of a starter's adapter takes 67 ms on two threads, 29 on one.
_WORTH_THREADS = 1 << 18
_KEPT = ("state1", "state2", "absmax1", "absmax2")  # the rest is constant and made anew


class WeightUpdater:
    """Updates the parameters that want gradients; its moments exist from the start."""

    def __init__(self, model: nn.Module, *, kind: str, weight_decay: float) -> None:
        """Allocate the moments, so that what fits before the first step fits afterwards.

        Args:
            kind: An `optimizer` of the recipe.
            weight_decay: For matrices; norms, biases and other vectors have none.
        """
        named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
        matrices = [(name, p) for name, p in named if p.ndim > 1]
        vectors = [(name, p) for name, p in named if p.ndim <= 1]
        groups = [
            {"params": [p for _, p in part], "weight_decay": decay}
            for part, decay in ((matrices, weight_decay), (vectors, 0.0))
            if part
        ]
        self._named = matrices + vectors
        self._optimizer: Any = _CLASSES[kind](groups, lr=0.0)
        for number, group in enumerate(self._optimizer.param_groups):
            for place, parameter in enumerate(group["params"]):
                self._optimizer.init_state(group, parameter, number, place)
        self._half_done = False
        largest = max((p.numel() for _, p in named if p.device.type == "cpu"), default=0)
        self._alone = 0 < largest < _WORTH_THREADS

    @property
    def parameters(self) -> list[nn.Parameter]:
        """What is trained."""
        return [parameter for _, parameter in self._named]

    def update(self, rate: float, shorten: Tensor | None = None) -> None:
        """Take one step along the gradients at this learning rate, and forget them.

        Args:
            shorten: What the gradients are multiplied with first, as `shortening` gives it.
        """
        self._half_done = True
        with self._threads():
            self._update_each(rate, shorten)
        if torch.cuda.is_available():
            torch.cuda.synchronize()  # paged memory moves by itself
        self._half_done = False

    def _update_each(self, rate: float, shorten: Tensor | None) -> None:
        for number, group in enumerate(self._optimizer.param_groups):
            group["lr"] = rate
            for place, parameter in enumerate(group["params"]):
                if parameter.grad is not None:
                    with torch.no_grad(), self._whole(parameter, shorten):
                        self._optimizer.prefetch_state(parameter)
                        self._optimizer.update_step(group, parameter, number, place)
                    parameter.grad = None

    def _threads(self) -> AbstractContextManager[None]:
        return one_thread() if self._alone else nullcontext()

    @property
    def is_half_done(self) -> bool:
        """Whether an update was left in the middle: some parameters are a step ahead."""
        return self._half_done

    @contextmanager
    def _whole(self, parameter: nn.Parameter, shorten: Tensor | None) -> Iterator[None]:
        """Put a parameter, its moments and its gradient back if the update does not come off."""
        state, gradient = self._optimizer.state[parameter], parameter.grad
        kept = {part: state[part].clone() for part in _KEPT if part in state}
        value, updates = parameter.detach().clone(), state["step"]
        if shorten is not None and gradient is not None:
            parameter.grad = gradient * shorten
        try:
            yield
        except BaseException:
            parameter.data.copy_(value)
            for part, tensor in kept.items():
                state[part].copy_(tensor)
            state["step"], parameter.grad = updates, gradient
            raise

    def forget(self) -> None:
        """Drop the gradients."""
        self._optimizer.zero_grad(set_to_none=True)

    def gradient_norm(self) -> Tensor:
        """Return the length of the gradient over all parameters."""
        found = [p.grad for p in self.parameters if p.grad is not None]
        with self._threads():
            norm: Tensor = torch.nn.utils.get_total_norm(found)
        return norm

    def tensors(self) -> dict[str, Tensor]:
        """Return the moments, named after their parameters; nothing is copied."""
        if torch.cuda.is_available():
            torch.cuda.synchronize()  # paged memory is read by the CPU here
        found = {}
        for name, parameter in self._named:
            state = self._optimizer.state[parameter]
            found.update({f"{name}:{part}": state[part] for part in _KEPT if part in state})
        return found

    @property
    def updates(self) -> int:
        """How many updates were taken."""
        return int(self._optimizer.state[self._named[0][1]]["step"])

    def restore(self, tensors: Mapping[str, Tensor], updates: int) -> None:
        """Take over the moments of a checkpoint.

        Raises:
            VaultDamaged: They are not the moments of these parameters.
        """
        own = self.tensors()
        if own.keys() != tensors.keys():
            raise VaultDamaged(
                "A checkpoint belongs to another run.",
                hint="Start the training again.",
                code="checkpoint_mismatch",
            )
        for name, tensor in tensors.items():  # in the order of the file they may come from
            own[name].copy_(tensor)
        for _, parameter in self._named:
            self._optimizer.state[parameter]["step"] = updates


def shortening(norm: Tensor, longest: float) -> Tensor | None:
    """Return the factor that makes a gradient of length `norm` at most `longest` long.

    None stands for one. The formula is that of torch's `clip_grads_with_norm_`.
    """
    return None if not 0 < longest < float(norm) else longest / (norm + 1e-6)
