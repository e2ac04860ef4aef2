"""What a model's configuration may not ask for: code of its own, by whatever key."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Mapping

from workbench.errors import BadInput, Refused
from workbench.models.weights import already_quantised

_FORBIDDEN = frozenset(
    {"auto_map", "custom_pipelines", "custom_generate", "trust_remote_code", "code_revision"}
)
# `_attn_implementation_internal` runs a kernel from elsewhere even when remote code is off
# (CVE-2026-4372).
_INTERNAL = re.compile(r"_.*_internal")
_IMPLEMENTATIONS = frozenset(
    {"attn_implementation", "_attn_implementation", "experts_implementation"}
)
_ARCHITECTURES = {
    "llama": "LlamaForCausalLM",
    "mistral": "MistralForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
    "gemma2": "Gemma2ForCausalLM",
    "gemma3_text": "Gemma3ForCausalLM",
    "phi3": "Phi3ForCausalLM",
}


def refuse_code(value: Mapping[str, object], name: str) -> None:
    """Look through a configuration at any depth for keys that would bring code in.

    Args:
        value: The parsed file.
        name: The file's name, for the message.

    Raises:
        Refused: Such a key stands there (code `unsafe_config`).
    """
    waiting: list[object] = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            for key, inner in item.items():
                if _forbidden(str(key), inner):
                    raise Refused(
                        f"{name} asks for code of the model's own (key {str(key)[:60]!r}).",
                        hint="Use a model that runs on the built-in classes alone.",
                        code="unsafe_config",
                    )
            waiting.extend(item.values())
        elif isinstance(item, list):
            waiting.extend(item)


def _forbidden(key: str, value: object) -> bool:
    if key in _FORBIDDEN or _INTERNAL.fullmatch(key):
        return True
    # A slash names a repository to take a kernel from.
    return key in _IMPLEMENTATIONS and (not isinstance(value, str | None) or "/" in (value or ""))


def refuse_kernels() -> None:
    """Refuse to work with models where the `kernels` package is installed.

    Raises:
        Refused: It is there; transformers would fetch and run compiled code through it.
    """
    if importlib.util.find_spec("kernels") is not None:
        raise Refused(
            "The package `kernels` is installed; through it a model's config can run code.",
            hint="Uninstall it from this environment: pip uninstall kernels.",
            code="kernels_installed",
        )


def check_architecture(config: Mapping[str, object], family: str) -> None:
    """Take only unquantised models that write text.

    Raises:
        BadInput: `already_quantised` or `unknown_architecture`.
    """
    for key in ("quantization_config", "compression_config"):
        if config.get(key):
            raise already_quantised(f"config.json has a {key}")
    named = config.get("architectures")
    wanted = _ARCHITECTURES[family]
    if named is not None and named != [wanted]:
        raise BadInput(
            f"config.json names another class than {wanted}.",
            hint="Only models that write text are supported, no classifiers or embedders.",
            code="unknown_architecture",
        )
