"""Sealed bytes: AES-256-GCM chunks that know their vault, object, format and place.

A seal is a random 96-bit nonce, the ciphertext and a 128-bit tag. Its associated data names the
vault, the object, the format, the role (chunk, manifest or blob) and the chunk's number, so a
chunk that was moved, or that belongs to something else, does not open. The sealed manifest lists
the SHA-256 of every sealed chunk: a chunk that was dropped, doubled or taken from an earlier
version of the same object is refused although its tag is good. Nonces are random and never
counters, because an import that is resumed would use a counter's nonces twice (NIST SP 800-38D
allows 2^32 random nonces a key, and every object has a key of its own).

A sealed file is laid out so that every byte is covered by a check:

    magic (8) | chunk bodies, back to back | manifest | length of the manifest (4) | end magic (8)

This module is what the engine imports: it needs `cryptography`, and no other part of the vault.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeAlias

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from workbench import durable
from workbench.errors import VaultDamaged

JSON: TypeAlias = "bool | int | float | str | Sequence[JSON] | Mapping[str, JSON] | None"

KEY_BYTES = 32
OVERHEAD = 28  # bytes that a seal adds: nonce and tag
MAX_CHUNK_BYTES = 1 << 30

_NONCE_BYTES = 12
_DIGEST_BYTES = 32
_MAGIC = b"QWSEAL1\n"
_END = b"\nQWEND1\n"
_TRAILER = struct.Struct(">I8s")
_MAX_MANIFEST_BYTES = 1 << 28
_HINT = "Restore it from a backup; `workbench vault verify` lists everything that is damaged."


def to_json_bytes(value: JSON) -> bytes:
    """Encode `value` in the one form that equal values share: sorted keys, no spaces, ASCII."""
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False
    ).encode("ascii")


@dataclass(frozen=True, repr=False)
class DataKey:
    """The 256-bit key of one object. Its repr shows ids only, so it may stand in a traceback.

    Attributes:
        vault_id: The vault that the object belongs to.
        object_id: The object that this key seals, and nothing else.
        secret: 32 random bytes.
    """

    vault_id: str
    object_id: str
    secret: bytes

    def __post_init__(self) -> None:
        if len(self.secret) != KEY_BYTES:
            raise ValueError("a data key has 32 bytes")

    def __repr__(self) -> str:
        return f"DataKey({self.vault_id!r}, {self.object_id!r})"

    def to_wire(self) -> dict[str, str]:
        """Return the key as JSON, to be sent through an inherited pipe and nowhere else."""
        return {
            "vault_id": self.vault_id,
            "object_id": self.object_id,
            "secret": self.secret.hex(),
        }

    @classmethod
    def from_wire(cls, wire: Mapping[str, str]) -> Self:
        """Read what `to_wire` wrote.

        Raises:
            VaultDamaged: Fields are missing or malformed.
        """
        try:
            return cls(wire["vault_id"], wire["object_id"], bytes.fromhex(wire["secret"]))
        except (KeyError, TypeError, ValueError):
            # `from None`: the message of the cause may hold the key's own text.
            raise VaultDamaged("A key arrived in a form that cannot be read.") from None


def _damaged(key: DataKey, what: str) -> VaultDamaged:
    return VaultDamaged(f"{what} of {key.object_id} does not verify.", hint=_HINT)


def _associated(key: DataKey, form: str, role: str, number: int) -> bytes:
    fields = ("qlora-workbench", key.vault_id, key.object_id, form, role, str(number))
    # Length before each field: no two lists of fields share an encoding.
    return b"".join(struct.pack(">H", len(field)) + field for field in map(str.encode, fields))


def _seal(key: DataKey, form: str, role: str, number: int, plaintext: bytes) -> bytes:
    if len(plaintext) > MAX_CHUNK_BYTES:
        raise ValueError("a sealed chunk holds at most 1 GiB")
    nonce = os.urandom(_NONCE_BYTES)
    associated = _associated(key, form, role, number)
    return nonce + AESGCM(key.secret).encrypt(nonce, plaintext, associated)


def _open(key: DataKey, form: str, role: str, number: int, body: bytes) -> bytes:
    if len(body) < OVERHEAD:
        raise _damaged(key, f"A {role}")
    associated = _associated(key, form, role, number)
    try:
        sealed = memoryview(body)[_NONCE_BYTES:]
        return AESGCM(key.secret).decrypt(body[:_NONCE_BYTES], sealed, associated)
    except InvalidTag:
        raise _damaged(key, f"A {role}") from None


def seal_blob(key: DataKey, form: str, plaintext: bytes) -> bytes:
    """Seal one small value that stands alone; `form` is part of what is authenticated."""
    return _seal(key, form, "blob", 0, plaintext)


def open_blob(key: DataKey, form: str, data: bytes) -> bytes:
    """Open what `seal_blob` sealed.

    Raises:
        VaultDamaged: It was changed, or sealed with another key or as another format.
    """
    return _open(key, form, "blob", 0, data)


class ChunkSealer:
    """Seals the chunks of one object in order and, at the end, the manifest over them.

    Use one sealer from one thread for one version of one object.
    """

    def __init__(self, key: DataKey, form: str) -> None:
        self._key = key
        self._form = form
        self._digests = bytearray()
        self._sizes: list[int] = []
        self._finished = False

    @property
    def count(self) -> int:
        """How many chunks have been sealed; the next one gets this number."""
        return len(self._sizes)

    def seal(self, plaintext: bytes) -> bytes:
        """Seal the next chunk (at most 1 GiB) and return its body: `len(plaintext) + 28` bytes."""
        if self._finished:
            raise RuntimeError("the manifest is sealed already")
        body = _seal(self._key, self._form, "chunk", self.count, plaintext)
        self._digests += hashlib.sha256(body).digest()
        self._sizes.append(len(body))
        return body

    def finish(self, meta: Mapping[str, JSON]) -> bytes:
        """Seal and return the manifest: `meta`, the chunks' sizes and the hash of each of them."""
        self._finished = True
        manifest: dict[str, JSON] = {
            "meta": meta,
            "sizes": self._sizes,
            "digests": self._digests.hex(),
            "root": _root(self._digests),
        }
        return _seal(self._key, self._form, "manifest", 0, to_json_bytes(manifest))


def _root(digests: bytes | bytearray) -> str:
    count = len(digests) // _DIGEST_BYTES
    return hashlib.sha256(
        b"qlora-workbench root\0" + struct.pack(">Q", count) + digests
    ).hexdigest()


class ChunkOpener:
    """Opens the chunks of one object, in any order and from any thread.

    Attributes:
        meta: What the sealer's `finish` was given.
        count: Number of chunks; they are numbered from 0.
        sizes: Bytes of each sealed chunk.
        root: SHA-256 over the chunks' hashes, hexadecimal: it names this version of the object.
    """

    def __init__(self, key: DataKey, form: str, manifest: bytes) -> None:
        """Open and check the manifest.

        Raises:
            VaultDamaged: It does not verify under this key and format.
        """
        self._key = key
        self._form = form
        fields = json.loads(_open(key, form, "manifest", 0, manifest))
        self._digests = bytes.fromhex(fields["digests"])
        self.meta: dict[str, Any] = fields["meta"]
        self.sizes: tuple[int, ...] = tuple(fields["sizes"])
        self.count = len(self.sizes)
        self.root: str = fields["root"]
        if len(self._digests) != self.count * _DIGEST_BYTES or self.root != _root(self._digests):
            raise _damaged(key, "The manifest")

    def open(self, number: int, body: bytes) -> bytes:
        """Open the chunk that is stored as `number`.

        Raises:
            VaultDamaged: The body is not the one that was sealed as this chunk of this version.
        """
        if not 0 <= number < self.count:
            raise _damaged(self._key, f"Chunk {number}")
        expected = self._digests[number * _DIGEST_BYTES : (number + 1) * _DIGEST_BYTES]
        if hashlib.sha256(body).digest() != expected:
            raise _damaged(self._key, f"Chunk {number}")
        return _open(self._key, self._form, "chunk", number, body)

    def check_complete(self, numbers: Iterable[int]) -> None:
        """Check that the stored chunks are exactly those of the manifest, each of them once.

        Raises:
            VaultDamaged: A chunk is missing, doubled or foreign.
        """
        if sorted(numbers) != list(range(self.count)):
            raise _damaged(self._key, "The list of chunks")


@dataclass(frozen=True)
class SealedFile:
    """A sealed file whose manifest has been verified; chunks are verified as they are read."""

    path: Path
    opener: ChunkOpener

    @property
    def meta(self) -> dict[str, Any]:
        """What the writer noted beside the chunks."""
        return self.opener.meta

    def chunks(self) -> Iterator[bytes]:
        """Yield the plaintext chunks in order, one in memory at a time.

        Raises:
            VaultDamaged: A chunk does not verify.
        """
        with self.path.open("rb") as file:
            file.seek(len(_MAGIC))
            for number, size in enumerate(self.opener.sizes):
                yield self.opener.open(number, file.read(size))

    def chunk(self, number: int, place: int) -> bytes:
        """Return the plaintext of one chunk.

        Args:
            place: Where its body begins, counted from the first chunk's.

        Raises:
            VaultDamaged: It does not verify, or the file has gone.
        """
        try:
            with self.path.open("rb") as file:
                file.seek(len(_MAGIC) + place)
                return self.opener.open(number, file.read(self.opener.sizes[number]))
        except FileNotFoundError:
            raise VaultDamaged(f"{self.path.name} was removed meanwhile.", hint=_HINT) from None

    def read(self) -> bytes:
        """Return all chunks joined: for what is small. `workbench.vault.ranged` reads parts."""
        return b"".join(self.chunks())


def write_sealed(
    path: Path, key: DataKey, form: str, chunks: Iterable[bytes], meta: Mapping[str, JSON]
) -> None:
    """Seal `chunks` into a 0600 file at `path`, published atomically; one chunk is in memory.

    Args:
        path: Where the file will stand; what stood there is replaced.
        key: The object's key.
        form: One of `workbench.vault.formats`.
        chunks: Plaintext, each at most 1 GiB.
        meta: JSON to be sealed beside them.
    """
    sealer = ChunkSealer(key, form)
    with durable.staged_file(path) as stage:
        descriptor = durable.open_private(stage, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        with os.fdopen(descriptor, "wb") as out:
            out.write(_MAGIC)
            for chunk in chunks:
                out.write(sealer.seal(chunk))
            manifest = sealer.finish(meta)
            out.write(manifest)
            out.write(_TRAILER.pack(len(manifest), _END))


def read_sealed(path: Path, key: DataKey, form: str) -> SealedFile:
    """Verify the frame and the manifest of a sealed file; no file stays open.

    Raises:
        VaultDamaged: The file is missing, cut, changed, or sealed for something else.
    """
    try:
        manifest, chunk_bytes = _read_frame(path)
    except FileNotFoundError:
        raise VaultDamaged(f"{path.name} of {key.object_id} is missing.", hint=_HINT) from None
    if manifest is None:
        raise _damaged(key, path.name)
    opener = ChunkOpener(key, form, manifest)
    if sum(opener.sizes) != chunk_bytes:
        raise _damaged(key, path.name)
    return SealedFile(path, opener)


def _read_frame(path: Path) -> tuple[bytes | None, int]:
    """Return the sealed manifest (None if the frame is broken) and the bytes that chunks take."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        frame = len(_MAGIC) + _TRAILER.size
        if size < frame:
            return None, 0
        file.seek(0)
        magic = file.read(len(_MAGIC))
        file.seek(size - _TRAILER.size)
        length, end = _TRAILER.unpack(file.read(_TRAILER.size))
        if magic != _MAGIC or end != _END or length > min(size - frame, _MAX_MANIFEST_BYTES):
            return None, 0
        file.seek(size - _TRAILER.size - length)
        return file.read(length), size - frame - length


def is_sealed_file(path: Path) -> bool:
    """Whether `path` begins as a sealed file does, rather than as one sealed blob."""
    with path.open("rb") as file:
        return file.read(len(_MAGIC)) == _MAGIC
