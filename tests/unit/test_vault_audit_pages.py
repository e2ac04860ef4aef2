"""Reading the audit log from its end, a page at a time."""

from __future__ import annotations

import base64
import time
from pathlib import Path

import pytest

from workbench import durable
from workbench.vault.audit import AuditLog, create_log
from workbench.vault.audit_pages import AuditPages


@pytest.fixture
def log(tmp_path: Path) -> AuditLog:
    durable.make_private_folder(tmp_path / "locks")
    log = AuditLog(tmp_path, "v" * 32, b"s" * 32, b"k" * 32)
    create_log(log)
    return log


def test_pages_go_from_the_newest_back(log: AuditLog) -> None:
    pages = AuditPages(log)
    assert pages.refresh() == 0
    assert pages.page(0, 10) == []
    for number in range(7):
        log.append("tested", {"n": number})
    assert pages.refresh() == 7
    assert [entry and entry.number for entry in pages.page(0, 3)] == [7, 6, 5]
    assert [entry and entry.number for entry in pages.page(5, 3)] == [2, 1]
    assert pages.page(7, 3) == []
    log.append("tested", {"n": 7})
    assert pages.refresh() == 8
    newest = pages.page(0, 1)[0]
    assert newest is not None
    assert newest.detail == {"n": 7}


def test_a_damaged_line_is_told_and_the_others_stay(log: AuditLog) -> None:
    for number in range(3):
        log.append("tested", {"n": number})
    lines = log.path.read_bytes().splitlines(keepends=True)
    lines[1] = base64.b64encode(b"x" * 60) + b"\n"
    log.path.write_bytes(b"".join(lines) + b"torn")
    pages = AuditPages(log)
    assert pages.refresh() == 3
    assert [entry and entry.number for entry in pages.page(0, 9)] == [3, None, 1]


def test_a_page_of_a_long_log_comes_at_once(log: AuditLog) -> None:
    log.append("tested", {"n": 1})
    log.path.write_bytes(log.path.read_bytes() * 50_000)
    pages = AuditPages(log)
    assert pages.refresh() == 50_000
    began = time.process_time()
    assert len(pages.page(25_000, 100)) == 100
    assert time.process_time() - began < 0.5


def test_verify_tells_how_far_it_is(log: AuditLog) -> None:
    for number in range(5):
        log.append("tested", {"n": number})
    told: list[tuple[int, int, str]] = []
    assert log.verify(lambda *progress: told.append(progress)).ok
    assert told == [(0, 5, "audit")]
