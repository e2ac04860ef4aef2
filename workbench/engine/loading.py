"""From a clean model folder to a base that can be trained or asked.

The folder was screened when the model was registered; here every file is hashed again and
compared with its pin before anything is parsed, weights are read from safetensors alone, and
transformers is told to stay offline and to run no code of the model's.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from bitsandbytes.nn import Linear4bit
from torch import Tensor, nn

from workbench.engine import nf4, quantising
from workbench.engine.attention import attend_by_record
from workbench.errors import BadInput, VaultDamaged
from workbench.models.facts import ModelFacts, facts_from_config

Method = Literal["qlora", "lora", "full"]
_READ_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True)
class LoadedBase:
    """A base model in memory, in evaluation mode, with no parameter that wants a gradient.

    Attributes:
        model: A causal language model of transformers.
        facts: What its config says.
        fingerprint: SHA-256 of the weights as computed with: NF4 codes and constants for
            `qlora`, the 16-bit tensors otherwise. Adapters are bound to it, and it is the same on
            every device.
        compute: The dtype of the arithmetic: bfloat16, or float32 on CPUs that lack it.
    """

    model: Any
    facts: ModelFacts
    fingerprint: str
    method: Method
    device: torch.device
    compute: torch.dtype

    @property
    def layers(self) -> nn.ModuleList:
        """The decoder layers, in order."""
        return decoder_layers(self.model)


def compute_dtype(device: torch.device) -> torch.dtype:
    """Return bfloat16 where the device multiplies in it, else float32."""
    if device.type == "cuda":
        # Cards before Ampere emulate it, slowly; the planner counts float32 for them too.
        native = torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.bfloat16 if native else torch.float32
    mkldnn = torch.backends.mkldnn.is_available()
    fast = mkldnn and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return torch.bfloat16 if fast else torch.float32


def verify_files(
    folder: Path,
    files: Mapping[str, Any],
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Compare each file of the folder with its pinned SHA-256.

    Args:
        files: Name to hex digest, or to an object with `sha256`.
        progress: Called with the bytes done and the bytes in all.

    Raises:
        VaultDamaged: A file is missing or differs.
    """
    total = sum((folder / name).stat().st_size for name in files if (folder / name).is_file())
    done = 0
    for name, pin in files.items():
        expected = pin["sha256"] if isinstance(pin, Mapping) else pin
        digest = hashlib.sha256()
        try:
            with (folder / name).open("rb") as file:
                while block := file.read(_READ_BYTES):
                    digest.update(block)
                    done += len(block)
                    if progress is not None:
                        progress(done, total)
        except FileNotFoundError:
            digest = hashlib.sha256(b"missing")
        if digest.hexdigest() != expected:
            raise VaultDamaged(
                "A file of the base model differs from what was registered.",
                hint="`workbench model verify` names it. Register the model again from a good "
                "copy; adapters stay valid if its weights are the same.",
                code="model_changed",
            )


def load_base(
    spec: Mapping[str, Any],
    *,
    method: Method,
    device: str | torch.device = "cpu",
    progress: Callable[[int, int], None] | None = None,
) -> LoadedBase:
    """Verify and load the model that a job's sealed specification names.

    Args:
        spec: `folder` and `files` (name to pinned SHA-256).
        method: `qlora` quantises the layers' weights to NF4 with double quantisation; `lora`
            keeps them in bfloat16; `full` makes everything float32.

    Raises:
        VaultDamaged: A file differs from its pin.
        BadInput: The config is not one of a supported family.
    """
    folder = Path(spec["folder"])
    verify_files(folder, spec["files"], progress)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    if "quantization_config" in config:
        raise BadInput(
            "This model is quantised already; training starts from 16-bit weights.",
            code="already_quantised",
        )
    facts = facts_from_config(config)
    place = torch.device(device)
    if place.type == "cuda":
        # Random states, streams and synchronisation go by the current device.
        torch.cuda.set_device(place)
    compute = compute_dtype(place)
    with quantising.reproducible():
        model = _from_folder(folder, config, method, place)
    if method == "qlora":
        nf4.guard(model)
        _let_go_of_files(model)
    if place.type == "cpu":
        attend_by_record(model)
    model.requires_grad_(False)
    model.eval()
    fingerprint = nf4.fingerprint(model) if method == "qlora" else _plain_fingerprint(model)
    if method == "full" or compute == torch.float32:
        widen(model, compute)
    return LoadedBase(model, facts, fingerprint, method, place, compute)


def decoder_layers(model: Any) -> nn.ModuleList:
    """Return the decoder layers of a causal language model, wrapped by peft or not."""
    layers: nn.ModuleList = inner(model).model.layers
    return layers


def inner(model: Any) -> Any:
    """Return the transformers model inside a peft wrapper, or the model itself."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def attention_of(config: Mapping[str, Any]) -> str:
    """Return `eager` for Gemma 2: it bounds attention scores, which fused kernels leave out."""
    if config.get("model_type") != "gemma2":
        return "sdpa"
    return "eager" if config.get("attn_logit_softcapping", 50.0) else "sdpa"


def _from_folder(
    folder: Path, config: Mapping[str, Any], method: Method, device: torch.device
) -> Any:
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig
    from transformers.utils import logging

    logging.disable_progress_bar()
    quantisation = None
    if method == "qlora":
        quantisation = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=compute_dtype(device),
            bnb_4bit_quant_storage=torch.uint8,
        )
    return AutoModelForCausalLM.from_pretrained(
        str(folder),
        dtype=torch.bfloat16,
        quantization_config=quantisation,
        device_map={"": str(device)},
        attn_implementation=attention_of(config),
        use_safetensors=True,
        trust_remote_code=False,
        local_files_only=True,
        low_cpu_mem_usage=True,
    )


def _let_go_of_files(model: nn.Module) -> None:
    """Copy what stays in 16 bits out of the weight files, which are mapped as long as it is there.

    On a CPU the pages of a whole 16-bit model would stay resident beside its 4-bit weights.
    """
    for parameter in model.parameters():
        if parameter.device.type == "cpu" and parameter.is_floating_point():
            parameter.data = parameter.data.clone()


def _plain_fingerprint(model: nn.Module) -> str:
    digest = hashlib.sha256(b"plain/1\n")
    for name, parameter in sorted(model.named_parameters()):
        digest.update(f"{name} {parameter.dtype} {tuple(parameter.shape)}\n".encode())
        flat = parameter.detach().cpu().contiguous().reshape(-1)
        digest.update(flat.view(torch.uint8).numpy().data)
    return digest.hexdigest()


def widen(model: nn.Module, compute: torch.dtype) -> None:
    """Make all but 4-bit codes float32: to train every weight, or for want of bfloat16."""
    for module in model.modules():
        if isinstance(module, Linear4bit):
            module.compute_dtype = compute
            own: list[Tensor] = [] if module.bias is None else [module.bias]
        else:
            own = list(module.parameters(recurse=False))
        for parameter in own:
            if parameter.is_floating_point():
                parameter.data = parameter.data.float()
