"""One pass through the model: from a batch to the summed loss of its counted tokens."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from workbench.engine.attention import group_records, honours_records
from workbench.engine.batches import Batch
from workbench.engine.loading import decoder_layers, inner
from workbench.engine.loss import summed_loss
from workbench.engine.waiting import Waiting


@dataclass
class Passes:
    """The model as the loop and the scores use it.

    Attributes:
        model: A causal language model, wrapped by peft or not.
        compute: bfloat16 runs under autocast, so float32 adapters are multiplied in bfloat16.
    """

    model: Any
    device: torch.device
    compute: torch.dtype

    def summed_loss(self, batch: Batch) -> Tensor:
        """Return the summed cross-entropy of the batch's counted tokens (float32 scalar)."""
        causal = inner(self.model)
        batch = batch.to(self.device)
        extra = {}
        if honours_records(causal):
            extra["records"] = group_records(batch.records, batch.ids.numel())
        with self.arithmetic():
            hidden = causal.model(
                input_ids=batch.ids, position_ids=batch.positions, use_cache=False, **extra
            ).last_hidden_state
        picked = hidden.flatten(0, 1).index_select(0, batch.predictors).to(self.compute)
        head = causal.get_output_embeddings().weight
        softcap = getattr(causal.config, "final_logit_softcapping", None)
        return summed_loss(picked, head, batch.targets, softcap=softcap)

    @contextmanager
    def arithmetic(self) -> Iterator[None]:
        """Run what is inside in the compute dtype."""
        enabled = self.compute == torch.bfloat16
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=enabled):
            yield


def recompute_layers(model: Any, count: int, *, offload: bool = False) -> None:
    """Let the first `count` layers compute their inner values again in the backward pass.

    Args:
        offload: Whether their inputs wait for that in main memory (`engine.waiting`).
    """
    # Random states are kept, so that dropout draws the same numbers again.
    again: Any = partial(checkpoint, use_reentrant=False, preserve_rng_state=True)
    if offload:
        again = Waiting(next(model.parameters()).device).apart(again)
    layer: Any
    for number, layer in enumerate(decoder_layers(model)):
        layer.gradient_checkpointing = number < count
        layer._gradient_checkpointing_func = again
