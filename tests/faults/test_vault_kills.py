"""A vault whose writer is killed at any moment opens, and shows the old state or the new one.

Two ways to die. Exactly: a child process ends without clean-up at its n-th call of the functions
that change the disk, for every n until the operation survives. Roughly: SIGKILL at random moments
while DuckDB writes, whose calls are its own.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.vaults import PASSPHRASE, Original, make_original, reopened
from workbench.errors import NotFound, WrongPassphrase
from workbench.vault import header
from workbench.vault.custody import ring_wrapping
from workbench.vault.ids import new_id
from workbench.vault.keyring import Keyring
from workbench.vault.store import Vault

pytestmark = pytest.mark.faults

_CALLS = ("open", "fsync", "replace", "rename", "mkdir", "rmdir", "unlink", "pwrite", "fchmod")
_DIED, _SURVIVED, _FAILED = 77, 0, 1
NEW = "another passphrase"


def dies_at(number: int, operation: Callable[[], object]) -> bool:
    """Run `operation` in a forked child that dies before its `number`-th call; did it die?"""
    child = os.fork()
    if child == 0:
        try:
            _arm(number)
            operation()
            os._exit(_SURVIVED)
        except BaseException:  # a forked child must never return into the test runner
            traceback.print_exc()
            os._exit(_FAILED)
    _, outcome = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(outcome)
    assert code in (_DIED, _SURVIVED)
    return code == _DIED


def _arm(number: int) -> None:
    calls = itertools.count()

    def deadly(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **named: Any) -> Any:
            if next(calls) == number:
                os._exit(_DIED)
            return real(*args, **named)

        return call

    for name in _CALLS:
        setattr(os, name, deadly(getattr(os, name)))


def cheap_derivation(passphrase: str, salt: bytes, _: object) -> bytes:
    """Stand in for Argon2id, which is not what dies here."""
    return hashlib.sha256(salt + passphrase.encode()).digest()


@pytest.fixture(scope="module", autouse=True)
def _cheap() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(header, "derive_from_passphrase", cheap_derivation)
        yield


@pytest.fixture(scope="module")
def original(_cheap: None, tmp_path_factory: pytest.TempPathFactory) -> Original:
    home = tmp_path_factory.mktemp("vaults") / "home"
    return make_original(home)


def every_death(
    original: Original, folder: Path, operation: Callable[[Vault], object]
) -> Iterator[Path]:
    """Yield a copy of the vault for each point at which the operation was killed."""
    for number in itertools.count():
        home = folder / str(number)
        vault = original.copy(home)
        died = dies_at(number, lambda vault=vault: operation(vault))  # type: ignore[misc]
        yield home
        shutil.rmtree(home)
        if not died:
            assert number > 5, "the operation was hardly watched"
            return


def check_whole(home: Path, original: Original) -> Vault:
    vault = reopened(home, original)
    assert vault.verify().bad == []
    vault.audit.append("after")
    assert vault.audit.verify().ok
    return vault


def test_new_key(original: Original, tmp_path: Path) -> None:
    wanted = new_id("ds")
    seen = set()
    for home in every_death(original, tmp_path, lambda vault: vault.new_key(wanted)):
        vault = check_whole(home, original)
        seen.add(wanted in vault.key_ids())
        if wanted not in vault.key_ids():
            vault.new_key(wanted)
        assert len(vault.key(wanted).secret) == 32
    assert seen == {False, True}


def test_shred(original: Original, tmp_path: Path) -> None:
    base = original.copy(tmp_path / "base")
    doomed, kept = base.new_key(new_id("ds")), base.new_key(new_id("ds"))
    ready = Original(base.home, original.recovery_key, original.vault_id, original.master)
    seen = set()
    (tmp_path / "trials").mkdir()
    for home in every_death(ready, tmp_path / "trials", lambda v: v.shred(doomed.object_id)):
        vault = check_whole(home, original)
        seen.add(doomed.object_id in vault.key_ids())
        assert vault.key(kept.object_id) == kept
        vault.shred(doomed.object_id)
        with pytest.raises(NotFound):
            vault.key(doomed.object_id)
        assert_no_remains(vault, doomed.object_id)
    assert seen == {False, True}


def assert_no_remains(vault: Vault, object_id: str) -> None:
    """No keyring in the home, staged ones included, may still hold the key."""
    custody = vault._custody
    for path in vault.home.glob("*keyring*"):
        wrapping = ring_wrapping(vault.vault_id, custody._master)
        assert object_id not in Keyring.read(path, vault.vault_id, wrapping).keys


def opens(home: Path, secret: str) -> bool:
    try:
        vault = Vault.unlock(home, secret)
    except WrongPassphrase:
        return False
    assert vault.verify().bad == []
    assert len(vault._custody.keyring().wraps) == 1
    return True


def test_change_passphrase(original: Original, tmp_path: Path) -> None:
    seen = set()

    def change(vault: Vault) -> None:
        vault.change_passphrase(PASSPHRASE, NEW)

    for home in every_death(original, tmp_path, change):
        outcome = (opens(home, PASSPHRASE), opens(home, NEW))
        seen.add(outcome)
        assert outcome in {(True, False), (False, True)}
        assert opens(home, original.recovery_key)
    assert len(seen) == 2


def test_rekey(original: Original, tmp_path: Path) -> None:
    base = original.copy(tmp_path / "base")
    key = base.new_key(new_id("ds"))
    ready = Original(base.home, original.recovery_key, original.vault_id, original.master)
    (tmp_path / "trials").mkdir()
    seen = set()
    for home in every_death(ready, tmp_path / "trials", lambda v: v.rekey(PASSPHRASE)):
        vault = Vault.unlock(home, PASSPHRASE)
        assert vault.key(key.object_id) == key
        assert vault.verify().bad == []
        assert len(vault._custody.keyring().wraps) == 1
        changed = vault._custody._master != original.master
        seen.add(changed)
        assert opens(home, original.recovery_key) != changed
        vault.new_key(new_id("ds"))
    assert seen == {False, True}


def test_unlocking_after_a_torn_rekey_may_itself_be_killed(
    original: Original, tmp_path: Path
) -> None:
    base = original.copy(tmp_path / "base")
    opened = base._custody.keyring()
    (base.home / "keyring").write_bytes(opened.also_wrapped(os.urandom(32)).encode())
    ready = Original(base.home, original.recovery_key, original.vault_id, original.master)
    (tmp_path / "trials").mkdir()
    trials = tmp_path / "trials"
    for home in every_death(ready, trials, lambda v: Vault.unlock(v.home, PASSPHRASE)):
        assert opens(home, PASSPHRASE)


def test_create(tmp_path: Path) -> None:
    # A process of its own, because DuckDB's threads in this one would not survive a fork.
    code = (
        "import sys; from pathlib import Path; from tests.faults import test_vault_kills as kills;"
        "kills.create_until_it_survives(Path(sys.argv[1]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], timeout=200, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    homes = sorted(tmp_path.glob("*/home"))
    assert len(homes) > 1, "death after the rename was not tried"
    for home in homes:
        assert opens(home, PASSPHRASE)


def create_until_it_survives(folder: Path) -> None:
    """Keep the vaults that became visible, of which all but the last died in the making."""
    vars(header)["derive_from_passphrase"] = cheap_derivation
    for number in itertools.count():
        home = folder / str(number) / "home"
        died = dies_at(number, lambda home=home: Vault.create(home, PASSPHRASE))  # type: ignore[misc]
        if not died:
            assert number > 50
            return
        if not home.exists():
            shutil.rmtree(home.parent, ignore_errors=True)


def test_audit_append(original: Original, tmp_path: Path) -> None:
    for home in every_death(original, tmp_path, lambda v: v.audit.append("event", {"n": 1})):
        vault = reopened(home, original)
        assert vault.audit.verify().ok
        vault.audit.append("after")
        check = vault.audit.verify()
        assert check.ok
        assert check.entries in (2, 3)


_WRITER = """
import sys
from pathlib import Path
from tests.fixtures.vaults import Original, reopened
from workbench.vault.ids import new_id
home, vault_id, master = Path(sys.argv[1]), sys.argv[2], bytes.fromhex(sys.stdin.readline())
vault = reopened(home, Original(home, "", vault_id, master))
while True:
    object_id = new_id("ds")
    vault.new_key(object_id)
    vault.catalogue.put("dataset", object_id, object_id, {"filling": "x" * 3000})
    print(object_id, flush=True)
"""


def test_a_catalogue_loses_nothing_that_was_acknowledged(
    original: Original, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    original.copy(home)
    chance = random.Random(7)
    acknowledged: set[str] = set()
    for _ in range(12):
        command = [sys.executable, "-c", _WRITER, str(home), original.vault_id]
        pipe = subprocess.PIPE
        with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as writer:
            assert writer.stdin is not None
            assert writer.stdout is not None
            writer.stdin.write(original.master.hex() + "\n")
            writer.stdin.flush()
            acknowledged.add(writer.stdout.readline().strip())
            time.sleep(chance.random() * 0.3)
            writer.send_signal(signal.SIGKILL)
            acknowledged.update(line.strip() for line in writer.stdout if line.endswith("\n"))
        vault = reopened(home, original)
        names = {entry.name for entry in vault.catalogue.entries()}
        assert acknowledged <= names
        assert names <= set(vault.key_ids())
        assert vault.verify().bad == [f"datasets/{name}.duckdb" for name in sorted(names)]
    assert len(acknowledged) >= 12


@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
def test_every_write_of_duckdb_may_be_the_last(original: Original, tmp_path: Path) -> None:
    home = tmp_path / "home"
    for number in range(1, 60):
        original.copy(home)
        once = _WRITER.replace("while True:", "if True:")
        command = [sys.executable, "-c", once, str(home), original.vault_id]
        inject = f"inject=pwrite64:signal=KILL:when={number}"
        strace = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=pwrite64", "-e", inject]
        done = subprocess.run(
            [*strace, *command],
            input=original.master.hex() + "\n",
            text=True,
            capture_output=True,
            timeout=60,
        )
        vault = reopened(home, original)
        names = [entry.name for entry in vault.catalogue.entries()]
        acknowledged = done.stdout.split()
        assert set(acknowledged) <= set(names)
        assert vault.verify().bad == [f"datasets/{name}.duckdb" for name in names]
        shutil.rmtree(home)
        if done.returncode == 0:
            assert number > 2
            return
    pytest.fail("the operation never survived")
