"""The vault as a whole: made, opened, refused, re-keyed, recovered, shredded."""

from __future__ import annotations

import os
import stat
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.vaults import PASSPHRASE, Original, fill, make_original, reopened
from workbench.errors import (
    BadInput,
    Busy,
    NotFound,
    Refused,
    VaultDamaged,
    VaultError,
    WrongPassphrase,
)
from workbench.vault import custody, header, locking
from workbench.vault.checked import decode_checked, encode_checked, read_checked
from workbench.vault.home import default_home
from workbench.vault.ids import new_id
from workbench.vault.keyring import Keyring
from workbench.vault.sealed import DataKey, open_blob, seal_blob
from workbench.vault.secrets import LIGHT
from workbench.vault.store import Vault, status


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Original:
    return make_original(tmp_path_factory.mktemp("vaults") / "home")


@pytest.fixture
def vault(original: Original, tmp_path: Path) -> Vault:
    return original.copy(tmp_path / "home")


def snapshot(home: Path) -> dict[str, tuple[int, bytes]]:
    return {
        str(path.relative_to(home)): (path.stat().st_mtime_ns, path.read_bytes())
        for path in sorted(home.rglob("*"))
        if path.is_file()
    }


def test_everything_in_a_new_vault_is_private(original: Original) -> None:
    for path in [original.home, *original.home.rglob("*")]:
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode == (0o700 if path.is_dir() else 0o600), path
    assert not list(original.home.parent.glob(".stage-*"))


def test_a_home_that_went_away_is_told_and_its_place_stays_free(
    vault: Vault, tmp_path: Path
) -> None:
    moved = vault.home.rename(tmp_path / "moved")
    for work in (vault.key_ids, vault.audit.head, lambda: vault.new_key(new_id("ds"))):
        with pytest.raises(NotFound) as caught:
            work()
        assert caught.value.code == "home_gone"
    assert not vault.home.exists()
    moved.rename(vault.home)
    vault.new_key(new_id("ds"))


def test_a_key_comes_back_in_another_session(original: Original, vault: Vault) -> None:
    key = vault.new_key(new_id("ds"))
    assert reopened(vault.home, original).key(key.object_id) == key
    assert vault.key_ids() == [key.object_id]
    with pytest.raises(BadInput):
        vault.new_key(key.object_id)
    with pytest.raises(BadInput):
        vault.new_key("../escape")


def test_the_passphrase_and_the_recovery_key_open_it(original: Original, vault: Vault) -> None:
    assert Vault.unlock(vault.home, PASSPHRASE).vault_id == vault.vault_id
    typed = original.recovery_key.lower().replace("-", " ")
    assert Vault.unlock(vault.home, typed).vault_id == vault.vault_id


def test_a_wrong_secret_touches_nothing(vault: Vault) -> None:
    before = snapshot(vault.home)
    with pytest.raises(WrongPassphrase):
        Vault.unlock(vault.home, "not the passphrase")
    strange = "2222-" * 13 + "2222"
    with pytest.raises(WrongPassphrase):
        Vault.unlock(vault.home, strange)
    with pytest.raises(WrongPassphrase):
        vault.change_passphrase("not the passphrase", "another one entirely")
    assert snapshot(vault.home) == before


def test_the_recovery_key_of_another_vault_does_not_open_this_one(
    vault: Vault, tmp_path: Path
) -> None:
    _, other = Vault.create(tmp_path / "other", PASSPHRASE, kdf="light")
    with pytest.raises(WrongPassphrase):
        Vault.unlock(vault.home, other)


def test_a_home_that_others_can_enter_is_refused(vault: Vault) -> None:
    for mode in (0o750, 0o701, 0o777):
        vault.home.chmod(mode)
        with pytest.raises(Refused) as caught:
            Vault.unlock(vault.home, PASSPHRASE)
        assert caught.value.hint == f"chmod 700 {vault.home}"
        assert caught.value.exit_code == 6
    with pytest.raises(Refused):
        status(vault.home)


def test_a_home_of_another_user_is_refused(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    uid = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: uid + 1)
    with pytest.raises(Refused, match="another user"):
        Vault.unlock(vault.home, PASSPHRASE)


def test_create_never_writes_over_anything(vault: Vault, tmp_path: Path) -> None:
    before = snapshot(vault.home)
    with pytest.raises(BadInput) as caught:
        Vault.create(vault.home, PASSPHRASE, kdf="light")
    assert caught.value.code == "vault_exists"
    assert snapshot(vault.home) == before
    used = tmp_path / "used"
    used.mkdir()
    (used / "thesis.txt").write_text("mine")
    with pytest.raises(BadInput) as caught:
        Vault.create(used, PASSPHRASE, kdf="light")
    assert caught.value.code == "home_not_empty"
    assert (used / "thesis.txt").read_text() == "mine"
    with pytest.raises(BadInput):
        Vault.create(used / "thesis.txt", PASSPHRASE, kdf="light")


def test_create_takes_an_empty_folder_and_closes_it(tmp_path: Path) -> None:
    home = tmp_path / "empty"
    home.mkdir(mode=0o755)
    Vault.create(home, PASSPHRASE, kdf="light")
    assert stat.S_IMODE(home.stat().st_mode) == 0o700


def test_no_vault_is_said_plainly(tmp_path: Path) -> None:
    for home in (tmp_path, tmp_path / "missing"):
        with pytest.raises(NotFound) as caught:
            Vault.unlock(home, PASSPHRASE)
        assert caught.value.code == "no_vault"


def test_changing_the_passphrase_rewrites_the_header_and_the_log_alone(vault: Vault) -> None:
    before = snapshot(vault.home)
    vault.change_passphrase(PASSPHRASE, "a new passphrase")
    after = snapshot(vault.home)
    changed = {name for name in after if after[name][1] != before.get(name, (0, b""))[1]}
    assert changed == {"vault.json", "audit.log", "audit.head"}
    with pytest.raises(WrongPassphrase):
        Vault.unlock(vault.home, PASSPHRASE)
    Vault.unlock(vault.home, "a new passphrase")


def test_recover_sets_a_new_passphrase_and_keeps_the_recovery_key(
    original: Original, vault: Vault
) -> None:
    vault.add_passphrase("a second passphrase", settings=LIGHT)
    key = vault.new_key(new_id("ds"))
    recovered = Vault.recover(vault.home, original.recovery_key, "found again after all")
    assert recovered.key(key.object_id) == key
    for gone in (PASSPHRASE, "a second passphrase"):
        with pytest.raises(WrongPassphrase):
            Vault.unlock(vault.home, gone)
    Vault.unlock(vault.home, original.recovery_key)
    Vault.unlock(vault.home, "found again after all")


def test_slots_come_and_go(original: Original, vault: Vault) -> None:
    slot = vault.add_passphrase("a second passphrase", settings=LIGHT)
    Vault.unlock(vault.home, "a second passphrase")
    vault.remove_slot(slot)
    with pytest.raises(WrongPassphrase):
        Vault.unlock(vault.home, "a second passphrase")
    about = status(vault.home)["slots"]
    assert isinstance(about, list)
    (last,) = [s["id"] for s in about if s["kind"] == "passphrase"]
    with pytest.raises(BadInput, match="last passphrase"):
        vault.remove_slot(last)
    with pytest.raises(NotFound):
        vault.remove_slot("00000000")
    renewed = vault.renew_recovery_key()
    Vault.unlock(vault.home, renewed)
    with pytest.raises(WrongPassphrase):
        Vault.unlock(vault.home, original.recovery_key)
    with pytest.raises(BadInput, match="recovery key"):
        vault.change_passphrase(renewed, "something else here")


def test_rekey_changes_the_master_key_and_keeps_every_object(
    original: Original, vault: Vault
) -> None:
    ids = fill(vault)
    stale = reopened(vault.home, original)
    printed = vault.rekey(PASSPHRASE)
    assert vault.verify().bad == []
    for secret in (PASSPHRASE, printed):
        again = Vault.unlock(vault.home, secret)
        assert again.key(ids["adapter"]) == vault.key(ids["adapter"])
    with pytest.raises(WrongPassphrase):
        Vault.unlock(vault.home, original.recovery_key)
    for act in (lambda: stale.key(ids["run"]), lambda: stale.shred(ids["run"])):
        with pytest.raises(VaultError) as caught:
            act()
        assert caught.value.code == "vault_rekeyed"


def test_a_rekey_does_not_bring_back_a_passphrase_that_was_just_replaced(
    original: Original, vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    other, real = reopened(vault.home, original), header.Slot.for_passphrase

    def overtaken(*told: Any) -> header.Slot:
        monkeypatch.setattr(header.Slot, "for_passphrase", real)
        other.change_passphrase(PASSPHRASE, "four_quiet_herons_wade")
        return real(*told)

    monkeypatch.setattr(header.Slot, "for_passphrase", overtaken)
    with pytest.raises(BadInput, match="changed meanwhile"):
        vault.rekey(PASSPHRASE)
    with pytest.raises(WrongPassphrase):
        Vault.unlock(vault.home, PASSPHRASE)
    assert Vault.unlock(vault.home, "four_quiet_herons_wade").verify().bad == []


def test_a_rekey_cut_short_is_finished_by_the_next_unlock(original: Original, vault: Vault) -> None:
    """The dangerous moment: the keyring opens with both master keys."""
    opened = vault._custody.keyring()
    lost = opened.also_wrapped(custody.ring_wrapping(vault.vault_id, os.urandom(32)))
    (vault.home / "keyring").write_bytes(lost.encode())
    assert len(vault._custody.keyring().wraps) == 2
    again = Vault.unlock(vault.home, PASSPHRASE)
    assert len(again._custody.keyring().wraps) == 1
    assert again._custody.keyring().ring != opened.ring
    assert original.master == again._custody._master


def test_shredding_leaves_the_key_in_no_file(original: Original, vault: Vault) -> None:
    ids = fill(vault)
    kept = vault.key(ids["run"])
    before = vault._custody.keyring()
    # What a writer that was killed before its rename leaves behind.
    (vault.home / ".stage-keyring-0123456789ab").write_bytes(before.encode())
    old_file = (vault.home / "keyring").read_bytes()
    old_wraps = [wrap.hex().encode() for wrap in before.wraps]
    vault.shred(ids["adapter"])
    with pytest.raises(NotFound):
        vault.key(ids["adapter"])
    with pytest.raises(NotFound):
        reopened(vault.home, original).key(ids["adapter"])
    assert vault.key(ids["run"]) == kept
    assert vault._custody.keyring().ring != before.ring
    sealed_part = decode_checked(old_file, "keyring")["sealed"].encode()
    for path in vault.home.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            assert sealed_part not in data
            assert not any(wrap in data for wrap in old_wraps), path
    vault.shred(ids["adapter"])  # again: nothing to do
    with pytest.raises(NotFound):
        vault.catalogue.get("adapter", "my adapter")


def test_a_keyring_of_another_vault_is_refused(vault: Vault, tmp_path: Path) -> None:
    other, _ = Vault.create(tmp_path / "other", PASSPHRASE, kdf="light")
    (vault.home / "keyring").write_bytes((other.home / "keyring").read_bytes())
    with pytest.raises(VaultError):
        Vault.unlock(vault.home, PASSPHRASE)


def test_a_slot_moved_into_another_vaults_header_is_refused(vault: Vault, tmp_path: Path) -> None:
    """The checksum is recomputed, as an attacker would: the MAC must notice."""
    other, _ = Vault.create(tmp_path / "other", "mallory's own one", kdf="light")
    mine = read_checked(vault.home / "vault.json")
    theirs = read_checked(other.home / "vault.json")
    forged = {**mine, "slots": theirs["slots"]}
    (vault.home / "vault.json").write_bytes(encode_checked(forged))
    with pytest.raises(WrongPassphrase):
        Vault.unlock(vault.home, "mallory's own one")
    forged = {**mine, "audit_public_key": theirs["audit_public_key"]}
    (vault.home / "vault.json").write_bytes(encode_checked(forged))
    with pytest.raises(VaultDamaged, match="without its keys"):
        Vault.unlock(vault.home, PASSPHRASE)


@pytest.mark.parametrize(
    ("memory_kib", "iterations", "lanes"),
    [(1 << 31, 3, 4), (65536, 10**9, 4), (65536, 3, 10**6), (8, 1, 1), ("65536", 3, 4)],
)
def test_an_absurd_header_is_refused_before_the_derivation(
    vault: Vault, monkeypatch: pytest.MonkeyPatch, memory_kib: object, iterations: int, lanes: int
) -> None:
    fields = read_checked(vault.home / "vault.json")
    fields["slots"][0]["kdf"].update(memory_kib=memory_kib, iterations=iterations, lanes=lanes)
    (vault.home / "vault.json").write_bytes(encode_checked(fields))
    monkeypatch.setattr(header, "derive_from_passphrase", lambda *_: pytest.fail("derived"))
    with pytest.raises(VaultDamaged):
        Vault.unlock(vault.home, PASSPHRASE)


@pytest.mark.parametrize("change", ["slots", "kdf", "format", "salt", "kind"])
def test_a_header_of_another_shape_is_refused(vault: Vault, change: str) -> None:
    fields = read_checked(vault.home / "vault.json")
    slot = fields["slots"][0]
    changes: dict[str, Callable[[], None]] = {
        "slots": lambda: fields.update(slots=[slot] * 9),
        "kdf": lambda: slot["kdf"].update(extra=1),
        "format": lambda: fields.update(format="vault/2"),
        "salt": lambda: slot.update(salt="00"),
        "kind": lambda: slot.update(kind="recovery"),
    }
    changes[change]()
    (vault.home / "vault.json").write_bytes(encode_checked(fields))
    with pytest.raises(VaultDamaged):
        Vault.unlock(vault.home, PASSPHRASE)


def test_a_data_key_that_is_swapped_opens_nothing(vault: Vault) -> None:
    """Whoever could put one object's key for another's still could not open it."""
    one, two = vault.new_key(new_id("ds")), vault.new_key(new_id("ds"))
    sealed = seal_blob(one, "test/1", b"x")
    with pytest.raises(VaultDamaged):
        open_blob(DataKey(one.vault_id, two.object_id, one.secret), "test/1", sealed)


def test_concurrent_writers_lose_no_key(original: Original, vault: Vault) -> None:
    made: list[str] = []

    def make() -> None:
        session = reopened(vault.home, original)
        for _ in range(5):
            made.append(session.new_key(new_id("ru")).object_id)

    threads = [threading.Thread(target=make) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 20
    assert vault.key_ids() == sorted(made)


def test_a_held_lock_is_busy_after_a_bounded_wait(
    vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = vault.home / custody.LOCK_NAME
    began = time.monotonic()
    with locking.hold(path), pytest.raises(Busy) as caught, locking.hold(path, wait=0.1):
        pass
    assert 0.1 <= time.monotonic() - began < 5
    assert caught.value.exit_code == 8
    with locking.hold(path, shared=True), locking.hold(path, shared=True, wait=0):
        pass


def test_a_replaced_keyring_is_overwritten_unless_linked_elsewhere(vault: Vault) -> None:
    backup = vault.home / "backup"
    os.link(vault.home / "keyring", backup)
    before = backup.read_bytes()
    vault.new_key(new_id("ds"))
    assert backup.read_bytes() == before
    descriptor = os.open(vault.home / "keyring", os.O_RDONLY)
    current = (vault.home / "keyring").read_bytes()
    vault.new_key(new_id("ds"))
    remains = os.pread(descriptor, len(current), 0)
    os.close(descriptor)
    assert len(remains) == len(current)
    assert remains != current
    assert b"wraps" not in remains


def test_status_needs_no_passphrase_and_says_no_secret(vault: Vault) -> None:
    about = status(vault.home)
    assert about["vault_id"] == vault.vault_id
    text = str(about)
    assert "salt" not in text
    assert "wrapped" not in text


def test_reprs_hold_no_secret(vault: Vault) -> None:
    keyring: Keyring = vault._custody.keyring()
    for value in (vault, vault._custody, keyring, vault.audit, vault.catalogue):
        assert keyring.ring.hex() not in repr(value)
        assert repr(keyring.ring) not in repr(value)
        assert repr(vault._custody._master) not in repr(value)


def test_the_default_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKBENCH_HOME", "/somewhere/else")
    assert default_home() == Path("/somewhere/else")
    monkeypatch.delenv("WORKBENCH_HOME")
    monkeypatch.setenv("XDG_DATA_HOME", "/data")
    assert default_home() == Path("/data/qlora-workbench")
    monkeypatch.setenv("XDG_DATA_HOME", "relative")
    assert default_home() == Path.home() / ".local/share/qlora-workbench"
