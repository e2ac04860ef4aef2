"""What an export says of itself: run record, bill of materials and model card.

Names of datasets, paths and record text stay inside: a dataset is named by the hash of its sealed
content, which whoever holds the vault can look up.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from workbench.exports.contract import FIDELITY_FILE, ExportRequest
from workbench.exports.loading_code import how_to_load

RUN_RECORD_FILE = "run_record.json"
BOM_FILE = "ml-bom.cdx.json"
CARD_FILE = "README.md"

_RUN_FIELDS = (
    "adapter", "run", "created", "method", "rank", "alpha", "targets", "parameters", "steps",
    "recipe", "seeds", "versions", "metrics", "protection", "lineage", "sha256",
)  # fmt: skip
# Evaluations are kept under the names of datasets.
_PRIVATE_METRICS = ("evaluations",)


@dataclass(frozen=True)
class Description:
    """What is known of one export.

    Attributes:
        name: The adapter's name.
        record: The adapter's manifest as the catalogue holds it.
        family: The base's model family.
        request: What was asked for.
        fidelity: Figures of the written files.
        vault_public_key: Ed25519 key (hex) that signs the manifest.
    """

    name: str
    record: Mapping[str, Any]
    family: str
    request: ExportRequest
    fidelity: Mapping[str, Any]
    vault_public_key: str


def describe(stage: Path, about: Description) -> None:
    """Write the run record, the bill of materials, the model card and the fidelity figures."""
    _write(stage / FIDELITY_FILE, dict(about.fidelity))
    _write(stage / RUN_RECORD_FILE, run_record(about))
    _write(stage / BOM_FILE, bill_of_materials(about))
    (stage / CARD_FILE).write_text(model_card(about), encoding="utf-8")


def run_record(about: Description) -> dict[str, Any]:
    """Return how the adapter was made and how it was exported."""
    record = about.record
    kept = {name: record[name] for name in _RUN_FIELDS}
    kept["metrics"] = {k: v for k, v in record["metrics"].items() if k not in _PRIVATE_METRICS}
    return {
        "version": 1,
        "name": about.name,
        **kept,
        "base": {k: record["base"][k] for k in ("name", "sha256", "fingerprint")},
        "dataset": {"root": record["dataset"]["root"]},
        "export": {
            "target": about.request.target,
            "base": about.request.base,
            "fidelity": dict(about.fidelity),
        },
    }


def bill_of_materials(about: Description) -> dict[str, Any]:
    """Return an ML-BOM: CycloneDX 1.6, with the model card's machine-readable half."""
    record = about.record
    versions: Mapping[str, str] = record["versions"]
    # The same export gets the same serial number, so that folders can be compared.
    told = f"{record['sha256']}/{about.request.target}/{about.request.base}"
    libraries = [
        {
            "type": "library",
            "bom-ref": f"pkg:pypi/{name}@{version}",
            "name": name,
            "version": version,
            "purl": f"pkg:pypi/{name}@{version}",
        }
        for name, version in sorted(versions.items())
    ]
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, told)}",
        "version": 1,
        "metadata": {
            "timestamp": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "tools": {
                "components": [
                    {
                        "type": "application",
                        "name": "qlora-workbench",
                        "version": str(versions.get("qlora-workbench", "unknown")),
                    }
                ]
            },
            "component": _model_component(about),
        },
        "components": [_base_component(record), _dataset_component(record), *libraries],
        "dependencies": [
            {"ref": "model", "dependsOn": ["base", "dataset", *(i["bom-ref"] for i in libraries)]}
        ],
    }


def _model_component(about: Description) -> dict[str, Any]:
    record = about.record
    measured = (
        ("top-1 agreement with the adapter as trained", "top1_agreement"),
        ("mean KL divergence from the adapter as trained (nats)", "mean_kl"),
        ("perplexity of the adapter as trained", "perplexity_adapter"),
        ("perplexity of this export", "perplexity_export"),
    )
    return {
        "type": "machine-learning-model",
        "bom-ref": "model",
        "name": about.name,
        "version": record["created"],
        "hashes": _sha256(record["sha256"]),
        "pedigree": {"ancestors": [_base_component(record) | {"bom-ref": "ancestor"}]},
        "modelCard": {
            "modelParameters": {
                "approach": {"type": "supervised"},
                "task": "text-generation",
                "architectureFamily": about.family,
                "datasets": [{"ref": "dataset"}],
            },
            "quantitativeAnalysis": {
                "performanceMetrics": [
                    {"type": label, "value": f"{about.fidelity[key]:.6g}"}
                    for label, key in measured
                ]
            },
        },
    }


def _base_component(record: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "type": "machine-learning-model",
        "bom-ref": "base",
        "name": record["base"]["name"],
        "hashes": _sha256(record["base"]["sha256"]),
    }


def _dataset_component(record: Mapping[str, Any]) -> dict[str, Any]:
    root = record["dataset"]["root"]
    return {
        "type": "data",
        "bom-ref": "dataset",
        "name": "private training data",
        "hashes": _sha256(root),
        "data": [{"type": "dataset", "classification": "private"}],
    }


def _sha256(value: str) -> list[dict[str, str]]:
    return [{"alg": "SHA-256", "content": value}] if value else []


def model_card(about: Description) -> str:
    """Return the folder's README: what it is, how to load it, how it was made, how to check it."""
    record, fidelity = about.record, about.fidelity
    kind = "peft" if about.request.target == "peft" else "transformers"
    measured_on = "held-out records" if fidelity.get("held_out") else "built-in probe texts"
    base_note = {
        "peft": "An adapter; it needs its base model, in the precision that it was trained on.",
        "safetensors": "A merged model: the base's weights as they were trained on, plus the "
        "adapter."
        if about.request.base == "exact"
        else "A merged model: the base's original 16-bit weights plus the adapter.",
    }[about.request.target]
    return f"""---
library_name: {kind}
base_model: {json.dumps(record["base"]["name"])}
pipeline_tag: text-generation
---

# {about.name}

{base_note}

```python
{how_to_load(about.request.target, record["method"])}
```

| | |
|---|---|
| base | {record["base"]["name"]}, SHA-256 `{record["base"]["sha256"]}` |
| method | {record["method"]}, rank {record["rank"]}, {record["parameters"]:,} trained parameters |
| data | private; sealed content hash `{record["dataset"]["root"]}` |
| steps | {record["steps"]} |
| made | {record["created"]} |

## Fidelity

Measured on {measured_on} ({fidelity["positions"]} positions), these files loaded afresh against
base and adapter as they were trained:

| top-1 agreement | mean KL (nats) | perplexity as trained | perplexity of these files |
|---|---|---|---|
| {fidelity["top1_agreement"]:.4f} | {fidelity["mean_kl"]:.2e} | \
{fidelity["perplexity_adapter"]:.4f} | {fidelity["perplexity_export"]:.4f} |

## Limits

Trained on private data. Before you pass it on: a language model can repeat what it was trained
on. The licence of the base model applies to what is derived from it.

## Check

`MANIFEST.json` lists the SHA-256 of every file here; `MANIFEST.json.sig` is its raw Ed25519
signature by the vault whose public key is `{about.vault_public_key}`.
"""


def _write(path: Path, document: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(document, indent=2, sort_keys=True) + "\n", encoding="utf-8")
