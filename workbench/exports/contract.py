"""What an export is: its targets, its request to the engine, and the gate it has to pass."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from workbench.errors import UsageError

Target = Literal["peft", "safetensors"]
Base = Literal["exact", "original"]
TARGETS: tuple[Target, ...] = ("peft", "safetensors")
BASES: tuple[Base, ...] = ("exact", "original")
# What the product will write one day; named so that nobody looks for it in vain.
PLANNED_TARGETS: tuple[str, ...] = ("nf4", "GGUF", "GGUF LoRA", "GPTQ", "AWQ")

FIDELITY_FILE = "fidelity.json"

# Held-out records that fidelity is measured on.
PROBED_RECORDS = 64

# What fidelity is measured on when no held-out record of the adapter's dataset is at hand.
PROBES: tuple[tuple[str, str], ...] = (
    (
        "Summarise the note: the visitor asked for the form and will return on Tuesday.",
        "The visitor wants the form and comes back on Tuesday.",
    ),
    (
        "Which department handles a question about a late payment?",
        "Please send it to the accounts department, which answers within two days.",
    ),
    (
        "Write one sentence that thanks a colleague for the report.",
        "Thank you for the clear report, it helped the whole team.",
    ),
    (
        "What should be checked before a meeting starts?",
        "Check the room, the list of guests and that everyone has the papers.",
    ),
)


@dataclass(frozen=True)
class Gate:
    """What the written files must reach against base and adapter as they were trained.

    Attributes:
        top1_agreement: Least share of positions with the same likeliest token.
        mean_kl: Largest mean Kullback-Leibler divergence, nats a position.
    """

    top1_agreement: float
    mean_kl: float


# A peft folder holds the same numbers, so nothing but the order of sums may differ. An exact
# merge rounds each weight to bfloat16 once (measured 1e-4 nats; a broken merge 0.9). Merging into
# the original weights adds the error of 4-bit quantisation (measured 0.05 to 0.35), which the
# figures then show; only a broken merge is stopped. The divergence is what decides, because tokens
# that are nearly tied may change places.
_GATES: dict[tuple[Target, Base], Gate] = {
    ("peft", "exact"): Gate(0.999, 1e-5),
    ("safetensors", "exact"): Gate(0.85, 0.02),
    ("safetensors", "original"): Gate(0.30, 1.0),
}


@dataclass(frozen=True)
class Fidelity:
    """The written files, loaded afresh, against base and adapter on the same tokens."""

    top1_agreement: float
    mean_kl: float
    perplexity_adapter: float
    perplexity_export: float
    positions: int
    held_out: bool

    def passes(self, gate: Gate) -> bool:
        """Say whether the files may be handed out; figures that are no numbers never pass."""
        sound = math.isfinite(self.mean_kl) and math.isfinite(self.perplexity_export)
        return sound and self.top1_agreement >= gate.top1_agreement and self.mean_kl <= gate.mean_kl

    def to_json(self) -> dict[str, Any]:
        """Return the figures as the contract names them."""
        return asdict(self)


@dataclass(frozen=True)
class ExportRequest:
    """What to write.

    Attributes:
        target: Which kind of folder.
        base: `exact` merges into the weights that the adapter was trained on, `original` into
            the 16-bit weights that those were quantised from.
    """

    target: Target
    base: Base

    @classmethod
    def parse(cls, target: str, base: str) -> ExportRequest:
        """Check both words.

        Raises:
            UsageError: one is unknown, or `original` is asked for a folder without a merge.
        """
        if target not in TARGETS:
            raise UsageError(
                f"There is no export target {target!r}.", hint=f"Choose {' or '.join(TARGETS)}."
            )
        if base not in BASES:
            raise UsageError(f"There is no base {base!r}.", hint=f"Choose {' or '.join(BASES)}.")
        if target == "peft" and base == "original":
            raise UsageError(
                "A peft folder holds no base weights, so there is none to choose.",
                hint="Leave --base out, or choose `--to safetensors`.",
            )
        return cls(target, base)

    @classmethod
    def from_spec(cls, sealed: Mapping[str, Any]) -> ExportRequest:
        """Read the request out of a job's sealed specification."""
        return cls.parse(str(sealed["target"]), str(sealed["base"]))

    @property
    def gate(self) -> Gate:
        """What the written files have to reach."""
        return _GATES[self.target, self.base]
