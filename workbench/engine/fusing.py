"""Which modules of a model compute by the fused nodes, decided anew at each call.

Installed on a model with a fresh adapter; the adapter's names, files and parameters stay peft's. A
call takes the fused node where gradients are wanted and every linear of the block is a frozen one
with at most one plain adapter in use: dropout, DoRA, biases of adapters, several adapters at once
and merged ones go the usual way, and so does everything without gradients: evaluation, generation.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import MethodType
from typing import Any

import torch
from bitsandbytes.nn import Linear4bit
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn

from workbench.engine.fused import ACTIVATIONS, Part, gated_mlp, linears
from workbench.engine.loading import decoder_layers, inner
from workbench.engine.norms import rms_norm

_SHARED_INPUT = ("q_proj", "k_proj", "v_proj")
_ENTRIES = (("gate_proj", "up_proj"), ("gate_up_proj",))


def fuse(model: Any) -> None:
    """Let a model's blocks compute by the fused nodes wherever a call allows it."""
    waiting: _Waiting = {}
    layer: Any
    for layer in decoder_layers(model):
        layer.mlp.forward = MethodType(_mlp_forward, layer.mlp)
        attention = layer.self_attn
        members = [getattr(attention, name, None) for name in _SHARED_INPUT]
        if all(members):
            _Together(members, waiting)
        for name in ("qkv_proj", "o_proj"):
            alone = getattr(attention, name, None)
            if isinstance(alone, LoraLayer):
                _Together([alone], waiting)
    for module in inner(model).model.modules():
        if type(module).__name__.endswith("RMSNorm"):
            module.forward = MethodType(_norm_forward, module)


# What a member will be asked for: the input, and what it makes of that.
_Waiting = dict[int, tuple[Tensor, Tensor]]


class _Together:
    """Linears that are asked one after the other for the same input, and answer from one node.

    The first one's call computes all; what the others make waits until they are asked. All layers
    of a model wait in one place: a pass that ran out of memory in between leaves something there,
    and with it all that its layers kept, which the next pass lets go of in its first layer.
    """

    def __init__(self, members: Sequence[Any], waiting: _Waiting) -> None:
        self._members = members
        self._usual = [member.forward for member in members]
        self._waiting = waiting
        for place, member in enumerate(members):
            member.forward = _Member(self, place)

    def answer(self, place: int, inputs: Tensor) -> Tensor:
        """Return what the member at that place makes of the inputs."""
        if place == 0:
            self._waiting.clear()
            parts = plain_parts(self._members, inputs)
            if parts is not None:
                found = linears(inputs, parts)
                self._waiting.update({n: (inputs, output) for n, output in enumerate(found)})
        made_of, output = self._waiting.pop(place, (None, None))
        if output is None or made_of is not inputs:
            usual: Tensor = self._usual[place](inputs)
            return usual
        return output


class _Member:
    """The forward pass of one of several linears."""

    def __init__(self, together: _Together, place: int) -> None:
        self._together, self._place = together, place

    def __call__(self, inputs: Tensor) -> Tensor:
        return self._together.answer(self._place, inputs)


def _mlp_forward(mlp: Any, inputs: Tensor) -> Tensor:
    names = next((names for names in _ENTRIES if hasattr(mlp, names[0])), None)
    activation = getattr(mlp.config, "hidden_activation", None) or getattr(
        mlp.config, "hidden_act", None
    )
    if names is not None and activation in ACTIVATIONS:
        members = [getattr(mlp, name) for name in (*names, "down_proj")]
        parts = plain_parts(members, inputs)
        if parts is not None:
            return gated_mlp(inputs, parts[:-1], parts[-1], activation)
    usual: Tensor = type(mlp).forward(mlp, inputs)
    return usual


def _norm_forward(norm: Any, inputs: Tensor) -> Tensor:
    if not torch.is_grad_enabled() or norm.weight.requires_grad:
        usual: Tensor = type(norm).forward(norm, inputs)
        return usual
    offset = not hasattr(norm, "variance_epsilon")
    epsilon = norm.eps if offset else norm.variance_epsilon
    return rms_norm(inputs, norm.weight, epsilon, offset=offset)


def plain_parts(modules: Sequence[Any], inputs: Tensor) -> list[Part] | None:
    """Return the modules as parts of a fused node, or None where it cannot stand for them."""
    if not torch.is_grad_enabled() or not inputs.numel():
        return None
    parts = []
    for module in modules:
        part = _plain_part(module, inputs)
        if part is None:
            return None
        parts.append(part)
    return parts


def _plain_part(module: Any, inputs: Tensor) -> Part | None:
    base = module.base_layer if isinstance(module, LoraLayer) else module
    if type(base) not in (nn.Linear, Linear4bit) or any(
        each.requires_grad for each in base.parameters(recurse=False)
    ):
        return None
    if not isinstance(module, LoraLayer):
        return Part(base)
    if module.merged:
        return None
    used = [name for name in module.active_adapters if name in module.lora_A]
    if module.disable_adapters or not used:
        return Part(base)
    name, *more = used
    dropout = module.lora_dropout[name]
    if more or name in module.lora_variant or not isinstance(dropout, nn.Identity):
        return None
    if module.lora_bias.get(name):
        return None
    down, up = module.lora_A[name].weight, module.lora_B[name].weight
    # Without autocast peft sums in the adapter's type.
    if down.dtype != inputs.dtype and not torch.is_autocast_enabled(inputs.device.type):
        return None
    return Part(base, down, up, float(module.scaling[name]))
