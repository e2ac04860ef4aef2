"""The audit log: sealed lines, each chained to the one before it and signed.

A line is the base 64 of one sealed JSON entry. The entry's hash covers the vault, the number,
the hash before it and the entry's own content with a random salt; the Ed25519 signature covers
the hash. The same entries, exported in the clear with the public key and a signed closing line,
verify without the vault. A separate small file names the newest entry, so that lines cut from the
end are missed. An older copy of the whole home, or an older whole export, cannot be told from the
newest one from inside: note the line of `head()` elsewhere.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from workbench import durable
from workbench.errors import VaultDamaged
from workbench.vault import formats
from workbench.vault.audit_chain import (
    PREFIXES,
    START,
    AuditCheck,
    AuditEntry,
    Closing,
    check_chain,
    head_line,
    to_entry,
)
from workbench.vault.checked import encode_checked, read_checked
from workbench.vault.locking import hold
from workbench.vault.sealed import JSON, DataKey, open_blob, seal_blob, to_json_bytes

Progress = Callable[[int, int, str], None]
_MAX_LINE = 1 << 20
_TELL_EVERY = 256


class AuditLog:
    """The audit log of one vault; it may be appended to by several processes."""

    def __init__(self, folder: Path, vault_id: str, secret: bytes, signing: bytes) -> None:
        """Open the log in a vault's home.

        Args:
            folder: The home.
            vault_id: The vault.
            secret: The 32 bytes that seal its lines.
            signing: The 32 bytes of its Ed25519 private key.
        """
        self.path = folder / "audit.log"
        self.head_path = folder / "audit.head"
        self._lock = folder / "locks" / "audit.lock"
        self._vault_id = vault_id
        self._key = DataKey(vault_id, "audit", secret)
        self._signer = Ed25519PrivateKey.from_private_bytes(signing)

    @property
    def public_key(self) -> str:
        """The Ed25519 public key, hexadecimal."""
        return self._signer.public_key().public_bytes_raw().hex()

    def sign(self, message: bytes) -> bytes:
        """Return the vault's 64-byte Ed25519 signature of `message`, such as an export manifest."""
        if message.startswith(PREFIXES):
            raise ValueError("entries and exports are signed by append and export alone")
        return self._signer.sign(message)

    def append(self, event: str, detail: Mapping[str, JSON] | None = None) -> AuditEntry:
        """Append one entry; it is on disk when this returns.

        Raises:
            Busy: Another process held the log for too long.
            VaultDamaged: The log's last entry does not verify; nothing was written.
        """
        with hold(self._lock):
            last = self._last()
            entry = self._next(last, event, detail or {})
            sealed = seal_blob(self._key, formats.AUDIT, to_json_bytes(entry.to_json()))
            line = base64.b64encode(sealed)
            if len(line) > _MAX_LINE:
                raise ValueError("an audit entry holds at most about 700 KB")
            durable.append_line(self.path, line)
            durable.publish_bytes(self.head_path, _encode_head(entry.number, entry.hash))
            return entry

    def _next(self, last: AuditEntry | None, event: str, detail: Mapping[str, JSON]) -> AuditEntry:
        draft = AuditEntry(
            number=last.number + 1 if last else 1,
            time=_now(),
            event=event,
            # Through JSON: the entry holds what will be read back, whatever mapping came in.
            detail=json.loads(to_json_bytes(detail)),
            salt=os.urandom(16).hex(),
            previous=last.hash if last else START,
            hash="",
            signature="",
        )
        hashed = replace(draft, hash=draft.expected_hash(self._vault_id))
        return replace(hashed, signature=self._signer.sign(hashed.message()).hex())

    def _last(self) -> AuditEntry | None:
        """Return the newest whole entry; a line that a killed writer tore is cut off first."""
        try:
            descriptor = durable.open_private(self.path, os.O_RDWR)
        except FileNotFoundError:
            self._check_not_behind(None)
            return None
        with os.fdopen(descriptor, "r+b") as file:
            size = file.seek(0, os.SEEK_END)
            start = max(0, size - 2 * _MAX_LINE - 2)
            file.seek(start)
            tail = file.read()
            whole = tail.rfind(b"\n") + 1
            lines = tail[:whole].splitlines()
            last = self.open_line(lines[-1]) if lines else None
            # Only once the head is known to be whole: a torn line was never acknowledged, but a
            # damaged one was, and stays for `verify` to show.
            self._check_not_behind(last)
            if start + whole != size:
                file.truncate(start + whole)
        return last

    def _check_not_behind(self, last: AuditEntry | None) -> None:
        number, digest = self._read_head()
        # One ahead: a writer was killed between the line and the head.
        at_head = (last.number, last.hash) if last else (0, START)
        if at_head != (number, digest) and not (
            last and last.number == number + 1 and last.previous == digest
        ):
            raise VaultDamaged(
                "The audit log does not end where it should; nothing was written to it.",
                hint="`workbench audit verify` shows how far it is good.",
            )

    def _read_head(self) -> tuple[int, str]:
        fields = read_checked(self.head_path)
        try:
            return int(fields["entries"]), str(fields["hash"])
        except (KeyError, TypeError, ValueError):
            raise VaultDamaged("audit.head is not the head of an audit log.") from None

    def open_line(self, line: bytes) -> AuditEntry:
        """Return the entry that a line of the file seals; raises VaultDamaged."""
        try:
            body = base64.b64decode(line, validate=True)
        except binascii.Error:
            body = b""
        if base64.b64encode(body) != line:  # base 64 has spare bits that decoding ignores
            raise VaultDamaged("A line of the audit log does not verify.")
        return to_entry(json.loads(open_blob(self._key, formats.AUDIT, body)))

    def entries(self) -> Iterator[AuditEntry]:
        """Yield the entries from the first to the newest.

        Raises:
            VaultDamaged: At the first line that does not open; `verify` says how many are good.
        """
        if not self.path.exists():
            return
        with self.path.open("rb") as file:
            for line in file:
                if not line.endswith(b"\n"):
                    return  # torn by a killed writer, or being written now
                yield self.open_line(line[:-1])

    def verify(self, progress: Progress | None = None) -> AuditCheck:
        """Check every seal, link and signature, and that nothing is missing at the end."""
        with hold(self._lock, shared=True):
            total = sum(1 for _ in self._whole_lines())
            entries = _told(_until_damaged(self.entries()), total, progress)
            check = check_chain(entries, self._vault_id, self._signer.public_key())
            if check.entries != total:
                check = replace(check, ok=False, fault="entry")
            if check.ok and not self._ends_at(check):
                check = replace(check, ok=False, fault="end")
            return check

    def _ends_at(self, check: AuditCheck) -> bool:
        try:
            number, digest = self._read_head()
        except VaultDamaged:
            return False
        if number == check.entries:
            return digest == check.head.rpartition(" ")[2]
        return number == check.entries - 1

    def _whole_lines(self) -> Iterator[bytes]:
        if self.path.exists():
            with self.path.open("rb") as file:
                yield from (line for line in file if line.endswith(b"\n"))

    def head(self) -> str:
        """Return the line to note elsewhere: vault id, number of entries and the newest hash.

        Raises:
            VaultDamaged: The log's end does not verify.
        """
        with hold(self._lock):
            last = self._last()
        return head_line(self._vault_id, last)

    def export(self) -> Iterator[str]:
        """Yield the lines of a clear-text export: the vault and its key, the entries, the end.

        The last line is signed and says how many entries there are and which is the newest, so
        that an export whose end was cut is not taken for a whole one.

        Raises:
            VaultDamaged: The log does not verify: nothing is exported as if it were whole.
        """
        with hold(self._lock, shared=True):
            entries = list(self.entries())
            check = check_chain(entries, self._vault_id, self._signer.public_key())
            if not (check.ok and self._ends_at(check)):
                raise VaultDamaged(
                    "The audit log does not verify; it was not exported.",
                    hint="`workbench audit verify` shows how far it is good.",
                )
        first = {"vault_id": self._vault_id, "public_key": self.public_key, "format": formats.AUDIT}
        yield to_json_bytes(first).decode()
        for entry in entries:
            yield to_json_bytes(entry.to_json()).decode()
        yield to_json_bytes(self._closing(entries).to_json()).decode()

    def _closing(self, entries: Sequence[AuditEntry]) -> Closing:
        draft = Closing(
            entries=len(entries),
            head=entries[-1].hash if entries else START,
            exported=_now(),
            signature="",
        )
        return replace(draft, signature=self._signer.sign(draft.message(self._vault_id)).hex())


def create_log(log: AuditLog) -> None:
    """Write the files of an empty log, in a home that is not published yet."""
    durable.publish_bytes(log.path, b"")
    durable.publish_bytes(log.head_path, _encode_head(0, START))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _encode_head(entries: int, digest: str) -> bytes:
    return encode_checked({"format": formats.AUDIT, "entries": entries, "hash": digest})


def _told(
    entries: Iterator[AuditEntry], total: int, progress: Progress | None
) -> Iterator[AuditEntry]:
    for done, entry in enumerate(entries):
        if progress and done % _TELL_EVERY == 0:
            progress(done, total, "audit")
        yield entry


def _until_damaged(entries: Iterator[AuditEntry]) -> Iterator[AuditEntry]:
    with contextlib.suppress(VaultDamaged):
        yield from entries
