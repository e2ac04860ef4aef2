"""What an export is compared on: the predictions at counted places, and no others."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tests.fixtures import tiny
from workbench.engine import fidelity
from workbench.engine.batches import Example


def _model() -> Any:
    import transformers

    torch.manual_seed(0)
    config = tiny.config_of("llama", width=64)
    return transformers.AutoModelForCausalLM.from_config(config).eval()


def _example(length: int, counted: set[int]) -> Example:
    ids = tuple(5 + n for n in range(length))
    return Example(ids, tuple(n in counted for n in range(length)))


def test_only_counted_places_are_turned_into_logits() -> None:
    model, widths = _model(), list[int]()
    model.lm_head.register_forward_hook(lambda *seen: widths.append(seen[2].shape[1]))
    examples = [_example(30, {10, 11, 29}), _example(8, {0}), _example(8, {7})]
    found = fidelity.observe(model, examples)
    assert widths == [3, 1]
    assert found.targets.tolist() == [15, 16, 34, 12]
    whole = torch.log_softmax(model(torch.tensor([examples[0].ids])).logits[0], dim=-1)
    torch.testing.assert_close(
        found.log_probabilities[:3], whole[[9, 10, 28]].detach(), rtol=1e-4, atol=1e-4
    )


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    model = _model()
    monkeypatch.setattr(fidelity, "_KEPT_FLOATS", 5 * model.config.vocab_size)
    examples = [_example(9, set(range(1, 5))), _example(9, set(range(1, 9)))]
    assert fidelity.observe(model, examples).log_probabilities.shape[0] == 5
