"""What an audit log consists of, and how it is checked: entries, their chain, an export's end.

Nothing here needs a key that is secret: whoever holds an exported log can follow every check. Each
kind of signed message begins with a prefix of its own, so that a signature of one kind is worth
nothing as another.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from workbench.errors import BadInput, VaultDamaged
from workbench.vault.sealed import JSON, to_json_bytes

START: Final = "0" * 64  # what the first entry follows
_ENTRY: Final = b"qlora-workbench audit entry\0"
_CLOSING: Final = b"qlora-workbench audit export closing\0"
PREFIXES: Final = (_ENTRY, _CLOSING)


@dataclass(frozen=True)
class AuditEntry:
    """One entry; `number` counts from 1, `time` is ISO in UTC."""

    number: int
    time: str
    event: str
    detail: dict[str, Any]
    salt: str
    previous: str
    hash: str
    signature: str

    def to_json(self) -> dict[str, JSON]:
        """Return the entry as it is exported, one a line."""
        return dict(vars(self))

    def expected_hash(self, vault_id: str) -> str:
        """Return the SHA-256 that the entry must carry."""
        content = {**self.to_json(), "hash": "", "signature": "", "vault_id": vault_id}
        return hashlib.sha256(to_json_bytes(content)).hexdigest()

    def message(self) -> bytes:
        """Return what its signature signs."""
        return _ENTRY + self.hash.encode()


@dataclass(frozen=True)
class Closing:
    """The last line of an export: `entries` of them, up to the one with the hash `head`.

    `exported` is when, ISO in UTC.
    """

    entries: int
    head: str
    exported: str
    signature: str

    def to_json(self) -> dict[str, JSON]:
        """Return the line as it is exported; the key `closing` tells it from an entry."""
        return {"closing": dict(vars(self))}

    def message(self, vault_id: str) -> bytes:
        """Return what its signature signs."""
        content = {**vars(self), "signature": "", "vault_id": vault_id}
        return _CLOSING + to_json_bytes(content)


@dataclass(frozen=True)
class AuditCheck:
    """The outcome of a check: how many entries are good, and the head that they lead to.

    `fault` names what is wrong: "entry" (one is changed, missing, doubled or moved), "end" (it
    does not end where it was vouched to end), "key" (another vault's key); empty when `ok`.
    """

    entries: int
    ok: bool
    head: str
    fault: str = ""


def head_line(vault_id: str, last: AuditEntry | None) -> str:
    """Return the line that fixes a log up to `last`: vault id, number of entries, newest hash."""
    return f"{vault_id} {last.number if last else 0} {last.hash if last else START}"


def to_entry(fields: Mapping[str, Any]) -> AuditEntry:
    """Return the entry with these fields.

    Raises:
        VaultDamaged: They are not an entry's.
    """
    try:
        return AuditEntry(**fields)
    except TypeError:
        raise VaultDamaged("An entry of the audit log has other fields than it should.") from None


def check_chain(
    entries: Iterable[AuditEntry | None], vault_id: str, public: Ed25519PublicKey
) -> AuditCheck:
    """Check hashes, links and signatures up to the first that is wrong; None is no entry."""
    good = 0
    last: AuditEntry | None = None
    for entry in entries:
        if (
            entry is None
            or entry.number != good + 1
            or entry.previous != (last.hash if last else START)
            or entry.hash != entry.expected_hash(vault_id)
            or not _signed(public, entry.signature, entry.message())
        ):
            return AuditCheck(good, False, head_line(vault_id, last), "entry")
        good, last = good + 1, entry
    return AuditCheck(good, True, head_line(vault_id, last))


def check_lines(lines: Iterable[str], vault_id: str, public: Ed25519PublicKey) -> AuditCheck:
    """Check the lines of an export below its first: the entries, then one closing line."""
    found: list[Closing] = []
    check = check_chain(_until_closing(lines, found), vault_id, public)
    if not check.ok:
        return check
    closes = (
        bool(found)
        and f"{vault_id} {found[0].entries} {found[0].head}" == check.head
        and _signed(public, found[0].signature, found[0].message(vault_id))
    )
    return check if closes else AuditCheck(check.entries, False, check.head, "end")


def _until_closing(lines: Iterable[str], found: list[Closing]) -> Iterator[AuditEntry | None]:
    """Yield the entries, and None for what is neither an entry nor the closing line at the end."""
    for line in lines:
        if not line.strip():
            continue
        if found:
            yield None  # nothing follows the closing line, not even another one
            return
        try:
            fields = json.loads(line)
            if "closing" in fields:
                found.append(Closing(**fields["closing"]))
            else:
                yield to_entry(fields)
        except (ValueError, TypeError, VaultDamaged):
            yield None


def _signed(public: Ed25519PublicKey, signature: str, message: bytes) -> bool:
    try:
        public.verify(bytes.fromhex(signature), message)
    except (InvalidSignature, ValueError, TypeError):
        return False
    return True


def verify_export(lines: Iterable[str], public_key: str | None = None) -> AuditCheck:
    """Check an exported log without its vault: every entry, and that its end is there.

    An older export that is whole stays good: only a head noted elsewhere tells that the log has
    gone on since.

    Args:
        lines: What `AuditLog.export` of `workbench.vault.audit` yielded.
        public_key: The key that is trusted (hexadecimal). Without it the one in the export is
            used, which shows that the export is whole, not whose it is.

    Raises:
        BadInput: This is not an exported log.
    """
    remaining = iter(lines)
    try:
        first = json.loads(next(remaining, ""))
        vault_id, key = str(first["vault_id"]), str(first["public_key"])
        public = Ed25519PublicKey.from_public_bytes(bytes.fromhex(key))
    except (ValueError, KeyError, TypeError):
        raise BadInput(
            "This file is not an exported audit log.",
            hint="Name a file that `workbench audit export` wrote.",
            code="not_an_audit_log",
        ) from None
    check = check_lines(remaining, vault_id, public)
    if check.ok and public_key is not None and public_key.strip().lower() != key:
        return replace(check, ok=False, fault="key")
    return check
