"""The publish protocol: the old thing or the new thing, private from its first byte."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest

from workbench import durable


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_published_bytes_are_private_and_replace(tmp_path: Path) -> None:
    path = tmp_path / "file"
    durable.publish_bytes(path, b"old")
    durable.publish_bytes(path, b"new")
    assert path.read_bytes() == b"new"
    assert mode(path) == 0o600
    assert [item.name for item in tmp_path.iterdir()] == ["file"]


def test_what_a_library_wrote_by_the_umask_is_closed_before_it_appears(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with durable.staged_file(path) as stage:
        stage.write_bytes(b"x")
        stage.chmod(0o666)
    assert mode(path) == 0o600


def test_a_failing_block_keeps_what_stood_there(tmp_path: Path) -> None:
    path = tmp_path / "file"
    durable.publish_bytes(path, b"old")

    def half_a_file() -> None:
        with durable.staged_file(path) as stage:
            stage.write_bytes(b"half")
            raise KeyboardInterrupt

    def half_a_folder() -> None:
        with durable.staged_folder(tmp_path / "folder") as stage:
            (stage / "a").write_bytes(b"half")
            raise OSError("full")

    with pytest.raises(KeyboardInterrupt):
        half_a_file()
    with pytest.raises(OSError, match="full"):
        half_a_folder()
    assert path.read_bytes() == b"old"
    assert [item.name for item in tmp_path.iterdir()] == ["file"]


def test_a_folder_appears_whole_and_never_over_another(tmp_path: Path) -> None:
    path = tmp_path / "folder"
    with durable.staged_folder(path) as stage:
        (stage / "sub").mkdir()
        (stage / "sub" / "a").write_bytes(b"a")
        assert not path.exists()
    assert (path / "sub" / "a").read_bytes() == b"a"
    assert mode(path) == 0o700
    with pytest.raises(FileExistsError), durable.staged_folder(path):
        pass
    assert (path / "sub" / "a").exists()
    assert [item.name for item in tmp_path.iterdir()] == ["folder"]


def test_private_folders(tmp_path: Path) -> None:
    durable.make_private_folder(tmp_path / "a" / "b")
    durable.make_private_folder(tmp_path / "a" / "b")
    assert mode(tmp_path / "a") == mode(tmp_path / "a" / "b") == 0o700


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic"):
        durable.open_private(tmp_path / "link", os.O_WRONLY | os.O_CREAT)
    assert not (tmp_path / "elsewhere").exists()


def test_stages_are_swept_all_or_by_name(tmp_path: Path) -> None:
    for name in (".stage-a[b]-1", ".stage-c-1"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / ".stage-c-2").mkdir()
    (tmp_path / "kept").write_bytes(b"x")
    assert durable.sweep_stages(tmp_path, "a[b]") == [".stage-a[b]-1"]
    assert durable.sweep_stages(tmp_path) == [".stage-c-1", ".stage-c-2"]
    assert [item.name for item in tmp_path.iterdir()] == ["kept"]


def test_the_replaced_file_is_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "file"
    durable.replace_and_overwrite(path, b"first")
    descriptor = os.open(path, os.O_RDONLY)
    durable.replace_and_overwrite(path, b"second")
    assert os.pread(descriptor, 10, 0) != b"first"
    assert os.fstat(descriptor).st_size == 5
    os.close(descriptor)
    assert path.read_bytes() == b"second"


def test_lines_are_appended_whole_and_a_torn_one_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    durable.append_line(path, b"one")
    with path.open("ab") as out:
        out.write(b"to")
    durable.append_line(path, b"two")
    assert path.read_bytes() == b"one\nto\ntwo\n"
    assert mode(path) == 0o600


def test_many_writers_tear_no_line(tmp_path: Path) -> None:
    path = tmp_path / "lines"

    def write(letter: bytes) -> None:
        for _ in range(10):
            durable.append_line(path, letter * 5000)

    threads = [threading.Thread(target=write, args=(letter,)) for letter in (b"a", b"b", b"c")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = path.read_bytes().splitlines()
    assert sorted(lines) == [b"a" * 5000] * 10 + [b"b" * 5000] * 10 + [b"c" * 5000] * 10
