"""Write the sample data and `starter.json`, the machine-readable description of the starter.

    python packaging/starter/describe.py

Run it after `build.py`: the description holds the SHA-256 of every file of the model and data.
"""

import hashlib
import json
from pathlib import Path

from starter_recipe import triage
from starter_recipe.scenes import ALL_MATTERS
from starter_recipe.tokens import write_json

STARTER = Path(__file__).resolve().parents[2] / "workbench" / "starter"


def _files(folder: Path) -> list[dict[str, object]]:
    return [
        {
            "path": path.relative_to(STARTER).as_posix(),
            "bytes": path.stat().st_size,
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        }
        for path in sorted(folder.iterdir())
        if path.is_file()
    ]


def main() -> None:
    """Write the files."""
    data = triage.write_sample_data(STARTER / "data")
    training = json.loads((STARTER / "model" / "training.json").read_text(encoding="utf-8"))
    write_json(
        STARTER / "starter.json",
        {
            "version": 1,
            "licence": "Apache-2.0",
            "model": {
                "folder": "model",
                "files": _files(STARTER / "model"),
                "pretraining": {
                    "steps": training["steps"],
                    "tokens": training["tokens"],
                    "held_out_loss": training["held_out"][-1]["loss"],
                },
            },
            "data": {
                "folder": "data",
                "files": _files(STARTER / "data"),
                "train": ["data/triage.jsonl", "data/triage_more.csv"],
                "held_out_unseen": "data/heldout_unseen.jsonl",
                "kind": "instruction",
                "columns": list(triage.COLUMNS),
                "contents": data,
                "unseen_keywords": [matter.keyword for matter in ALL_MATTERS if matter.unseen],
            },
            "task": {
                "instruction": triage.INSTRUCTION,
                "format": " | ".join(f"{name}: {{{name}}}" for name in triage.FIELDS),
                "fields": [
                    {"name": name, "values": list(values)} for name, values in triage.FIELDS.items()
                ],
            },
            "recipe": "recipe.toml",
        },
    )


if __name__ == "__main__":
    main()
