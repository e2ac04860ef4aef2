"""AdamW of bitsandbytes over the trained weights, with a state that can be sealed and restored.

The 8-bit moments of paged AdamW may move to main memory when a GPU runs full; on a CPU the same
class keeps them where they are. Tensors below 4,096 elements keep 32-bit moments.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import bitsandbytes as bnb
import torch
from torch import Tensor, nn

from workbench.errors import VaultDamaged

_CLASSES = {
    "paged_adamw_8bit": bnb.optim.PagedAdamW8bit,
    "adamw_8bit": bnb.optim.AdamW8bit,
    "adamw": bnb.optim.AdamW32bit,
}
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

    @property
    def parameters(self) -> list[nn.Parameter]:
        """What is trained."""
        return [parameter for _, parameter in self._named]

    def update(self, rate: float) -> None:
        """Take one step along the gradients at this learning rate, and forget them."""
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        self._optimizer.step()
        self.forget()

    def forget(self) -> None:
        """Drop the gradients."""
        self._optimizer.zero_grad(set_to_none=True)

    def gradient_norm(self) -> Tensor:
        """Return the length of the gradient over all parameters."""
        norm: Tensor = torch.nn.utils.get_total_norm(self._gradients())
        return norm

    def clip(self, norm: Tensor, longest: float) -> None:
        """Shorten the gradient, whose length is `norm`, to `longest`."""
        torch.nn.utils.clip_grads_with_norm_(self.parameters, longest, norm)

    def _gradients(self) -> Iterable[Tensor]:
        return [p.grad for p in self.parameters if p.grad is not None]

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
