"""The guard against repacked 4-bit weights, and the fingerprint that adapters are bound to."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from bitsandbytes.functional import has_avx512bf16
from bitsandbytes.nn import Linear4bit

from tests.fixtures import tiny
from workbench.engine import nf4
from workbench.engine.loading import load_base
from workbench.errors import InternalError, VaultDamaged


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("nf4") / "model"
    return tiny.model_part(tiny.write_model(folder))


def test_every_four_bit_layer_is_guarded_right_after_loading(spec: dict[str, Any]) -> None:
    layers = dict(nf4.four_bit_layers(load_base(spec, method="qlora").model))
    assert len(layers) == 2 * 7
    for name, layer in layers.items():
        assert layer.support_avx512bf16_for_cpu is False, name
        assert layer.weight.quant_type == "nf4"
        assert layer.weight.quant_state.nested
        assert layer.weight.quant_state.blocksize == nf4.BLOCK
        assert layer.weight.dtype == torch.uint8


def test_norms_and_embeddings_stay_in_16_bit(spec: dict[str, Any]) -> None:
    model = load_base(spec, method="qlora").model
    if not has_avx512bf16() and model.dtype == torch.float32:
        pytest.skip("this CPU has no bfloat16, so the base computes in float32")
    others = {p.dtype for n, p in model.named_parameters() if p.dtype != torch.uint8}
    assert others == {torch.bfloat16}


def _layer() -> Linear4bit:
    torch.manual_seed(0)
    layer = Linear4bit(256, 256, bias=False, compute_dtype=torch.bfloat16, quant_type="nf4")
    layer.weight.data = torch.randn(256, 256, dtype=torch.bfloat16)
    return layer.to("cpu").eval()


@pytest.mark.filterwarnings("ignore:bitsandbytes::gemv_4bit")
@pytest.mark.skipif(not has_avx512bf16(), reason="only CPUs with AVX512-BF16 repack the weights")
def test_an_evaluation_forward_spoils_the_weights_unless_guarded() -> None:
    """Fails without the guard: the same layer, unguarded, is the negative control."""
    inputs = torch.randn(4, 256, dtype=torch.bfloat16)
    unguarded, guarded = _layer(), _layer()
    before = nf4.dequantise(guarded).clone()
    assert nf4.guard(guarded) == 1
    with torch.no_grad():
        unguarded(inputs)
        guarded(inputs)
    assert torch.equal(nf4.dequantise(guarded), before)
    with pytest.raises(InternalError, match="plain layout"):
        nf4.dequantise(unguarded)
    right = before.float().sum(0).expand(4, -1)
    torch.testing.assert_close(_gradient(guarded, inputs), right, rtol=0.1, atol=0.5)
    wrong = _gradient(unguarded, inputs)
    assert wrong is None or not torch.allclose(wrong, right, rtol=0.2, atol=2.0)


def _gradient(layer: Linear4bit, inputs: torch.Tensor) -> torch.Tensor | None:
    wanted = inputs.clone().requires_grad_()
    layer(wanted).float().sum().backward()
    return None if wanted.grad is None else wanted.grad.float()


def test_gradients_after_an_evaluation_equal_those_before(spec: dict[str, Any]) -> None:
    base = load_base(spec, method="qlora")
    ids = torch.arange(5, 25).reshape(1, -1)
    inputs = base.model.get_input_embeddings()(ids).detach()

    def gradient() -> torch.Tensor:
        wanted = inputs.clone().requires_grad_()
        base.model.train()
        base.model(inputs_embeds=wanted).logits.float().square().mean().backward()
        gradient: torch.Tensor | None = wanted.grad
        assert gradient is not None
        return gradient

    before = gradient()
    base.model.eval()
    with torch.no_grad():
        base.model(ids)
    assert torch.equal(gradient(), before)


def test_fingerprint_names_the_weights_and_not_the_moment(
    spec: dict[str, Any], tmp_path: Path
) -> None:
    one = load_base(spec, method="qlora")
    with torch.no_grad():
        one.model(torch.arange(5, 25).reshape(1, -1))
    assert nf4.fingerprint(one.model) == one.fingerprint
    assert load_base(spec, method="qlora").fingerprint == one.fingerprint
    assert load_base(spec, method="lora").fingerprint != one.fingerprint
    other = tiny.model_part(tiny.write_model(tmp_path / "other", seed=1))
    assert load_base(other, method="qlora").fingerprint != one.fingerprint


@pytest.mark.parametrize("part", ["codes", "absmax", "nested", "offset"])
def test_fingerprint_covers_every_part(part: str) -> None:
    layer = _layer()
    nf4.guard(layer)
    model = torch.nn.Sequential(layer)
    before = nf4.fingerprint(model)
    state = layer.weight.quant_state
    target = {
        "codes": layer.weight.data,
        "absmax": state.absmax,
        "nested": state.state2.absmax,
        "offset": state.offset,
    }[part]
    flat = target.view(-1)
    flat[0] = flat[0] + 1
    assert nf4.fingerprint(model) != before


def test_dequantised_weight_is_what_the_layer_computes_with() -> None:
    layer = _layer()
    nf4.guard(layer)
    inputs = torch.randn(3, 256, dtype=torch.bfloat16)
    with torch.no_grad():
        expected = inputs @ nf4.dequantise(layer).T
        torch.testing.assert_close(layer(inputs), expected, rtol=2e-2, atol=2e-1)


def test_a_changed_file_is_refused_before_it_is_parsed(
    spec: dict[str, Any], tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(spec["folder"], folder)
    weights = folder / "model.safetensors"
    body = bytearray(weights.read_bytes())
    body[-1] ^= 1
    weights.write_bytes(body)
    with pytest.raises(VaultDamaged, match="differs from what was registered"):
        load_base({**spec, "folder": str(folder)}, method="lora")
    weights.unlink()
    with pytest.raises(VaultDamaged):
        load_base({**spec, "folder": str(folder)}, method="lora")


def test_the_notice_of_a_missing_kernel_package_stays_unsaid(
    caplog: pytest.LogCaptureFixture,
) -> None:
    import logging

    from workbench.engine.quiet import settle

    settle()
    logger = logging.getLogger("bitsandbytes.backends.cpu.ops")
    logger.warning("Failed to load CPU gemm_4bit_forward from kernels-community: %s", "x")
    logger.warning("something else")
    assert [record.message for record in caplog.records] == ["something else"]


def test_no_weight_file_stays_mapped_behind_a_four_bit_base(spec: dict[str, Any]) -> None:
    """Its pages would count as memory of the process, all 16-bit weights of them."""
    base = load_base(spec, method="qlora")
    assert base.layers is not None
    assert "model.safetensors" not in Path("/proc/self/maps").read_text()
