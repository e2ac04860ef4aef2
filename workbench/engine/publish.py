"""The end of a training run: its weights become a sealed adapter with a manifest."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from workbench.adapters.manifest import AdapterManifest, BaseRecord, DatasetRecord
from workbench.adapters.storage import SealedAdapter, seal_adapter
from workbench.engine.session import Session
from workbench.engine.tensorfile import outlines, stream_tensors
from workbench.recipe import Recipe

_LIBRARIES = ("torch", "transformers", "peft", "bitsandbytes", "qlora-workbench")


def versions() -> dict[str, str]:
    """Return the versions of the libraries that decide about the numbers."""
    found = {}
    for name in _LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "unknown"
    return found


def publish(
    session: Session,
    recipe: Recipe,
    *,
    config: Mapping[str, Any],
    tensors: Mapping[str, Tensor],
    fingerprint: str,
    metrics: Mapping[str, Any],
    steps: int,
) -> SealedAdapter:
    """Seal the trained weights into the adapter's folder and tell it.

    Full fine-tuning publishes all weights in bfloat16; adapters stay float32.

    Args:
        config: peft's `adapter_config.json`, or what says that these are all weights.
        fingerprint: Of the base as it was computed with.
    """
    sealed, adapter = session.sealed, session.sealed["adapter"]
    full = recipe.method == "full"
    manifest = AdapterManifest(
        adapter=adapter["object_id"],
        name=adapter["name"],
        run=session.spec.run,
        created=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        method=recipe.method,
        rank=0 if full else recipe.rank,
        alpha=0 if full else recipe.alpha,
        targets=() if full else tuple(config["target_modules"]),
        parameters=sum(outline.numel() for outline in outlines(tensors).values()),
        base=BaseRecord(
            sealed["model"]["object_id"],
            sealed["model"]["name"],
            sealed["model"].get("sha256", ""),
            fingerprint,
        ),
        dataset=DatasetRecord(
            sealed["dataset"]["object_id"], sealed["dataset"]["name"], sealed["dataset"]["root"]
        ),
        steps=steps,
        recipe=recipe.to_json(),
        seeds={"seed": recipe.seed},
        versions=versions(),
        metrics=dict(metrics),
        protection=session.protection.to_json(),
    )
    stored = seal_adapter(
        Path(adapter["folder"]),
        session.key(adapter["object_id"]),
        config=config,
        tensors=stream_tensors(tensors, torch.bfloat16 if full else None),
        manifest=manifest,
    )
    session.events.write(
        "published", adapter=adapter["object_id"], bytes=stored.bytes, sha256=stored.sha256
    )
    return stored
