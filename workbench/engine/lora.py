"""LoRA on the linear layers of the blocks, through peft: attach, load, and take out again."""

from __future__ import annotations

from collections.abc import Mapping
from types import MethodType
from typing import Any

import torch
from peft import (
    LoraConfig,
    PeftModel,
    get_peft_model,
    get_peft_model_state_dict,
    set_peft_model_state_dict,
)
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn

from workbench.adapters.storage import StoredAdapter
from workbench.engine.fusing import fuse
from workbench.engine.loading import decoder_layers, inner
from workbench.engine.tensorfile import TensorFile, outlines
from workbench.errors import BadInput, VaultDamaged
from workbench.recipe import Recipe

# What an adapter's file must not say: where the base lay on this machine.
_LOCAL_FIELDS = ("base_model_name_or_path", "revision", "auto_mapping", "peft_version")


def linear_names(model: Any) -> tuple[str, ...]:
    """Return the last names of the linear modules in the decoder layers, sorted."""
    layer = decoder_layers(model)[0]
    return tuple(
        sorted(
            {
                name.rpartition(".")[2]
                for name, m in layer.named_modules()
                if isinstance(m, nn.Linear)
            }
        )
    )


def attach_adapter(model: Any, recipe: Recipe, *, fused: bool = True) -> PeftModel:
    """Wrap the model with a fresh adapter; its float32 weights are all that wants gradients.

    The random start of the A matrices depends on `recipe.seed` alone.

    Args:
        fused: Whether plain adapters (no dropout, no DoRA) train by `workbench.engine.fused`.

    Raises:
        BadInput: A module that the recipe targets is not a linear layer of the blocks.
    """
    available = linear_names(model)
    targets = available if isinstance(recipe.targets, str) else tuple(sorted(recipe.targets))
    unknown = sorted(set(targets) - set(available))
    if unknown:
        raise BadInput(
            f"The model has no layer that an adapter could sit on for: {', '.join(unknown)}.",
            hint=f"Its linear layers are {', '.join(available)}.",
            code="unknown_target",
        )
    config = LoraConfig(
        r=recipe.rank,
        lora_alpha=recipe.alpha,
        lora_dropout=recipe.dropout,
        # By suffix: no supported family has such a name outside its blocks.
        target_modules=list(targets),
        use_rslora=recipe.rslora,
        use_dora=recipe.dora,
        bias="none",
        task_type="CAUSAL_LM",
    )
    torch.manual_seed(recipe.seed)
    wrapped = get_peft_model(model, config, autocast_adapter_dtype=True)
    if not recipe.dropout and not recipe.dora:
        _shorten_forward(wrapped)
        if fused:
            fuse(wrapped)
    return wrapped


def _shorten_forward(model: PeftModel) -> None:
    """Let adapted layers compute plain LoRA alone, while they are trained.

    peft's forward copies the base's output, casts inputs to float32 and back where autocast is
    that of a CPU, and scales the wide output; this one computes the same sum and saves a fifth of
    a step on a CPU.
    """
    for module in model.modules():
        if isinstance(module, LoraLayer):
            module.forward = MethodType(_plain_forward, module)


def _plain_forward(layer: Any, inputs: Tensor) -> Tensor:
    used = [name for name in layer.active_adapters if name in layer.lora_A]
    if layer.disable_adapters or layer.merged or len(used) != 1:
        usual: Tensor = type(layer).forward(layer, inputs)
        return usual
    name = used[0]
    down, up = layer.lora_A[name].weight, layer.lora_B[name].weight
    wide: Tensor = layer.base_layer(inputs)
    # Autocast casts weights and inputs alike; without it the sum is taken in the adapter's type.
    if not torch.is_autocast_enabled(inputs.device.type):
        inputs = inputs.to(down.dtype)
    low = nn.functional.linear(inputs, down) * layer.scaling[name]
    return wide + nn.functional.linear(low, up).to(wide.dtype)


def adapter_config(model: PeftModel, name: str = "default") -> dict[str, Any]:
    """Return the content of `adapter_config.json`: stable, and silent about this machine."""
    plain: dict[str, Any] = model.peft_config[name].to_dict()
    for field in _LOCAL_FIELDS:
        plain[field] = None
    plain["inference_mode"] = True
    return {key: _stable(value) for key, value in sorted(plain.items())}


def adapter_tensors(model: PeftModel, name: str = "default") -> dict[str, Tensor]:
    """Return the adapter's weights under the names of peft's own files, sorted, on their device."""
    found = get_peft_model_state_dict(model, adapter_name=name, save_embedding_layers=False)
    return {key: found[key].detach() for key in sorted(found)}


def load_adapter(model: Any, stored: StoredAdapter, name: str) -> PeftModel:
    """Put a stored adapter on the model under `name`, beside those that are there, and select it.

    Raises:
        VaultDamaged: The tensors are not those which the configuration calls for.
    """
    known = {key: value for key, value in stored.config.items() if key in _CONFIG_FIELDS}
    lora = LoraConfig(**known)
    lora.inference_mode = True
    if isinstance(model, PeftModel):
        if name in model.peft_config:
            raise ValueError("an adapter of that name is on the model already")
        model.add_adapter(name, lora)
        wrapped = model
    else:
        wrapped = get_peft_model(model, lora, adapter_name=name)
    restore_adapter(wrapped, TensorFile(stored.tensors), name)
    wrapped.set_adapter(name)
    wrapped.requires_grad_(False)
    wrapped.eval()
    return wrapped


def restore_adapter(model: PeftModel, tensors: Mapping[str, Tensor], name: str = "default") -> None:
    """Overwrite the adapter's weights.

    Raises:
        VaultDamaged: Names or shapes are not those of the adapter.
    """
    if _shapes(adapter_tensors(model, name)) != _shapes(tensors):
        raise VaultDamaged(
            "The stored adapter does not fit this base model.",
            hint="It belongs to another model, or its files were changed.",
            code="adapter_mismatch",
        )
    set_peft_model_state_dict(model, dict(tensors), adapter_name=name)


def full_tensors(model: Any) -> dict[str, Tensor]:
    """Return all weights under transformers' names, sorted; tied ones once."""
    return dict(sorted((name, p.detach()) for name, p in inner(model).named_parameters()))


def _shapes(tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(outline.shape) for name, outline in outlines(tensors).items()}


def load_full(model: Any, tensors: Mapping[str, Tensor]) -> None:
    """Overwrite all weights of the model with those of a full fine-tuning, one at a time.

    Raises:
        VaultDamaged: Names or shapes are not those of the model.
    """
    own = full_tensors(model)
    if _shapes(own) != _shapes(tensors):
        raise VaultDamaged(
            "The stored weights do not fit this base model.",
            hint="They belong to another model, or their files were changed.",
            code="adapter_mismatch",
        )
    with torch.no_grad():
        for key, tensor in tensors.items():
            own[key].copy_(tensor)


def _stable(value: Any) -> Any:
    if isinstance(value, set | frozenset):
        return sorted(value)
    if isinstance(value, dict):
        return {str(key): _stable(item) for key, item in sorted(value.items())}
    return getattr(value, "value", value)


_CONFIG_FIELDS = frozenset(LoraConfig.__dataclass_fields__) - {"runtime_config", "auto_mapping"}
