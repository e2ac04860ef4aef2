"""The loss and the rows: how a batch is cut and packed must change nothing but rounding."""

from __future__ import annotations

import random
import weakref
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.fixtures import tiny
from workbench.engine import lora
from workbench.engine.attention import attend_by_record, group_records, honours_records
from workbench.engine.batches import Example, make_batch, pack
from workbench.engine.forward import Passes, recompute_layers
from workbench.engine.loading import decoder_layers
from workbench.engine.loss import summed_loss
from workbench.engine.scoring import score
from workbench.recipe import Recipe


@pytest.mark.parametrize("softcap", [None, 3.0])
@pytest.mark.parametrize("chunk", [1, 7, 64])
def test_loss_and_gradients_equal_plain_cross_entropy(softcap: float | None, chunk: int) -> None:
    torch.manual_seed(0)
    hidden = torch.randn(20, 16, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(50, 16, dtype=torch.float64, requires_grad=True)
    targets = torch.randint(0, 50, (20,))
    logits = hidden @ weight.T
    if softcap is not None:
        logits = softcap * torch.tanh(logits / softcap)
    expected = torch.nn.functional.cross_entropy(logits, targets, reduction="sum")
    wanted = torch.autograd.grad(expected * 0.5, (hidden, weight))

    found = summed_loss(hidden, weight, targets, softcap=softcap, chunk=chunk)
    gradients = torch.autograd.grad(found * 0.5, (hidden, weight))

    torch.testing.assert_close(found.double(), expected.detach(), rtol=1e-5, atol=1e-4)
    for gradient, want in zip(gradients, wanted, strict=True):
        torch.testing.assert_close(gradient, want, rtol=1e-5, atol=1e-5)


def test_loss_never_holds_the_logits_of_more_than_a_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    widths = []
    real = torch.nn.functional.cross_entropy

    def spy(logits: torch.Tensor, *rest: Any, **named: Any) -> torch.Tensor:
        widths.append(len(logits))
        return real(logits, *rest, **named)

    monkeypatch.setattr(torch.nn.functional, "cross_entropy", spy)
    hidden, weight = torch.randn(100, 8), torch.randn(30, 8)
    summed_loss(hidden, weight, torch.zeros(100, dtype=torch.long), chunk=32)
    assert widths == [32, 32, 32, 4]


def test_an_evaluation_makes_no_gradient_of_a_trained_output_layer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[int] = []
    real = torch.zeros_like

    def noted(*given: Any, **named: Any) -> torch.Tensor:
        made.append(1)
        return real(*given, **named)

    monkeypatch.setattr(torch, "zeros_like", noted)
    weight = torch.randn(30, 8, requires_grad=True)
    hidden, targets = torch.randn(4, 8), torch.zeros(4, dtype=torch.long)
    summed_loss(hidden, weight, targets)
    assert len(made) == 1
    with torch.no_grad():
        summed_loss(hidden, weight, targets)
    assert len(made) == 1


def test_no_counted_token_gives_a_loss_of_zero_with_a_gradient() -> None:
    hidden = torch.randn(0, 8, requires_grad=True)
    found = summed_loss(hidden, torch.randn(30, 8), torch.zeros(0, dtype=torch.long))
    found.backward()
    assert float(found.detach()) == 0.0


def _examples(count: int, vocab: int, longest: int = 24) -> list[Example]:
    draw = random.Random(3)
    made = []
    for _ in range(count):
        length = draw.randint(4, longest)
        ids = tuple(draw.randrange(5, vocab) for _ in range(length))
        made.append(Example(ids, tuple(place > length // 2 for place in range(length))))
    return made


def _passes(
    family: str, *, by_record: bool = True, layers: int = 2, dropout: float = 0.0
) -> tuple[Passes, list[torch.nn.Parameter]]:
    """Return a float32 model with a trained-looking adapter, so that only rounding remains."""
    import transformers

    torch.manual_seed(1)
    config = tiny.config_of(family, width=64, layers=layers)
    eager = {"attn_implementation": "eager"} if family == "gemma2" else {}
    model = transformers.AutoModelForCausalLM.from_config(config, **eager)
    if by_record:
        attend_by_record(model)
    wrapped = lora.attach_adapter(model, Recipe(rank=4, alpha=8, dropout=dropout))
    for name, parameter in wrapped.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.05)
    trained = [p for p in wrapped.parameters() if p.requires_grad]
    return Passes(wrapped.train(), torch.device("cpu"), torch.float32), trained


def _gradient(
    passes: Passes, trained: list[torch.nn.Parameter], micro_batches: list[list[list[Example]]]
) -> tuple[float, list[torch.Tensor]]:
    for parameter in trained:
        parameter.grad = None
    batches = [make_batch(rows, pad_id=0) for rows in micro_batches]
    counted = sum(len(batch.targets) for batch in batches)
    total = 0.0
    for batch in batches:
        loss = passes.summed_loss(batch) / counted
        loss.backward()
        total += float(loss.detach())
    return total, [p.grad.clone() for p in trained if p.grad is not None]


def _assert_same(one: tuple[float, list[torch.Tensor]], two: tuple[float, list[Any]]) -> None:
    assert one[0] == pytest.approx(two[0], rel=1e-5)
    assert len(one[1]) == len(two[1]) > 0
    for left, right in zip(one[1], two[1], strict=True):
        torch.testing.assert_close(left, right, rtol=2e-3, atol=2e-6)


@pytest.mark.parametrize("by_record", [True, False], ids=["by-record", "masked"])
@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_packed_rows_equal_single_records(family: str, by_record: bool) -> None:
    """Also where attention slides over 8 tokens: records are longer than that."""
    passes, trained = _passes(family, by_record=by_record)
    examples = _examples(7, 512)
    singly = _gradient(passes, trained, [[[example]] for example in examples])
    packed = _gradient(passes, trained, [[examples[:3], examples[3:5]], [examples[5:]]])
    _assert_same(singly, packed)


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_attention_by_record_equals_masked_attention(family: str) -> None:
    rows = [_examples(7, 512)[:3], _examples(7, 512)[3:]]
    masked = _gradient(*_passes(family, by_record=False), [rows])
    passes, trained = _passes(family)
    _assert_same(masked, _gradient(passes, trained, [rows]))
    assert honours_records(passes.model) is (family != "gemma2")


def test_the_short_forward_is_that_of_peft() -> None:
    rows = [_examples(7, 512)]
    passes, trained = _passes("qwen2")
    short = _gradient(passes, trained, [rows])
    for module in passes.model.modules():
        module.__dict__.pop("forward", None)
    _assert_same(short, _gradient(passes, trained, [rows]))


def test_a_leak_between_records_would_be_seen() -> None:
    """The comparison above has teeth: one record made of two gives another loss."""
    passes, trained = _passes("llama")
    first, second = _examples(2, 512)
    packed = _gradient(passes, trained, [[[first, second]]])
    joined = Example([*first.ids, *second.ids], [*first.counted, *second.counted])
    assert _gradient(passes, trained, [[[joined]]])[0] != pytest.approx(packed[0], rel=1e-4)


def test_micro_batches_do_not_change_the_step() -> None:
    passes, trained = _passes("qwen3")
    rows = [[example] for example in _examples(4, 512)]
    one_by_one = _gradient(passes, trained, [[row] for row in rows])
    together = _gradient(passes, trained, [rows])
    _assert_same(one_by_one, together)


@pytest.mark.parametrize("count", [1, 2])
def test_recomputed_layers_give_the_same_gradient(count: int) -> None:
    passes, trained = _passes("llama")
    rows = [[example] for example in _examples(3, 512)]
    kept = _gradient(passes, trained, [rows])
    recompute_layers(passes.model, count)
    _assert_same(kept, _gradient(passes, trained, [rows]))


@pytest.mark.parametrize("family", ["llama", "gemma3_text"])
@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_what_waits_in_main_memory_gives_the_same_gradient(family: str, dropout: float) -> None:
    passes, trained = _passes(family, dropout=dropout, layers=6)
    rows = [[example] for example in _examples(3, 512)]
    gradients = []
    for offload in (False, True, True):
        recompute_layers(passes.model, 5, offload=offload)
        torch.manual_seed(11)
        gradients.append(_gradient(passes, trained, [rows[:2], rows[2:]]))
    (loss, wanted), *others = gradients
    for found, moved in others:
        assert found == loss
        assert all(torch.equal(a, b) for a, b in zip(wanted, moved, strict=True))


def test_two_inputs_at_most_are_on_the_device() -> None:
    passes, trained = _passes("llama", layers=7)
    recompute_layers(passes.model, 7, offload=True)
    held: list[weakref.ref[Any]] = []
    most = 0

    def look(_: Any, inputs: tuple[torch.Tensor, ...]) -> None:
        nonlocal most
        # The input of the layer that begins is no waiting one yet.
        most = max(most, sum(each() is not None for each in held))
        held.append(weakref.ref(inputs[0].untyped_storage()))

    for layer in decoder_layers(passes.model)[1:]:
        layer.register_forward_pre_hook(look)
    _gradient(passes, trained, [[[example]] for example in _examples(1, 64)])
    assert most == 2
    assert not any(each() for each in held)


def test_score_is_the_mean_over_tokens_not_over_records() -> None:
    passes, _ = _passes("llama")
    examples = _examples(9, 512)
    found = score(passes, examples, pad_id=0, batch_tokens=64)
    singly = [score(passes, [example], pad_id=0) for example in examples]
    total = sum(each.loss_sum for each in singly)
    assert found.tokens == sum(example.targets for example in examples)
    assert found.loss == pytest.approx(total / found.tokens, rel=1e-5)
    assert passes.model.training


def test_packing_wastes_little_loses_nothing_and_repeats_itself() -> None:
    draw = random.Random(0)
    lengths = [draw.randint(10, 200) for _ in range(1000)]
    rows = pack(lengths, 256, packing=True, seed=4)
    assert sorted(number for row in rows for number in row) == list(range(1000))
    used = [sum(lengths[number] for number in row) for row in rows]
    assert max(used) <= 256
    assert sum(used) / (256 * len(rows)) > 0.95
    assert rows == pack(lengths, 256, packing=True, seed=4)
    assert rows != pack(lengths, 256, packing=True, seed=5)


def test_without_packing_each_record_is_a_row() -> None:
    assert sorted(pack([3, 4, 5], 8, packing=False, seed=0)) == [(0,), (1,), (2,)]


def test_batches_count_real_tokens_and_predict_within_a_record_only() -> None:
    first = Example((5, 6, 7), (False, False, True))
    second = Example((8, 9), (True, True))  # its first token follows from nothing
    batch = make_batch([[first, second], [first]], pad_id=0)
    assert batch.ids.tolist() == [[5, 6, 7, 8, 9, *[0] * 11], [5, 6, 7, *[0] * 13]]
    assert batch.positions.tolist() == [[0, 1, 2, 0, 1, *range(11)], [0, 1, 2, *range(13)]]
    assert batch.predictors.tolist() == [1, 3, 17]
    assert batch.targets.tolist() == [7, 9, 7]
    assert batch.tokens == 8


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_loaded_adapter_speaks_as_the_trained_one(tmp_path: Path) -> None:
    """What is published, loaded on a fresh base by peft's own code, gives the same loss."""
    from workbench.adapters.storage import StoredAdapter
    from workbench.engine.loading import load_base
    from workbench.engine.tensorfile import stream_tensors

    spec = tiny.model_part(tiny.write_model(tmp_path / "model"))
    base = load_base(spec, method="qlora")
    trained = lora.attach_adapter(base.model, Recipe(rank=4, alpha=8))
    for name, parameter in trained.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.05)
    examples = _examples(4, 200)
    wanted = score(Passes(trained, base.device, base.compute), examples, pad_id=0)
    stored = StoredAdapter(
        config=lora.adapter_config(trained),
        tensors=b"".join(stream_tensors(lora.adapter_tensors(trained))),
        sha256="",
    )
    again = load_base(spec, method="qlora")
    loaded = lora.load_adapter(again.model, stored, "ad-1")
    found = score(Passes(loaded, again.device, again.compute), examples, pad_id=0)
    assert found.tokens == wanted.tokens
    assert found.loss == pytest.approx(wanted.loss, rel=1e-3)
    assert not any(str(tmp_path) in str(value) for value in stored.config.values())


def test_widths_of_batches_repeat() -> None:
    """Every new shape costs a processor compiled code; rows of like length share theirs."""
    widths = {
        make_batch([[Example((5,) * n, (True,) * n)]], pad_id=0).ids.shape[1] for n in range(1, 65)
    }
    assert widths == {16, 32, 48, 64}
    groups = [group_records([(0, n), (n, n - 1)], 2 * n - 1) for n in range(18, 33)]
    assert {longest for group in groups for _, longest in group.shapes} == {32}
