"""Two training steps of the real engine on tensors without contents: what lives, and when.

The referee of `planning.memory`: that module adds up formulas, this one runs the layers, the loss,
the adapters and the optimizer that training runs, and counts. Neither uses the other.

What operations hold only while they run is not seen from outside; `hidden` says it for those that
hold much, from their sources:

- `bitsandbytes::gemm_4bit` above a few rows unpacks the whole matrix into computing precision and
  the scales into 32 bit twice (`_dequant_linear_fallback` in backends/cuda/ops.py, the same on a
  processor). Below, some cards multiply without unpacking; the larger amount is taken.
- The backward passes of fused attention add up the queries' gradient in 32 bit (the workspace of
  `_efficient_attention_backward`, `dq_accum` of `_flash_attention_backward`); the latter also
  spreads shared keys and values over all heads.

What no allocator of torch's ever sees is not in here either: the CUDA context, cuBLAS' workspace
and the gaps between tensors.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from workbench.engine import waiting
from workbench.engine.batches import Batch, Example, make_batch
from workbench.engine.forward import Passes, recompute_layers
from workbench.engine.ledger import ELSEWHERE, NO_LAYER, Ledger
from workbench.engine.loading import decoder_layers, inner
from workbench.engine.lora import attach_adapter
from workbench.engine.optimizers import WeightUpdater
from workbench.engine.shadow import constants, shadow_base, stand_ins
from workbench.recipe import Recipe

STEPS = 2
_COURSE_POINTS = 240


@dataclass(frozen=True)
class Trace:
    """What two steps held, in bytes.

    Attributes:
        peak: The most that lived at any moment.
        resident: What lives between two steps: weights, constants, adapters and moments.
        parts: The peak by component: `weights`, `constants`, `adapters`, `gradients`,
            `optimizer`, `activations` (born in a layer's forward pass), `stream` (born between
            the layers' forward passes), `logits` (born in the loss), `workspace` (born in the
            backward pass or the update, or held inside an operation).
        layers: The `activations` of the peak by layer.
        moment: `forward`, `loss`, `backward` or `update`: when the peak was.
        elsewhere: The most that waited in main memory.
        course: Live bytes over the operations of the two steps, the largest of each span.
        operations: How many operations there were.
    """

    peak: int
    resident: int
    parts: dict[str, int]
    layers: dict[int, int]
    moment: str
    elsewhere: int
    course: tuple[int, ...]
    operations: int

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "peak_bytes": self.peak,
            "resident_bytes": self.resident,
            "parts": self.parts,
            "layers": {str(number): size for number, size in sorted(self.layers.items())},
            "moment": self.moment,
            "elsewhere_bytes": self.elsewhere,
            "course": list(self.course),
            "operations": self.operations,
        }


def trace(
    config: Mapping[str, Any],
    recipe: Recipe,
    *,
    device: str = "cuda",
    compute: torch.dtype = torch.bfloat16,
    packed: bool = True,
    steps: int = STEPS,
) -> Trace:
    """Run some steps of a settled recipe over full rows.

    Args:
        config: A model's `config.json`.
        recipe: With `method`, `context`, `micro_batch`, `recompute` and `offload` settled.
        device: `cuda` or `cpu`: what is meant. No card is needed.
        packed: Whether rows hold several records, so that attention gets a mask on a card.
        steps: One is enough for the peak; the second shows that nothing is left behind.

    Raises:
        BadInput: The config is not one of a supported family.
    """
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    batch = full_rows(int(recipe.context), int(recipe.micro_batch))
    with stand_ins(device, packed=packed, to_fake=mode.from_tensor):
        ids, positions, predictors, targets = (
            mode.from_tensor(each)
            for each in (batch.ids, batch.positions, batch.predictors, batch.targets)
        )
        batch = Batch(ids, positions, predictors, targets, batch.tokens, batch.records)
        with mode:
            return _Rehearsal(config, recipe, device, compute).run(batch, steps)


def full_rows(context: int, rows: int) -> Batch:
    """Return rows of one record each, of which every token is counted."""
    record = Example.compact(range(context), [True] * context)
    return make_batch([[record]] * rows, pad_id=0)


class _Rehearsal:
    """The engine's parts around fake tensors, and the ledger over them."""

    def __init__(
        self, config: Mapping[str, Any], recipe: Recipe, device: str, compute: torch.dtype
    ) -> None:
        base = shadow_base(config, method=recipe.method, device=device, compute=compute)  # type: ignore[arg-type]  # settled
        self._ledger = Ledger(hidden, granularity=512 if device == "cuda" else 64)
        self._recipe = recipe
        if recipe.method == "full":
            self._model: Any = base.model.requires_grad_(True)
        else:
            self._model = attach_adapter(base.model, recipe)
        self._model.train()
        recompute_layers(self._model, int(recipe.recompute), offload=recipe.offload is True)
        self._updater = WeightUpdater(
            self._model, kind=recipe.optimizer, weight_decay=recipe.weight_decay
        )
        self._passes = Passes(self._model, base.device, base.compute)
        self._owns()
        self._listens()
        self._phase = "other"

    def _owns(self) -> None:
        ledger = self._ledger
        trained = {id(each) for each in self._updater.parameters}
        whole = self._recipe.method == "full"
        ledger.own("weights", self._model.buffers())
        for parameter in self._model.parameters():
            ours = not whole and id(parameter) in trained
            ledger.own("adapters" if ours else "weights", (parameter,))
        ledger.own("constants", constants(self._model))
        ledger.own("optimizer", self._updater.tensors().values())

    def _listens(self) -> None:
        """Tell the ledger whose turn it is."""
        causal = inner(self._model)
        for number, layer in enumerate(decoder_layers(self._model)):
            layer.register_forward_pre_hook(lambda *_, n=number: self._turn("activations", n))
            layer.register_forward_hook(lambda *_: self._back(), always_call=True)
            again: Any = layer._gradient_checkpointing_func
            layer._gradient_checkpointing_func = partial(self._recomputed, again, number)  # type: ignore[assignment]
        causal.model.register_forward_hook(lambda *_: self._enter("loss"))
        for parameter in self._updater.parameters:
            parameter.register_post_accumulate_grad_hook(
                lambda grown: self._ledger.own("gradients", (grown.grad,))
            )

    def _recomputed(self, again: Any, number: int, function: Any, *args: Any) -> Any:
        """Checkpoint a layer's forward pass; what the second pass makes is the layer's as well.

        Hooks are called in the first pass only.
        """

        def pass_through(*inputs: Any) -> Any:
            self._turn("activations", number)
            try:
                return function(*inputs)
            finally:
                self._back()

        return again(pass_through, *args)

    def _elsewhere(self, like: Tensor, *, pinned: bool) -> Tensor:
        """Stand in for `waiting.in_main_memory`: all fakes lie on the processor."""
        before, self._ledger.owner = self._ledger.owner, (ELSEWHERE, NO_LAYER)
        try:
            return torch.empty_like(like)
        finally:
            self._ledger.owner = before

    def _turn(self, component: str, number: int = -1) -> None:
        self._ledger.owner = (component, number)

    def _back(self) -> None:
        owners = {"forward": "stream", "loss": "logits"}
        self._turn(owners.get(self._phase, "workspace"))

    def _enter(self, phase: str) -> None:
        self._phase = self._ledger.phase = phase
        self._back()

    def run(self, batch: Batch, steps: int) -> Trace:
        """Do the steps and sum up."""
        ledger, updater = self._ledger, self._updater
        ledger.own("stream", (batch.ids, batch.positions, batch.predictors, batch.targets))
        resident = 0
        with ledger, patch.object(waiting, "in_main_memory", self._elsewhere):
            for _ in range(steps):
                self._enter("forward")
                updater.forget()
                loss = self._passes.summed_loss(batch) / len(batch.targets)
                self._enter("backward")
                loss.backward()
                del loss
                self._enter("update")
                norm = updater.gradient_norm()
                # Whether to shorten depends on contents; shortened takes more, by a factor.
                updater.update(self._recipe.learning_rate, norm)
                del norm
                resident = ledger.live
        return self._summed(resident)

    def _summed(self, resident: int) -> Trace:
        ledger = self._ledger
        parts: Counter[str] = Counter()
        layers: Counter[int] = Counter()
        for (component, number), size in ledger.at_peak.items():
            parts["workspace" if component == "hidden" else component] += size
            if component == "activations":
                layers[number] += size
        course = ledger.course
        span = max(1, -(-len(course) // _COURSE_POINTS))
        return Trace(
            peak=ledger.peak,
            resident=resident,
            parts=dict(parts),
            layers=dict(layers),
            moment=ledger.moment,
            elsewhere=ledger.most_elsewhere,
            course=tuple(max(course[at : at + span]) for at in range(0, len(course), span)),
            operations=len(course),
        )


def hidden(func: Any, args: Sequence[Any], _: Any) -> int:
    """Return the bytes that an operation holds only while it runs."""
    if func is _GEMM:
        inputs: Tensor = args[0]
        count = args[2][0] * args[2][1]
        return int(count * inputs.element_size() + 2 * 4 * -(-count // 64))
    if func is _EFFICIENT:
        return 4 * int(args[1].numel())
    if func is _FLASH:
        queries, keys = args[1], args[2]
        shared = queries.shape[1] != keys.shape[1]
        return int((4 + 4 * shared) * queries.numel())
    return 0


_GEMM = torch.ops.bitsandbytes.gemm_4bit.default
_EFFICIENT = torch.ops.aten._scaled_dot_product_efficient_attention_backward.default
_FLASH = torch.ops.aten._scaled_dot_product_flash_attention_backward.default
