"""Decoding in batches against one prompt at a time without a cache."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

from tests.fixtures import tiny
from workbench.engine.generation import Decoding, Ends, continue_prompts

PAD = 0
PROMPTS = [[5, 6, 7, 8, 9, 10, 11], [3], [12, 13], [20, 21, 22, 23], [7, 7, 7]]


@pytest.fixture(scope="module")
def model() -> Any:
    torch.manual_seed(3)
    config = LlamaConfig(
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        vocab_size=48,
        max_position_embeddings=64,
        initializer_range=0.3,
    )
    return LlamaForCausalLM(config).eval()


def slow_greedy(model: Any, prompt: list[int], cap: int, eos: set[int]) -> tuple[list[int], bool]:
    ids = list(prompt)
    with torch.inference_mode():
        for _ in range(cap):
            token = int(model(torch.tensor([ids]), use_cache=False).logits[0, -1].argmax())
            if token in eos:
                return ids[len(prompt) :], True
            ids.append(token)
    return ids[len(prompt) :], False


def test_batches_decode_as_single_prompts_do(model: Any) -> None:
    free = [slow_greedy(model, p, 12, set())[0] for p in PROMPTS]
    # Tokens that rows do produce, at different places: rows must leave the batch on their own.
    eos = {free[0][4], free[2][1]}
    wanted = [slow_greedy(model, p, 12, eos) for p in PROMPTS]
    assert len({len(ids) for ids, _ in wanted}) > 1
    assert {ended for _, ended in wanted} == {True, False}
    seen: list[int] = []
    found = continue_prompts(
        model, PROMPTS, Ends(eos, PAD, 64), Decoding(12), batch=3, on_done=seen.append
    )
    assert [(list(c.ids), c.ended) for c in found] == wanted
    assert seen == [3, 5]


@pytest.mark.slow
@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_every_family_decodes_in_batches(family: str) -> None:
    """Sliding windows (8 tokens here) keep caches of their own, which rows leave too."""
    torch.manual_seed(5)
    config = tiny.config_of(family, vocab=48, width=64)
    config.initializer_range = 0.3
    tall = AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()
    free = [slow_greedy(tall, p, 14, set())[0] for p in PROMPTS]
    eos = {free[0][4], free[2][1]}
    wanted = [slow_greedy(tall, p, 14, eos) for p in PROMPTS]
    found = continue_prompts(tall, PROMPTS, Ends(eos, PAD, 64), Decoding(14), batch=3)
    assert [(list(c.ids), c.ended) for c in found] == wanted


def test_an_answer_that_never_ends_is_capped(model: Any) -> None:
    found = continue_prompts(model, PROMPTS, Ends(set(), PAD, 64), Decoding(5))
    assert all(len(c.ids) == 5 and not c.ended for c in found)


def test_the_context_is_never_exceeded(model: Any) -> None:
    full = [list(range(1, 11)), [1, 2, 3]]
    found = continue_prompts(model, full, Ends(set(), PAD, 10), Decoding(20))
    assert [len(c.ids) for c in found] == [0, 7]


def test_sampling_is_repeatable_and_seeded(model: Any) -> None:
    ends = Ends(set(), PAD, 64)
    hot = [Decoding(12, temperature=1.5, top_p=0.95, seed=seed) for seed in (1, 1, 2)]
    first, again, other = (continue_prompts(model, PROMPTS, ends, d) for d in hot)
    assert first == again
    assert first != other


def test_a_tiny_top_p_is_greedy(model: Any) -> None:
    ends = Ends(set(), PAD, 64)
    greedy = continue_prompts(model, PROMPTS, ends, Decoding(8))
    narrow = continue_prompts(model, PROMPTS, ends, Decoding(8, temperature=0.7, top_p=1e-6))
    assert narrow == greedy
