"""The canary scanner: does this needle stand anywhere, in whatever clothes it might wear?

A needle is planted in private data; folders, files and captured bytes are then searched for it as
UTF-8, UTF-16, JSON escapes, hex and base64 at each of its three alignments, as token ids of 16, 32
and 64 bits in both byte orders, and again inside compressed data: gzip, zlib, zstd and LZ4 frames
wherever they begin, the buffers of Arrow files among them, and frames within frames.
"""

from __future__ import annotations

import base64
import os
import stat
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from workbench.airgap.frames import unpacked_frames

_WINDOW = 64 << 20  # of a file at a time
_DEPTH = 4
_SHORTEST = 8
_WIDTHS = {2: "H", 4: "I", 8: "Q"}


@dataclass(frozen=True)
class Finding:
    """One place where the needle stands.

    Attributes:
        where: The file, or the name that was given to the bytes.
        form: What it stood as, for example `utf-16-le` or `zstd/base64+1`.
        offset: Of the form in the file, or of the outermost frame that holds it.
    """

    where: str
    form: str
    offset: int


@dataclass(frozen=True)
class Needle:
    """What is looked for.

    Attributes:
        text: A string that stands nowhere by chance; at least 8 characters.
        tokens: Its token ids as a tokenizer gives them, none to leave them out; at least 3. Give
            those of its middle: neighbours change how its ends are cut.
        patterns: The byte forms, by name.
    """

    text: str
    tokens: tuple[int, ...] = ()
    patterns: dict[str, bytes] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if len(self.text) < _SHORTEST or (self.tokens and len(self.tokens) < 3):
            raise ValueError("a needle this short would be found by chance")
        object.__setattr__(self, "patterns", {**_texts(self.text), **_numbers(self.tokens)})

    @property
    def longest(self) -> int:
        """Bytes of the longest form."""
        return max(len(pattern) for pattern in self.patterns.values())


def _texts(text: str) -> dict[str, bytes]:
    plain = text.encode("utf-8")
    forms = {
        "utf-8": plain,
        "utf-16-le": text.encode("utf-16-le"),
        "utf-16-be": text.encode("utf-16-be"),
        "utf-32-le": text.encode("utf-32-le"),
        "hex": plain.hex().encode("ascii"),
        "hex-upper": plain.hex().upper().encode("ascii"),
        "reversed": plain[::-1],
    }
    for encoded, name in ((plain, "base64"), (text.encode("utf-16-le"), "utf-16-base64")):
        for shift in range(3):
            # Whatever stands before it shifts the alphabet; the first and last characters mix
            # with neighbours, so only those that the needle alone decides are looked for.
            whole = base64.b64encode(b"\0" * shift + encoded)
            first = -(-shift * 8 // 6)
            certain = whole[first : (shift + len(encoded)) * 8 // 6]
            forms[f"{name}+{shift}"] = certain
            forms[f"{name}-url+{shift}"] = certain.replace(b"+", b"-").replace(b"/", b"_")
    escaped = text.encode("ascii", "backslashreplace")
    forms["escaped"] = escaped
    kept: dict[str, bytes] = {}
    for name, pattern in forms.items():
        if pattern not in kept.values():
            kept[name] = pattern
    return kept


def _numbers(tokens: Sequence[int]) -> dict[str, bytes]:
    forms = {}
    for width, letter in _WIDTHS.items():
        if tokens and max(tokens) < 1 << (8 * width):
            for order, name in (("<", "le"), (">", "be")):
                packed = struct.pack(f"{order}{len(tokens)}{letter}", *tokens)
                forms[f"tokens-{8 * width}-{name}"] = packed
    if tokens:
        forms["tokens-json"] = ",".join(map(str, tokens)).encode("ascii")
        forms["tokens-text"] = ", ".join(map(str, tokens)).encode("ascii")
    return forms


def scan_bytes(data: bytes, needle: Needle, where: str = "bytes") -> list[Finding]:
    """Return every form in which the needle stands in `data`, each once with its first place."""
    found: dict[str, int] = {}
    _scan(data, needle, "", 0, _DEPTH, found)
    return [Finding(where, form, offset) for form, offset in found.items()]


def _scan(
    data: bytes, needle: Needle, prefix: str, outer: int, depth: int, found: dict[str, int]
) -> None:
    for name, pattern in needle.patterns.items():
        place = data.find(pattern)
        if place >= 0:
            found.setdefault(prefix + name, outer if prefix else place)
    if depth == 0:
        return
    for kind, start, unpacked in unpacked_frames(data):
        offset = outer if prefix else start
        _scan(unpacked, needle, f"{prefix}{kind}/", offset, depth - 1, found)


def scan_file(path: Path, needle: Needle) -> list[Finding]:
    """Search one file, in windows that overlap by the longest form.

    A frame that begins in one window and goes on beyond it is unpacked as far as that window
    reaches; a torn frame gives up its beginning.
    """
    found: dict[tuple[str, str], Finding] = {}
    with path.open("rb") as file:
        start = 0
        while True:
            file.seek(start)
            data = file.read(_WINDOW + needle.longest)
            for item in scan_bytes(data, needle, str(path)):
                place = Finding(item.where, item.form, start + item.offset)
                found.setdefault((item.where, item.form), place)
            if len(data) <= _WINDOW:
                return list(found.values())
            start += _WINDOW


def _files(root: Path) -> Iterator[Path]:
    if not root.is_dir() or root.is_symlink():
        yield root
        return
    for folder, _, names in os.walk(root):
        for name in names:
            yield Path(folder, name)


def scan(roots: Sequence[Path], needle: Needle) -> list[Finding]:
    """Search files and whole folders, names included; links are searched as the names they hold.

    What cannot be read is a finding of the form `unreadable`: a scan never says "clean" of what
    it did not see. Files that vanish meanwhile are passed over.
    """
    findings: list[Finding] = []
    for root in roots:
        for path in _files(root):
            named = scan_bytes(os.fsencode(path), needle, str(path))
            findings += [Finding(item.where, f"name/{item.form}", 0) for item in named]
            try:
                kind = path.lstat().st_mode
                if stat.S_ISLNK(kind):
                    target = os.fsencode(os.readlink(path))
                    findings += scan_bytes(target, needle, str(path))
                elif stat.S_ISREG(kind):
                    findings += scan_file(path, needle)
            except FileNotFoundError:
                continue
            except OSError:
                findings.append(Finding(str(path), "unreadable", 0))
    return findings
