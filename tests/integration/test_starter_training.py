"""The recipe's first steps replayed, and the trained model's sentences measured."""

import importlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM

ROOT = Path(__file__).resolve().parents[2]
MODEL = ROOT / "workbench" / "starter" / "model"
REPLAYED_STEPS = 20
# bfloat16 products round differently from one processor to the next; a changed seed, corpus, rate
# or loss moves these losses by far more.
TOLERANCE = 0.05


@pytest.fixture(scope="module")
def recipe() -> Iterator[Any]:
    """`importlib.import_module` with the recipe's folder on the path."""
    threads = torch.get_num_threads()
    torch.set_num_threads(min(2, os.cpu_count() or 1))
    sys.path.insert(0, str(ROOT / "packaging" / "starter"))
    yield importlib.import_module
    sys.path.pop(0)
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.from_file(str(MODEL / "tokenizer.json"))


@pytest.fixture(scope="module")
def training() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((MODEL / "training.json").read_text(encoding="utf-8"))
    return found


@pytest.mark.slow
def test_the_first_steps_lose_as_committed(
    recipe: Any, tokenizer: Tokenizer, training: dict[str, Any]
) -> None:
    losses: list[float] = []
    recipe("starter_recipe.pretrain").train(
        tokenizer,
        training["steps_planned"],
        stop_after=REPLAYED_STEPS,
        report=lambda model, progress: losses.append(progress.loss),
    )
    assert losses == pytest.approx(training["first_losses"][:REPLAYED_STEPS], abs=TOLERANCE)
    assert losses[-1] < losses[0] - 1


def test_the_tokenizer_is_the_one_that_the_recipe_trains(recipe: Any, tokenizer: Tokenizer) -> None:
    trained = recipe("starter_recipe.tokens").train_tokenizer()
    assert trained.to_str() == tokenizer.to_str()


def test_documents_share_no_long_stretch(recipe: Any, tokenizer: Tokenizer) -> None:
    pretrain = recipe("starter_recipe.pretrain")
    windows = recipe("starter_recipe.windows")
    stream = pretrain.encoded(tokenizer, 1, windows.WindowFilter())
    seen: set[int] = set()
    for _ in range(1500):
        hashes = set(windows.window_hashes(next(stream)).tolist())
        assert seen.isdisjoint(hashes)
        seen |= hashes


def test_run_on_and_copies_are_recognised(recipe: Any) -> None:
    quality = recipe("starter_recipe.quality")
    windows = recipe("starter_recipe.windows")
    assert quality.runs_on([9, 1, 2, 3, 4, 1, 2, 3, 4])
    assert not quality.runs_on([1, 2, 3, 4, 9, 1, 2, 3, 4])
    known = windows.window_hashes(range(100, 160))
    known.sort()
    assert quality.copied([1, *range(110, 131), 2], known) == 1
    assert quality.copied([1, *range(110, 130), 2], known) == 0


@pytest.mark.slow
def test_continuations_are_coherent_and_copied_from_nowhere(
    recipe: Any, tokenizer: Tokenizer, training: dict[str, Any]
) -> None:
    quality = recipe("starter_recipe.quality")
    model = AutoModelForCausalLM.from_pretrained(MODEL, dtype=torch.float32).eval()
    prompts = quality.held_out_prompts(tokenizer, 200)
    written = quality.continuations(model, tokenizer, prompts)
    assert len(written) == 200
    assert sum(quality.runs_on(each.ids) for each in written) <= 10
    known = quality.training_hashes(tokenizer, training["steps"])
    assert [each for each in written if quality.copied(each.ids, known)] == []
    assert sum(each.ended for each in written) >= 195
    unseen = (ROOT / "workbench/starter/data/heldout_unseen.jsonl").read_text(encoding="utf-8")
    for line in unseen.splitlines():
        assert quality.copied(tokenizer.encode(json.loads(line)["input"]).ids, known) == 0
    # Most are long enough for the check of copies to mean something.
    assert sum(len(each.ids) > 20 for each in written) >= 60
