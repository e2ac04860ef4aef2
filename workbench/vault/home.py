"""Where a vault lives, and whether it may be opened there; imports nothing heavy."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from workbench.errors import NotFound, Refused

HEADER_NAME = "vault.json"


def holds_vault(home: Path) -> bool:
    """Tell whether a vault stands at `home`, open to others or not."""
    return (home / HEADER_NAME).is_file()


def home_gone(home: Path) -> NotFound:
    """The error for a vault whose home went away while it was open."""
    return NotFound(
        f"The vault is gone from {home}.",
        hint="Was the folder moved, or its disk taken away? Put it back, and all is here again.",
        code="home_gone",
    )


def default_home() -> Path:
    """Return WORKBENCH_HOME, or `qlora-workbench` in the user's data folder (XDG)."""
    if chosen := os.environ.get("WORKBENCH_HOME"):
        return Path(chosen).expanduser().absolute()
    data = os.environ.get("XDG_DATA_HOME", "")
    # The XDG specification tells to ignore relative paths.
    base = Path(data) if os.path.isabs(data) else Path.home() / ".local" / "share"
    return base / "qlora-workbench"


def check_home(home: Path) -> None:
    """Check that a vault stands at `home` and that nobody else can enter the folder.

    Raises:
        NotFound: There is no vault (code `no_vault`).
        Refused: The folder is open to others, or is another user's (code `open_home`).
    """
    try:
        about = home.stat()
        (home / HEADER_NAME).lstat()
    except (FileNotFoundError, NotADirectoryError):
        raise NotFound(
            f"There is no vault at {home}.",
            hint="Make one with `workbench init`, or name its folder: `--home`, WORKBENCH_HOME.",
            code="no_vault",
        ) from None
    if about.st_uid != os.geteuid():
        raise Refused(
            f"The home folder {home} belongs to another user; it was not opened.",
            hint="Name a folder of your own: `--home`, WORKBENCH_HOME.",
            code="open_home",
        )
    if stat.S_IMODE(about.st_mode) & 0o077:
        raise Refused(
            "Other users of this machine can enter the home folder; it was not opened.",
            hint=f"chmod 700 {home}",
            code="open_home",
        )
