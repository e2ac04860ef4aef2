"""What the engine itself would hold: its tracer, run as a child, beside what was predicted.

The child needs neither weights nor a GPU and takes seconds to a minute. It locks itself down before
it imports anything heavy; this process never does.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from typing import Any

from workbench.airgap.environment import child_environment
from workbench.errors import BadInput
from workbench.models import confined
from workbench.planning.budget import Budget
from workbench.planning.candidates import Candidate
from workbench.recipe import Recipe

WALL_SECONDS = 900.0
_LARGEST_REPLY = 1 << 20


def trace(
    config: Mapping[str, Any], recipe: Recipe, candidate: Candidate, budget: Budget
) -> dict[str, Any]:
    """Return the trace of a candidate, as plain JSON values.

    `peak_bytes` and `resident_bytes`, the peak's `parts` and `layers` and its `moment`, the
    `course` of the bytes over the `operations`, the `seconds` that it took; and `predicted_bytes`,
    what the formulas say of the same tensors, with `difference`, theirs by the trace, less 1.

    Args:
        config: The model's config.json.
        recipe: Settled for the candidate.

    Raises:
        BadInput: The config is not one of a supported family (as `facts_from_config`), or the trace
            took too long or could not be made (`trace_stopped`).
        Refused: This machine cannot lock the child down (`not_sealed`).
    """
    request = {
        "config": dict(config),
        "recipe": recipe.to_json(),
        "device": budget.device,
        "bf16": budget.compute_bytes == 2,
    }
    try:
        done = subprocess.run(
            confined.command("workbench.engine.referee"),
            input=json.dumps(request).encode(),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=child_environment(),
            timeout=WALL_SECONDS,
            check=False,
        )
        told = json.loads(done.stdout) if len(done.stdout) <= _LARGEST_REPLY else None
    except (subprocess.TimeoutExpired, ValueError):
        told = None
    if not isinstance(told, dict):
        raise BadInput(
            "The trace was stopped: it took too long, or this config.json cannot be built.",
            hint="The plan without --trace stands; compare config.json with the publisher's.",
            code="trace_stopped",
        )
    confined.raise_told(told)
    predicted = candidate.predicted.allocated
    return {
        **told,
        "predicted_bytes": predicted,
        "difference": round(predicted / told["peak_bytes"] - 1, 4),
    }
