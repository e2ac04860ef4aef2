"""What has to hold before an export begins: the place, the room, the right to write."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from workbench.errors import BadInput, DoesNotFit, Refused
from workbench.text import printable
from workbench.wording import size

# Descriptions, tokenizer and file system overhead beside the weights.
_MARGIN_BYTES = 32 * 1024 * 1024
_MOST_NAMES = 1000


@dataclass(frozen=True)
class Room:
    """Where an export will stand, what it needs there at most, and what is free; in bytes."""

    place: Path
    needed: int
    free: int


def exports_folder() -> Path:
    """Return where exports go that nobody named a folder for; the first of them makes it."""
    try:
        return Path.home() / "qlora-exports"
    except RuntimeError:  # this user has none
        return _here() / "qlora-exports"


def check_target(out: Path, home: Path) -> Path:
    """Return the absolute path of the folder that will be published at `out`.

    Raises:
        BadInput: something stands there already, or its parent is no folder.
        Refused: it lies in the vault's home, or its parent cannot be written to.
    """
    parent = out.absolute().parent.resolve()
    target = parent / out.name
    if not out.name or out.name in (".", ".."):
        raise BadInput("An export needs a folder of its own.", hint="Name it with --out.")
    inside = home.resolve()
    if target == inside or inside in target.parents:
        raise Refused(
            "An export may not go into the vault's home: what lies there is sealed.",
            hint="Choose an --out folder elsewhere.",
            code="inside_home",
        )
    standing = _standing(parent)
    if not standing.is_dir():
        raise BadInput(f"There is no folder {parent}.", hint="Create it, or choose another --out.")
    if target.is_symlink() or (target.exists() and not _is_empty_folder(target)):
        raise BadInput(
            f"{target} exists already; nothing was written.",
            hint="Choose a new folder, or remove that one first.",
            code="out_exists",
        )
    if not os.access(standing, os.W_OK | os.X_OK):
        raise Refused(
            f"{standing} cannot be written to.", hint="Choose another --out.", code="not_writable"
        )
    return target


def _standing(parent: Path) -> Path:
    """Return the folder that is there before an export: the one for exports is made by it."""
    if os.path.lexists(parent) or parent != exports_folder().resolve():
        return parent
    return parent.parent


@contextlib.contextmanager
def parent_made(target: Path) -> Iterator[None]:
    """Have the parent of a checked target for the block; if that fails, none is left behind."""
    lacking = not target.parent.exists()
    if lacking:
        target.parent.mkdir(mode=0o700)
    try:
        yield
    except BaseException:
        if lacking:
            with contextlib.suppress(OSError):  # something else was put into it
                target.parent.rmdir()
        raise


def check_room(target: Path, weight_bytes: int) -> Room:
    """Check that the disk holds weights of that size beside what stands there; return both.

    Raises:
        DoesNotFit: it does not (code `disk`).
    """
    needed = weight_bytes + _MARGIN_BYTES
    free = shutil.disk_usage(_standing(target.parent)).free
    if free < needed:
        raise DoesNotFit(
            f"The export needs {size(needed)} and {size(free)} are free; nothing was written.",
            hint="Free some disk, or choose an --out on another one.",
            code="disk",
        )
    return Room(target, needed, free)


def suggested_target(home: Path, name: str, *, used: Path | None = None) -> Path:
    """Return a folder that an export could go to: new, writable, outside the vault's home.

    Args:
        home: The vault's.
        name: What the folder is called; a number follows where that is taken.
        used: Where the last export went, to go beside it. Otherwise, and where that will not do,
            it is `exports_folder`, or the folder in which the workbench was started.
    """
    for parent in (used, exports_folder(), _here()):
        if parent is None:
            continue
        for number in range(1, _MOST_NAMES):
            out = parent / (name if number == 1 else f"{name}-{number}")
            if printable(str(out)) != str(out):
                break  # nobody could read or type it
            if out.exists() or out.is_symlink():
                continue
            try:
                return check_target(out, home)
            except (BadInput, Refused):
                break
    return exports_folder() / name


def _here() -> Path:
    try:
        return Path.cwd()
    except FileNotFoundError:  # it was removed meanwhile
        return Path.home()


def _is_empty_folder(path: Path) -> bool:
    return path.is_dir() and not any(path.iterdir())
