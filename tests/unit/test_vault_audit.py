"""The audit log: whole, or visibly not."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from workbench.errors import BadInput, VaultDamaged
from workbench.vault.audit import AuditLog, create_log
from workbench.vault.audit_chain import AuditCheck, verify_export

VAULT = "a" * 32


@pytest.fixture
def log(tmp_path: Path) -> AuditLog:
    audit = AuditLog(tmp_path, VAULT, b"s" * 32, b"k" * 32)
    create_log(audit)
    for number in range(5):
        audit.append("dataset_imported", {"name": f"needle-{number}", "rows": number})
    return audit


def test_entries_come_back_chained_and_sealed(log: AuditLog) -> None:
    entries = list(log.entries())
    assert [entry.number for entry in entries] == [1, 2, 3, 4, 5]
    assert [entry.previous for entry in entries[1:]] == [entry.hash for entry in entries[:-1]]
    assert entries[2].detail == {"name": "needle-2", "rows": 2}
    check = log.verify()
    assert (check.entries, check.ok, check.head) == (5, True, log.head())
    assert log.head() == f"{VAULT} 5 {entries[-1].hash}"
    data = log.path.read_bytes()
    assert b"needle" not in data
    assert not any(b"needle" in base64.b64decode(line) for line in data.splitlines())


def test_an_empty_log_is_good(tmp_path: Path) -> None:
    audit = AuditLog(tmp_path, VAULT, b"s" * 32, b"k" * 32)
    create_log(audit)
    assert audit.verify().ok
    assert audit.head() == f"{VAULT} 0 {'0' * 64}"


def test_two_writers_share_one_chain(log: AuditLog) -> None:
    other = AuditLog(log.path.parent, VAULT, b"s" * 32, b"k" * 32)
    other.append("one")
    log.append("two")
    assert other.verify().entries == 7
    assert other.verify().ok


def test_every_line_that_is_dropped_doubled_or_moved_is_noticed(log: AuditLog) -> None:
    lines = log.path.read_bytes().splitlines(keepends=True)
    attacks = [lines[:at] + lines[at + 1 :] for at in range(5)]
    attacks += [lines[: at + 1] + lines[at:] for at in range(5)]
    attacks += [[lines[1], lines[0], *lines[2:]], [*lines[:3], lines[4], lines[3]], lines[:1], []]
    for attack in attacks:
        log.path.write_bytes(b"".join(attack))
        assert not log.verify().ok


def test_every_flipped_byte_is_noticed(log: AuditLog) -> None:
    for path in (log.path, log.head_path):
        good = path.read_bytes()
        for place in range(0, len(good), 1 if path == log.head_path else 7):
            changed = bytearray(good)
            changed[place] ^= 1 << (place % 8)
            path.write_bytes(changed)
            assert not log.verify().ok, (path.name, place)
        path.write_bytes(good)
    assert log.verify().ok


def test_a_line_feed_that_became_something_else_is_noticed(log: AuditLog) -> None:
    log.path.write_bytes(log.path.read_bytes()[:-1] + b"\x0b")
    assert not log.verify().ok


def test_a_missing_head_or_log_is_noticed(log: AuditLog) -> None:
    head = log.head_path.read_bytes()
    log.head_path.unlink()
    assert not log.verify().ok
    log.head_path.write_bytes(head)
    log.path.unlink()
    assert not log.verify().ok
    with pytest.raises(VaultDamaged):
        log.append("anything")


def test_a_writer_killed_at_any_byte_costs_only_its_own_entry(log: AuditLog) -> None:
    before_log, before_head = log.path.read_bytes(), log.head_path.read_bytes()
    log.append("torn")
    whole = log.path.read_bytes()
    for cut in range(len(before_log), len(whole) + 1, 13):
        log.path.write_bytes(whole[:cut])
        log.head_path.write_bytes(before_head)
        assert log.verify().ok
        log.append("after")
        assert log.verify() == AuditCheck(6, True, log.head())
    log.path.write_bytes(whole)  # the line is whole, but the head was not written
    log.head_path.write_bytes(before_head)
    assert log.verify().entries == 6
    assert log.verify().ok
    log.append("after")
    assert log.verify().entries == 7
    assert log.verify().ok


def test_nothing_is_appended_to_a_log_that_was_cut(log: AuditLog) -> None:
    lines = log.path.read_bytes().splitlines(keepends=True)
    log.path.write_bytes(b"".join(lines[:-1]))
    cut = log.path.read_bytes()
    with pytest.raises(VaultDamaged):
        log.append("hides the cut")
    assert log.path.read_bytes() == cut


def test_an_export_verifies_without_the_vault(log: AuditLog) -> None:
    lines = list(log.export())
    check = verify_export(lines)
    assert (check.entries, check.ok, check.head) == (5, True, log.head())
    assert verify_export(lines, log.public_key).ok
    assert not verify_export(lines, "00" * 32).ok
    assert not verify_export([lines[0], *lines[2:]]).ok
    for field, value in [("event", "x"), ("detail", {}), ("time", ""), ("number", 9), ("salt", "")]:
        entry = json.loads(lines[3])
        entry[field] = value
        changed = [*lines[:3], json.dumps(entry), *lines[4:]]
        assert verify_export(changed).entries == 2
        assert not verify_export(changed).ok
    assert not verify_export([*lines, "not json"]).ok
    assert not verify_export([*lines, "{}"]).ok


def test_an_export_whose_end_was_cut_or_moved_is_noticed(log: AuditLog) -> None:
    older = list(log.export())
    log.append("one more")
    lines = list(log.export())
    first, entries, closing = lines[0], lines[1:-1], lines[-1]
    attacks = {
        "no closing line": [first, *entries],
        "no last entry": [first, *entries[:-1], closing],
        "no last entry and no closing line": [first, *entries[:-1]],
        "nothing but the first line": [first],
        "a closing line that was cut": [first, *entries, closing[:-9]],
        "two closing lines": [*lines, closing],
        "an entry after the closing line": [first, *entries[:-1], closing, entries[-1]],
        "the closing line first": [closing, first, *entries],
        "an older export's closing line": [first, *entries, older[-1]],
        "its closing line on an older export": [*older[:-1], closing],
        "something after the closing line": [*lines, "{}"],
    }
    for name, attack in attacks.items():
        if name == "the closing line first":
            with pytest.raises(BadInput):
                verify_export(attack)
        else:
            assert not verify_export(attack).ok, name
    assert verify_export([first, *entries]).fault == "end"
    assert verify_export([*lines, "", "\n"]).ok
    # What cannot be told from inside: the older export was whole when it was made.
    assert verify_export(older).ok
    assert verify_export(older).head != log.head()


def test_a_closing_line_that_was_changed_is_noticed(log: AuditLog) -> None:
    lines = list(log.export())
    good = json.loads(lines[-1])["closing"]
    last = json.loads(lines[-2])
    assert (good["entries"], good["head"]) == (5, last["hash"])
    changes = [
        {"entries": 4, "head": last["previous"]},
        {"exported": "2001-01-01T00:00:00+00:00"},
        # A signature of another kind is worth nothing here.
        {"signature": last["signature"]},
        {"signature": log.sign(b"manifest").hex()},
        {"signature": 5},
        {"more": 1},
    ]
    for change in changes:
        ends = json.dumps({"closing": {**good, **change}})
        kept = lines[: 1 + int({**good, **change}["entries"])]
        assert not verify_export([*kept, ends]).ok, change
    nothings: list[object] = [{}, None, [1], "x"]
    for nothing in nothings:
        assert not verify_export([*lines[:-1], json.dumps({"closing": nothing})]).ok


def test_an_empty_log_is_exported_whole(tmp_path: Path) -> None:
    audit = AuditLog(tmp_path, VAULT, b"s" * 32, b"k" * 32)
    create_log(audit)
    lines = list(audit.export())
    assert len(lines) == 2
    assert verify_export(lines).ok
    assert not verify_export(lines[:1]).ok


def test_a_log_that_was_cut_is_not_exported_as_a_whole_one(log: AuditLog) -> None:
    lines = log.path.read_bytes().splitlines(keepends=True)
    log.path.write_bytes(b"".join(lines[:-1]))
    with pytest.raises(VaultDamaged, match="not exported"):
        list(log.export())


def test_an_export_forged_with_another_key_needs_the_trusted_key_to_be_noticed(
    log: AuditLog, tmp_path: Path
) -> None:
    (tmp_path / "forged").mkdir()
    forged = AuditLog(tmp_path / "forged", VAULT, b"x" * 32, b"y" * 32)
    create_log(forged)
    forged.append("nothing happened")
    lines = list(forged.export())
    assert verify_export(lines).ok
    assert not verify_export(lines, log.public_key).ok


@pytest.mark.parametrize("text", ["", "{}", "[1]", "not json", '{"vault_id": "x"}', "5"])
def test_what_is_no_export_is_said_so(text: str) -> None:
    with pytest.raises(BadInput):
        verify_export([text])


def test_the_log_signs_for_the_vault_but_not_as_an_entry(log: AuditLog) -> None:
    public = Ed25519PublicKey.from_public_bytes(bytes.fromhex(log.public_key))
    public.verify(log.sign(b"manifest"), b"manifest")
    for prefix in (b"qlora-workbench audit entry\0", b"qlora-workbench audit export closing\0"):
        with pytest.raises(ValueError, match="append"):
            log.sign(prefix + b"0" * 64)
