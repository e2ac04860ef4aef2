"""What a person holds: passphrases, the printed recovery key, and the keys derived from both."""

from __future__ import annotations

import hashlib
import os
import re
import unicodedata
from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from workbench.errors import BadInput, DoesNotFit, VaultDamaged, WrongPassphrase
from workbench.vault.sealed import KEY_BYTES
from workbench.wording import size

SALT_BYTES = 16
MIN_PASSPHRASE = 8  # characters
_MAX_PASSPHRASE = 1024

# Crockford's base 32: no I, L, O or U, so that a key copied by hand has one reading.
_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_READINGS = str.maketrans({"O": "0", "I": "1", "L": "1"})
_CHECKSUM_BYTES = 3  # 32 + 3 bytes fill 56 characters of base 32 exactly
_CHARACTERS = (KEY_BYTES + _CHECKSUM_BYTES) * 8 // 5
_GROUP = 4


@dataclass(frozen=True)
class Argon2Settings:
    """Argon2id's cost. The bounds keep a forged header from asking for days or all memory.

    Attributes:
        memory_kib: Memory in KiB.
        iterations: Passes over it.
        lanes: Parallel lanes.
    """

    memory_kib: int
    iterations: int
    lanes: int

    def check(self) -> None:
        """Check the bounds, before anything is derived.

        Raises:
            VaultDamaged: A parameter is absurd (code `kdf_out_of_bounds`).
        """
        numbers = (self.memory_kib, self.iterations, self.lanes)
        if not (
            all(type(number) is int for number in numbers)
            and 64 << 10 <= self.memory_kib <= 1 << 20
            and 1 <= self.iterations <= 10
            and 1 <= self.lanes <= 16
        ):
            raise VaultDamaged(
                "The vault's header asks for an absurd key derivation; it was not run.",
                hint="Restore vault.json from a backup of the home folder.",
                code="kdf_out_of_bounds",
            )


# RFC 9106 recommends t=3, p=4 with 64 MiB where memory is scarce; four times that is the default.
STANDARD: Final = Argon2Settings(256 << 10, 3, 4)
LIGHT: Final = Argon2Settings(64 << 10, 3, 4)
SETTINGS: Final = {"standard": STANDARD, "light": LIGHT}


def check_passphrase(passphrase: str) -> None:
    """Check a passphrase that is about to be set.

    Raises:
        BadInput: Too short, too long, not text, or shaped like a recovery key.
    """
    _passphrase_bytes(passphrase)
    if len(passphrase) < MIN_PASSPHRASE:
        raise BadInput(
            f"The passphrase is shorter than {MIN_PASSPHRASE} characters.",
            hint="Several random words are easy to type and hard to guess.",
            code="passphrase_short",
        )
    if _looks_like_recovery_key(passphrase):
        raise BadInput(
            "A passphrase cannot have the form of a recovery key.", code="passphrase_form"
        )


def _passphrase_bytes(passphrase: str) -> bytes:
    if len(passphrase) > _MAX_PASSPHRASE:
        raise BadInput("The passphrase is too long.", code="passphrase_long")
    try:
        # NFC: keyboards differ in how they compose an accented letter.
        return unicodedata.normalize("NFC", passphrase).encode()
    except UnicodeEncodeError:
        raise BadInput("The passphrase is not valid text.", code="passphrase_text") from None


def derive_from_passphrase(passphrase: str, salt: bytes, settings: Argon2Settings) -> bytes:
    """Derive a 256-bit key with Argon2id; takes about a second with the standard settings.

    Raises:
        VaultDamaged: `settings` are out of bounds; nothing was derived.
        DoesNotFit: The machine cannot give the memory.
    """
    settings.check()
    secret = _passphrase_bytes(passphrase)
    try:
        return Argon2id(
            salt=salt,
            length=KEY_BYTES,
            iterations=settings.iterations,
            lanes=settings.lanes,
            memory_cost=settings.memory_kib,
        ).derive(secret)
    except MemoryError:
        raise DoesNotFit(
            f"The key derivation needs {size(settings.memory_kib << 10)} of free memory.",
            hint="Close other programs, or make the vault with `--kdf light`.",
        ) from None


def derive(secret: bytes, salt: bytes, purpose: str) -> bytes:
    """Derive a 256-bit key for one purpose from a random 256-bit secret (HKDF-SHA256)."""
    info = b"qlora-workbench/" + purpose.encode()
    return HKDF(algorithm=hashes.SHA256(), length=KEY_BYTES, salt=salt, info=info).derive(secret)


def new_recovery_key() -> tuple[str, bytes]:
    """Return a fresh recovery key as printed (14 groups of 4 characters) and its 32 bytes."""
    secret = os.urandom(KEY_BYTES)
    number = int.from_bytes(secret + _checksum(secret), "big")
    characters = [_ALPHABET[number >> 5 * place & 31] for place in reversed(range(_CHARACTERS))]
    text = "".join(characters)
    return "-".join(text[at : at + _GROUP] for at in range(0, _CHARACTERS, _GROUP)), secret


def _checksum(secret: bytes) -> bytes:
    return hashlib.sha256(b"recovery key" + secret).digest()[:_CHECKSUM_BYTES]


def _normal(text: str) -> str:
    return re.sub(r"[\s\u2010-\u2015-]", "", text).upper().translate(_READINGS)


def _looks_like_recovery_key(text: str) -> bool:
    normal = _normal(text)
    # A key without any digit has odds of about one in a thousand million; a sentence has none.
    return (
        len(normal) == _CHARACTERS
        and set(normal) <= set(_ALPHABET)
        and bool(re.search(r"\d", text))
    )


def read_recovery_key(text: str) -> bytes | None:
    """Return the 32 bytes of a typed recovery key, or None where `text` is something else.

    Case, spaces and dashes do not matter, nor do O for 0, I or L for 1.

    Raises:
        WrongPassphrase: It has a recovery key's form, but its checksum says that it was mistyped.
    """
    if not _looks_like_recovery_key(text):
        return None
    number = 0
    for character in _normal(text):
        number = number << 5 | _ALPHABET.index(character)
    decoded = number.to_bytes(KEY_BYTES + _CHECKSUM_BYTES, "big")
    secret, checksum = decoded[:KEY_BYTES], decoded[KEY_BYTES:]
    if checksum != _checksum(secret):
        raise WrongPassphrase(
            "The recovery key was mistyped: its checksum does not fit.",
            hint="Compare it with the printed key, group by group.",
            code="recovery_key_mistyped",
        )
    return secret
