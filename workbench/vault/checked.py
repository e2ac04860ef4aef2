"""Small JSON files that notice their own damage.

The SHA-256 inside is no defence against an attacker, who can recompute it: the header's MAC and
the seals are that. It tells damage from a wrong passphrase, and it lets a damaged header be
refused before its parameters are obeyed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from workbench.errors import VaultDamaged
from workbench.vault.sealed import JSON, to_json_bytes

_MAX_BYTES = 64 << 20
_HINT = "Restore this file from a backup of the home folder."


def encode_checked(fields: Mapping[str, JSON]) -> bytes:
    """Return `fields` as one line of canonical JSON that carries its own SHA-256."""
    digest = hashlib.sha256(to_json_bytes(fields)).hexdigest()
    return to_json_bytes({**fields, "sha256": digest}) + b"\n"


def decode_checked(data: bytes, name: str) -> dict[str, Any]:
    """Return the fields of what `encode_checked` wrote; `name` is the file's, for the message.

    Raises:
        VaultDamaged: Any byte differs from what was written.
    """
    try:
        fields = json.loads(data)
        digest = fields.pop("sha256")
        whole = encode_checked(fields) == data and isinstance(digest, str)
    # RecursionError: deep nesting in a file that is not ours.
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        whole = False
    if not whole:
        raise VaultDamaged(f"{name} was changed or cut.", hint=_HINT)
    return dict(fields)


def read_checked(path: Path) -> dict[str, Any]:
    """Read a file that holds what `encode_checked` wrote.

    Raises:
        VaultDamaged: It is missing, changed, cut, or far too big to be ours.
    """
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES)
    except FileNotFoundError:
        raise VaultDamaged(f"{path.name} is missing.", hint=_HINT) from None
    return decode_checked(data, path.name)  # a longer file is cut, and so damaged
