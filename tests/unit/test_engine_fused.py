"""The fused nodes against the same sums written out, in 64 bit, and against the usual path."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.fixtures import tiny
from workbench.engine import lora
from workbench.engine.batches import Example, make_batch
from workbench.engine.forward import Passes, recompute_layers
from workbench.engine.fused import Part, gated_mlp, linears
from workbench.engine.loading import decoder_layers, load_base
from workbench.engine.norms import rms_norm
from workbench.recipe import Recipe

ROWS, WIDTH, INNER, RANK = (2, 3), 64, 128, 3


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def part(
    inputs: int, outputs: int, *, adapted: bool = True, bias: bool = False, four_bit: bool = False
) -> Part:
    """Return a frozen linear in 64 bit, or one of NF4, and an adapter that is not zero."""
    base: nn.Linear = nn.Linear(inputs, outputs, bias=bias).double()
    if four_bit:
        from bitsandbytes.nn import Linear4bit, Params4bit

        packed = Linear4bit(inputs, outputs, bias=bias, quant_type="nf4")
        packed.weight = Params4bit(
            base.weight.detach().bfloat16(), requires_grad=False, quant_type="nf4"
        )
        if bias:
            packed.bias = nn.Parameter(base.bias.detach())
        base = packed.to("cpu")
    base.requires_grad_(False)
    if not adapted:
        return Part(base)
    down, up = (
        (torch.randn(*shape, dtype=torch.float64) * 0.3).requires_grad_(True)
        for shape in ((RANK, inputs), (outputs, RANK))
    )
    return Part(base, down, up, 0.7)


def written_out(inputs: Tensor, one: Part) -> Tensor:
    from bitsandbytes.nn import Linear4bit

    from workbench.engine import nf4

    if isinstance(one.base, Linear4bit):
        weight = nf4.dequantise(one.base, torch.float64)
    else:
        weight = one.base.weight
    found = nn.functional.linear(inputs, weight, one.base.bias)
    if one.down is not None and one.up is not None:
        found = found + one.scale * (inputs @ one.down.T @ one.up.T)
    return found


def activated(gate: Tensor, activation: str) -> Tensor:
    if activation == "silu":
        return gate * torch.sigmoid(gate)
    return nn.functional.gelu(gate, approximate="tanh" if "tanh" in activation else "none")


def wanted(inputs: Tensor, parts: list[Part]) -> list[Tensor]:
    weights = [weight for one in parts for weight in (one.down, one.up) if weight is not None]
    return [each for each in (inputs, *weights) if each.requires_grad]


def assert_same_gradients(found: Tensor, expected: Tensor, leaves: list[Tensor]) -> None:
    torch.testing.assert_close(found, expected)
    slope = torch.randn_like(expected)
    for one, two in zip(
        torch.autograd.grad(found, leaves, slope),
        torch.autograd.grad(expected, leaves, slope),
        strict=True,
    ):
        torch.testing.assert_close(one, two)


def some_inputs(*, wants_gradient: bool = True) -> Tensor:
    return torch.randn(*ROWS, WIDTH, dtype=torch.float64, requires_grad=wants_gradient)


@pytest.mark.parametrize("four_bit", [False, True], ids=["plain", "nf4"])
@pytest.mark.parametrize("adapted", [(True, True, True), (False, True, False), (True,)])
@pytest.mark.parametrize("wants_gradient", [True, False])
def test_linears_with_one_input(
    adapted: tuple[bool, ...], four_bit: bool, wants_gradient: bool
) -> None:
    torch.manual_seed(0)
    parts = [
        part(WIDTH, outputs, adapted=each, bias=True, four_bit=four_bit)
        for outputs, each in zip((64, 32, 128), adapted, strict=False)
    ]
    inputs = some_inputs(wants_gradient=wants_gradient)
    expected = torch.cat([written_out(inputs, one) for one in parts], -1)
    found = torch.cat(linears(inputs, parts), -1)
    leaves = wanted(inputs, parts)
    assert_same_gradients(found, expected, leaves)
    assert torch.autograd.gradcheck(
        lambda *_: linears(inputs, parts), leaves, fast_mode=True, check_undefined_grad=False
    )


def test_an_output_that_nobody_uses_has_no_gradient() -> None:
    torch.manual_seed(0)
    parts = [part(WIDTH, 64), part(WIDTH, 32)]
    inputs = some_inputs()
    leaves = [inputs, *(each for each in (parts[1].down, parts[1].up) if each is not None)]
    found, expected = linears(inputs, parts)[1], written_out(inputs, parts[1])
    assert parts[0].down is not None
    assert (
        torch.autograd.grad(found.sum(), [parts[0].down], allow_unused=True, retain_graph=True)[0]
        is None
    )
    assert_same_gradients(found, expected, leaves)


@pytest.mark.parametrize("activation", ["silu", "gelu_pytorch_tanh", "gelu"])
@pytest.mark.parametrize("adapted", ["gate up down", "up", "down", ""])
@pytest.mark.parametrize("four_bit", [False, True], ids=["plain", "nf4"])
def test_an_mlp(activation: str, adapted: str, four_bit: bool) -> None:
    torch.manual_seed(0)
    gate, up, down = (
        part(*sizes, adapted=name in adapted, bias=not four_bit, four_bit=four_bit)
        for name, sizes in (
            ("gate", (WIDTH, INNER)),
            ("up", (WIDTH, INNER)),
            ("down", (INNER, WIDTH)),
        )
    )
    inputs = some_inputs()
    leaves = wanted(inputs, [gate, up, down])
    product = activated(written_out(inputs, gate), activation) * written_out(inputs, up)
    found = gated_mlp(inputs, [gate, up], down, activation)
    assert_same_gradients(found, written_out(product, down), leaves)
    assert torch.autograd.gradcheck(
        lambda *_: gated_mlp(inputs, [gate, up], down, activation), leaves, fast_mode=True
    )


@pytest.mark.parametrize("adapted", ["both down", "both", "down"])
def test_an_mlp_whose_gate_and_up_are_one(adapted: str) -> None:
    torch.manual_seed(0)
    both = part(WIDTH, 2 * INNER, adapted="both" in adapted)
    down = part(INNER, WIDTH, adapted="down" in adapted)
    inputs = some_inputs()
    leaves = wanted(inputs, [both, down])
    gate, up = written_out(inputs, both).chunk(2, -1)
    found = gated_mlp(inputs, [both], down, "silu")
    assert_same_gradients(found, written_out(activated(gate, "silu") * up, down), leaves)
    assert torch.autograd.gradcheck(
        lambda *_: gated_mlp(inputs, [both], down, "silu"), leaves, fast_mode=True
    )


@pytest.mark.parametrize("offset", [False, True], ids=["llama", "gemma"])
def test_a_norm(offset: bool) -> None:
    torch.manual_seed(0)
    inputs, weight = some_inputs(), torch.randn(WIDTH, dtype=torch.float64)
    root = (inputs.pow(2).mean(-1, keepdim=True) + 1e-6).rsqrt()
    expected = inputs * root * (weight + offset)
    assert_same_gradients(rms_norm(inputs, weight, 1e-6, offset=offset), expected, [inputs])
    assert torch.autograd.gradcheck(
        lambda given: rms_norm(given, weight, 1e-6, offset=offset), inputs, fast_mode=True
    )


# Real blocks of all families, fused and not.


def adapted_model(
    folder: Path, *, fused: bool, method: Any = "qlora", targets: Any = "all-linear", rank: int = 4
) -> Passes:
    base = load_base(tiny.model_part(folder), method=method)
    recipe = Recipe(rank=rank, alpha=8, targets=targets, rslora=True)
    model = lora.attach_adapter(base.model, recipe, fused=fused)
    torch.manual_seed(5)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            nn.init.normal_(parameter, std=0.05)
        if "norm" in name or name.endswith("proj.base_layer.bias"):
            parameter.data += torch.randn_like(parameter) * 0.1
    return Passes(model.train(), base.device, base.compute)


def examples() -> list[list[Example]]:
    draw = torch.Generator().manual_seed(3)
    rows = []
    for _ in range(2):
        ids = torch.randint(5, 200, (40,), generator=draw).tolist()
        rows.append([Example(ids, [True] * 40)])
    return rows


def gradient(passes: Passes) -> tuple[float, Tensor]:
    trained = [p for p in passes.model.parameters() if p.requires_grad]
    batch = make_batch(examples(), pad_id=0)
    loss = passes.summed_loss(batch) / len(batch.targets)
    found = torch.autograd.grad(loss, trained)
    assert {each.dtype for each in found} == {torch.float32}
    return float(loss.detach()), torch.cat([each.flatten() for each in found])


def assert_close(one: tuple[float, Tensor], two: tuple[float, Tensor], share: float) -> None:
    assert one[0] == pytest.approx(two[0], rel=share / 4)
    assert float((one[1] - two[1]).norm()) <= share * float(two[1].norm())
    assert float(two[1].norm()) > 0


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {
        family: tiny.write_model(tmp_path_factory.mktemp(family), family)
        for family in tiny.FAMILIES
    }


def in_32_bit(passes: Passes) -> Passes:
    """What rounds least: only the order of sums differs between the paths."""
    from workbench.engine.loading import widen

    widen(passes.model.get_base_model(), torch.float32)
    passes.compute = torch.float32
    return passes


@pytest.mark.parametrize("method", ["qlora", "lora"])
@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_fused_blocks_are_the_usual_ones(
    folders: dict[str, Path], family: str, method: str
) -> None:
    fused, usual = (
        adapted_model(folders[family], fused=each, method=method) for each in (True, False)
    )
    assert_close(gradient(fused), gradient(usual), 0.05)
    # The backward pass of bitsandbytes rounds 4-bit weights to 16 bit even here.
    share = 5e-3 if method == "qlora" else 1e-4
    assert_close(gradient(in_32_bit(fused)), gradient(in_32_bit(usual)), share)


@pytest.mark.parametrize(
    "targets", [("q_proj", "v_proj"), ("down_proj",), ("up_proj", "o_proj"), ("k_proj",)]
)
def test_some_targets_only(folders: dict[str, Path], targets: tuple[str, ...]) -> None:
    fused, usual = (
        in_32_bit(adapted_model(folders["qwen2"], fused=each, method="lora", targets=targets))
        for each in (True, False)
    )
    assert_close(gradient(fused), gradient(usual), 1e-4)


@pytest.mark.parametrize("family", ["llama", "phi3", "gemma2"])
def test_recomputed_and_waiting_elsewhere_it_is_the_same_to_the_bit(
    folders: dict[str, Path], family: str
) -> None:
    passes = adapted_model(folders[family], fused=True)
    kept = gradient(passes)
    assert torch.equal(gradient(passes)[1], kept[1])
    for layers, offload in ((1, False), (2, False), (2, True)):
        recompute_layers(passes.model, layers, offload=offload)
        assert torch.equal(gradient(passes)[1], kept[1])


def nodes(passes: Passes) -> set[str]:
    """Return the names of the autograd nodes of a forward pass."""
    waiting: list[Any] = [passes.summed_loss(make_batch(examples(), pad_id=0)).grad_fn]
    seen, names = set(), set()
    while waiting:
        node = waiting.pop()
        if node is not None and node not in seen:
            seen.add(node)
            names.add(type(node).__name__)
            waiting.extend(following for following, _ in node.next_functions)
    return names


FUSED = {"_LinearsBackward", "_GatedMlpBackward", "_RmsNormBackward"}


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_no_linear_of_a_block_is_left_out(folders: dict[str, Path], family: str) -> None:
    names = nodes(adapted_model(folders[family], fused=True))
    assert names >= FUSED
    assert not names & {"MatMul4BitBackward", "SiluBackward0", "GeluBackward0"}


@pytest.mark.parametrize("told", [{"dropout": 0.1}, {"dora": True}])
def test_what_the_nodes_cannot_do_goes_the_usual_way(
    folders: dict[str, Path], told: dict[str, Any]
) -> None:
    base = load_base(tiny.model_part(folders["llama"]), method="qlora")
    model = lora.attach_adapter(base.model, Recipe(rank=4, alpha=8, **told)).train()
    assert not nodes(Passes(model, base.device, base.compute)) & FUSED


def test_a_base_asked_beside_its_adapters_answers_as_itself(folders: dict[str, Path]) -> None:
    passes = adapted_model(folders["qwen2"], fused=True)
    batch = make_batch(examples(), pad_id=0)
    with_adapter = float(passes.summed_loss(batch).detach())
    with passes.model.disable_adapter():
        alone = float(passes.summed_loss(batch).detach())
        with torch.no_grad():
            unseen = float(passes.summed_loss(batch).detach())
    assert alone == pytest.approx(unseen, rel=1e-3)
    assert abs(with_adapter - alone) > 1e-2


def test_several_adapters_at_once_are_added_up(folders: dict[str, Path]) -> None:
    from peft import LoraConfig

    passes = adapted_model(folders["llama"], fused=True)
    config = LoraConfig(r=4, target_modules=["q_proj", "up_proj"], init_lora_weights=False)
    passes.model.add_adapter("other", config)
    batch = make_batch(examples(), pad_id=0)

    def loss() -> float:
        return float(passes.summed_loss(batch).detach())

    one = loss()
    passes.model.set_adapter("other")
    two = loss()
    passes.model.base_model.set_adapter(["default", "other"])
    with torch.no_grad():
        both_unseen = loss()
    assert loss() == pytest.approx(both_unseen, rel=1e-3)
    assert len({round(each, 3) for each in (one, two, both_unseen)}) == 3


def test_an_answer_is_that_of_the_usual_path(folders: dict[str, Path]) -> None:
    ids = torch.arange(5, 25).unsqueeze(0)
    fused, usual = (
        adapted_model(folders["gemma3_text"], fused=each).model.eval() for each in (True, False)
    )
    with torch.no_grad():
        assert torch.equal(fused(input_ids=ids).logits, usual(input_ids=ids).logits)


def test_nothing_waits_after_a_pass(folders: dict[str, Path]) -> None:
    passes = adapted_model(folders["llama"], fused=True)
    gradient(passes)
    layer: Any = decoder_layers(passes.model)[0]
    assert not layer.self_attn.q_proj.forward._together._waiting


def test_a_pass_that_broke_off_is_let_go_of_by_the_first_layer_of_the_next(
    folders: dict[str, Path],
) -> None:
    passes = adapted_model(folders["qwen3"], fused=True)
    layers: list[Any] = list(decoder_layers(passes.model))
    first, last = layers[0], layers[-1]
    norm, kept = last.self_attn.q_norm, []
    usual = norm.forward

    def no_room(queries: Tensor) -> Tensor:
        _, keys = last.self_attn.q_proj.forward._together._waiting[1]
        kept.append(weakref.ref(keys))
        raise MemoryError

    norm.forward = no_room  # between the queries and the keys that were made with them
    with pytest.raises(MemoryError):
        gradient(passes)
    norm.forward = usual
    before = first.self_attn.o_proj.forward

    def looked_at(inputs: Tensor) -> Tensor:
        gc.collect()
        assert kept[0]() is None
        found: Tensor = before(inputs)
        return found

    first.self_attn.o_proj.forward = looked_at
    gradient(passes)
