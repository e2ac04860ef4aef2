"""Two adapters beside each other: what was told differently, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from workbench.adapters.library import show_adapter

if TYPE_CHECKING:
    from workbench.vault.store import Vault

_FACTS = ("method", "rank", "alpha", "targets", "parameters", "bytes", "steps", "created")


def compare_adapters(vault: Vault, first: str, second: str) -> dict[str, Any]:
    """Return what two adapters have in common and where they differ.

    Returns:
        `adapters`: their names; `same_base`, `same_dataset`; `facts`, `recipe` and `metrics`, each
        {key: [of the first, of the second]}, None where one has no such key. Of `recipe` only what
        differs; `metrics` are flattened, levels joined by dots.

    Raises:
        NotFound: There is no such adapter.
    """
    sides = [show_adapter(vault, name) for name in (first, second)]
    recipe = _beside(sides[0]["recipe"], sides[1]["recipe"])
    return {
        "adapters": [side["adapter"] for side in sides],
        "same_base": sides[0]["base"]["fingerprint"] == sides[1]["base"]["fingerprint"],
        "same_dataset": sides[0]["dataset"]["root"] == sides[1]["dataset"]["root"],
        "facts": {
            "base": [side["base"]["name"] for side in sides],
            "dataset": [side["dataset"]["name"] for side in sides],
            **{name: [side[name] for side in sides] for name in _FACTS},
        },
        "recipe": {key: pair for key, pair in recipe.items() if pair[0] != pair[1]},
        "metrics": _beside(flat(sides[0]["metrics"]), flat(sides[1]["metrics"])),
    }


def flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return the leaves of nested mappings under keys joined by dots."""
    leaves: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            leaves |= flat(value, f"{prefix}{key}.")
        else:
            leaves[prefix + key] = value
    return leaves


def _beside(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, list[Any]]:
    return {key: [first.get(key), second.get(key)] for key in sorted({*first, *second})}
