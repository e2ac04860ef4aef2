"""The manifest of an export folder: a SHA-256 for each file, and the vault's signature."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from workbench.errors import BadInput

MANIFEST_FILE = "MANIFEST.json"
SIGNATURE_FILE = "MANIFEST.json.sig"
_READ_BYTES = 4 * 1024 * 1024


def sign_folder(
    folder: Path, sign: Callable[[bytes], bytes], public_key: str
) -> list[dict[str, Any]]:
    """Write the manifest of everything in `folder` and its raw Ed25519 signature.

    Args:
        sign: Returns the 64-byte signature of a message.
        public_key: The key that verifies it, hexadecimal; stands in the manifest.

    Returns:
        `{path, sha256, bytes}` of every file, the manifest and its signature among them.
    """
    files = _files(folder)
    document = {
        "version": 1,
        "algorithm": "SHA-256",
        "public_key": public_key,
        "files": [_entry(folder, path) for path in files],
    }
    body = (json.dumps(document, indent=2) + "\n").encode()
    (folder / MANIFEST_FILE).write_bytes(body)
    (folder / SIGNATURE_FILE).write_bytes(sign(body))
    return [_entry(folder, path) for path in _files(folder)]


def verify_folder(folder: Path, public_key: str | None = None) -> list[str]:
    """Check an export against its manifest; return what is wrong, one line each.

    Args:
        public_key: The key that is trusted (hexadecimal). Without it the one in the manifest is
            used, which shows that the folder is whole, not whose it is.

    Raises:
        BadInput: there is no readable manifest.
    """
    try:
        body = (folder / MANIFEST_FILE).read_bytes()
        signature = (folder / SIGNATURE_FILE).read_bytes()
        document = json.loads(body)
        key = str(document["public_key"])
        listed = {str(item["path"]): str(item["sha256"]) for item in document["files"]}
        verifier = Ed25519PublicKey.from_public_bytes(bytes.fromhex(key))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadInput(
            "This folder has no readable manifest.",
            hint=f"An export holds {MANIFEST_FILE} and {SIGNATURE_FILE}.",
            code="no_manifest",
        ) from error
    bad = []
    if public_key is not None and public_key.strip().lower() != key:
        bad.append(f"{MANIFEST_FILE}: signed by another key")
    try:
        verifier.verify(signature, body)
    except InvalidSignature:
        bad.append(f"{MANIFEST_FILE}: the signature does not match")
    present = {str(path.relative_to(folder)): path for path in _files(folder)}
    for name in (MANIFEST_FILE, SIGNATURE_FILE):
        present.pop(name, None)
    bad += [f"{name}: missing" for name in sorted(listed.keys() - present.keys())]
    bad += [f"{name}: not in the manifest" for name in sorted(present.keys() - listed.keys())]
    bad += [
        f"{name}: differs"
        for name in sorted(listed.keys() & present.keys())
        if _digest(present[name]) != listed[name]
    ]
    return bad


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() or path.is_symlink())


def _entry(folder: Path, path: Path) -> dict[str, Any]:
    return {
        "path": str(path.relative_to(folder)),
        "sha256": _digest(path),
        "bytes": path.stat().st_size,
    }


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_READ_BYTES):
            digest.update(block)
    return digest.hexdigest()
