"""How well a passphrase withstands guessing, and what may have gone wrong while typing one."""

from __future__ import annotations

LEAST_CHARACTERS = 8
# The vault takes no longer ones; zxcvbn needs no more to judge.
MOST_CHARACTERS = 1024
_JUDGED = 72
_STRENGTHS = (
    "▁ very weak: guessed at once",
    "▂ weak: guessed within minutes",
    "▄ fair: withstands a casual attempt",
    "▆ good: withstands a determined attempt",
    "█ strong",
)
_LEAST_LETTERS = 4


def strength(passphrase: str) -> str:
    """Return in words how well a passphrase withstands guessing (zxcvbn's estimate)."""
    if not passphrase:
        return ""
    if len(passphrase) < LEAST_CHARACTERS:
        return f"{_STRENGTHS[0][0]} {LEAST_CHARACTERS - len(passphrase)} characters more"
    if len(passphrase) > MOST_CHARACTERS:
        return f"▁ too long: at most {MOST_CHARACTERS} characters"
    from zxcvbn import zxcvbn  # after the first paint: it loads word lists

    return _STRENGTHS[zxcvbn(passphrase[:_JUDGED])["score"]]


def looks_like_caps_lock(typed: str) -> bool:
    """Say whether all letters are capitals, as they are while Caps Lock is on."""
    letters = [char for char in typed if char.isalpha()]
    return len(letters) >= _LEAST_LETTERS and all(char.isupper() for char in letters)
