"""The publish protocol for whatever reaches the disk.

Stage in the same folder -> write -> fsync the files -> fsync the stage -> rename -> fsync the
parent. A reader therefore sees the old thing or the new thing, never half of one, whatever
moment the power fails. Files are 0600 and folders 0700 from their first byte.
"""

from __future__ import annotations

import contextlib
import fcntl
import glob
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

STAGE_PREFIX = ".stage-"
_FILE_MODE = 0o600
_FOLDER_MODE = 0o700


def fsync_folder(folder: Path) -> None:
    """Make the names in `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_private_folder(folder: Path) -> None:
    """Create `folder` and missing parents as 0700; an existing folder is left as it is."""
    missing: list[Path] = []
    here = folder
    while not here.exists():
        missing.append(here)
        here = here.parent
    for path in reversed(missing):
        with contextlib.suppress(FileExistsError):
            os.mkdir(path, _FOLDER_MODE)
        fsync_folder(path.parent)


def _stage_name(target: Path) -> Path:
    return target.parent / f"{STAGE_PREFIX}{target.name}-{secrets.token_hex(6)}"


def open_private(path: Path, flags: int) -> int:
    """Open `path` as 0600 without following a link in its last component."""
    return os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW, _FILE_MODE)


def publish_bytes(path: Path, data: bytes) -> None:
    """Write `data` to `path`, replacing what was there, by the publish protocol."""
    with staged_file(path) as stage:
        descriptor = open_private(stage, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        with os.fdopen(descriptor, "wb") as out:
            out.write(data)


def replace_and_overwrite(path: Path, data: bytes) -> None:
    """Publish `data` as `path`, then overwrite the bytes of the file that stood there.

    For small files of wrapped keys, whose old bytes should not linger in free blocks. It is a
    best effort: copy-on-write file systems, SSDs and backups keep copies out of reach. A reader
    must hold a lock that the writer holds too, or it may read the overwritten file.
    """
    try:
        old = open_private(path, os.O_WRONLY)
    except FileNotFoundError:
        publish_bytes(path, data)
        return
    try:
        publish_bytes(path, data)
        about = os.fstat(old)
        # Another hard link is somebody's backup, which is not ours to destroy.
        if about.st_nlink == 0:
            os.pwrite(old, os.urandom(about.st_size), 0)
            os.fsync(old)
    finally:
        os.close(old)


@contextlib.contextmanager
def staged_file(path: Path) -> Iterator[Path]:
    """Yield a path to create and fill; publish it as `path` when the block ends without error.

    The block closes the file that it wrote; it is fsynced here before the rename. On an error
    the stage is removed and whatever stood at `path` stays.
    """
    stage = _stage_name(path)
    try:
        yield stage
        descriptor = os.open(stage, os.O_RDONLY)
        try:
            os.fchmod(descriptor, _FILE_MODE)  # libraries create files by the umask
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.replace(stage, path)
        fsync_folder(path.parent)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            stage.unlink()
        raise


@contextlib.contextmanager
def staged_folder(path: Path) -> Iterator[Path]:
    """Yield an empty 0700 folder to fill; publish it as `path`, which must not exist yet.

    Every regular file below is fsynced, then every folder, then the rename, then the parent.

    Raises:
        FileExistsError: `path` exists when the block ends.
    """
    stage = _stage_name(path)
    os.mkdir(stage, _FOLDER_MODE)
    try:
        yield stage
        for root, _, names in os.walk(stage, topdown=False):
            for name in names:
                item = Path(root, name)
                if item.is_symlink():
                    continue
                descriptor = os.open(item, os.O_RDONLY)
                try:
                    os.fsync(descriptor)
                finally:
                    os.close(descriptor)
            fsync_folder(Path(root))
        if path.exists():
            raise FileExistsError(path)
        os.rename(stage, path)
        fsync_folder(path.parent)
    except BaseException:
        shutil.rmtree(stage, ignore_errors=True)
        raise


def sweep_stages(folder: Path, name: str = "") -> list[str]:
    """Remove what crashed writers left staged directly in `folder`; return the removed names.

    Call it only while no writer can be at work there, or with the `name` of the one target whose
    writers are known to be away.
    """
    removed = []
    pattern = f"{STAGE_PREFIX}{glob.escape(name)}-*" if name else f"{STAGE_PREFIX}*"
    for item in sorted(folder.glob(pattern)):
        if item.is_dir() and not item.is_symlink():
            shutil.rmtree(item)
        else:
            item.unlink()
        removed.append(item.name)
    return removed


def append_line(path: Path, line: bytes) -> None:
    """Append one line under an exclusive flock and fsync it; `line` holds no line feed.

    A torn last line that a killed writer left is closed first, so that it spoils only itself.
    """
    descriptor = open_private(path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
    with os.fdopen(descriptor, "ab") as out:
        fcntl.flock(out.fileno(), fcntl.LOCK_EX)
        size = os.fstat(out.fileno()).st_size
        torn = size > 0 and os.pread(out.fileno(), 1, size - 1) != b"\n"
        out.write((b"\n" if torn else b"") + line + b"\n")
        out.flush()
        os.fsync(out.fileno())
