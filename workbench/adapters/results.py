"""The sealed result of a short job: one JSON document under the run's key.

The engine writes it, the front door that started the job reads it. Answers and transcripts stand
here and in no other file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from workbench.vault import formats
from workbench.vault.sealed import DataKey, read_sealed, write_sealed

RESULT_FILE = "result.sealed"


def write_result(run_folder: Path, key: DataKey, document: Mapping[str, Any]) -> None:
    """Seal `document` into the run's folder."""
    body = json.dumps(document, allow_nan=False).encode()
    write_sealed(run_folder / RESULT_FILE, key, formats.RESULT, [body], {})


def read_result(run_folder: Path, key: DataKey) -> dict[str, Any]:
    """Open what `write_result` sealed.

    Raises:
        VaultDamaged: there is none, or it does not verify.
    """
    document: dict[str, Any] = json.loads(
        read_sealed(run_folder / RESULT_FILE, key, formats.RESULT).read()
    )
    return document
