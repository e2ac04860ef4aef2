"""No process that runs starts reaches a network: watched from outside, by strace.

The only Internet sockets that may ever be made are those of the self-test, before the lock-down,
and they may speak to 127.0.0.1 alone.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fixtures.runs import make_run, make_vault

TRACED = "trace=%network,seccomp,unshare"
INTERNET = re.compile(r"AF_INET6?|AF_NETLINK|AF_PACKET")
SEAL = re.compile(r"seccomp\(SECCOMP_SET_MODE_FILTER.* = 0$")
OUTWARD = re.compile(r"^(connect|sendto|sendmsg|sendmmsg|bind)\(")

pytestmark = pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")

FRONT_DOOR = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from workbench.airgap.front_door import lock_front_door
lock_front_door()
from tests.fixtures.runs import FAKE_ENGINE
from workbench.runs.follow import follow
from workbench.runs.launch import launch
folder = Path(sys.argv[2])
launch(folder, [], module=FAKE_ENGINE)
state = follow(folder, timeout_seconds=60)
assert state.state == "finished", state
assert state.protection["self_test"]["state"] == "active", state.protection
from workbench.airgap.probe import try_layers
assert try_layers().holds
"""

TRAINING = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from tests.fixtures.tiny_runs import make_workplace
from workbench.runs.follow import follow
run = make_workplace(Path(sys.argv[2]) / "home").new_run(1, max_steps=3)
run.launch()
state = follow(run.folder, timeout_seconds=240)
assert state.state == "finished", state
assert state.protection["self_test"]["state"] == "active", state.protection
"""


def _calls(log: Path) -> dict[str, list[str]]:
    """Return each process's traced calls; `strace -ff` writes one file a process."""
    return {
        path.suffix: path.read_text(errors="replace").splitlines()
        for path in log.parent.glob(f"{log.name}.*")
    }


def _breaches(calls: list[str]) -> list[str]:
    """Return the calls of one process that reached, or could have reached, a network."""
    breaches = []
    # A thread or child that does not lock itself down inherited the seal of the one that did.
    sealed = not any(SEAL.match(call) for call in calls)
    for call in calls:
        sealed = sealed or SEAL.match(call) is not None
        if not INTERNET.search(call):
            continue
        succeeded = not re.search(r"= -1 E\w+", call)
        foreign = OUTWARD.match(call) and 'inet_addr("127.0.0.1")' not in call
        if (sealed and succeeded) or foreign or "AF_PACKET" in call or "AF_NETLINK" in call:
            breaches.append(call)
    return breaches


def test_the_watch_itself_sees_a_breach() -> None:
    seal = "seccomp(SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, {len=42}) = 0"
    local = 'connect(3, {sa_family=AF_INET, sin_addr=inet_addr("127.0.0.1")}, 16) = 0'
    outside = local.replace("127.0.0.1", "192.0.2.1")
    made = "socket(AF_INET, SOCK_STREAM, IPPROTO_IP) = 3"
    refused = "socket(AF_INET, SOCK_STREAM, IPPROTO_IP) = -1 EAFNOSUPPORT (not supported)"
    assert _breaches([made, local, seal, refused]) == []
    assert _breaches([made, outside, seal]) == [outside]
    assert _breaches([made]) == [made]
    assert _breaches([seal, made]) == [made]


def _watched(folder: Path, script: str, *arguments: str) -> dict[str, list[str]]:
    """Run a script under strace and return its processes' calls; all must have gone well."""
    log = folder / "strace" / "calls"
    log.parent.mkdir()
    command = ["strace", "-ff", "-qq", "-o", str(log), "-e", TRACED, "-e", "signal=none"]
    done = subprocess.run(
        [*command, sys.executable, "-c", script, str(Path.cwd()), *arguments],
        capture_output=True,
        text=True,
        timeout=280,
    )
    if "ptrace" in done.stderr and "not permitted" in done.stderr:
        pytest.skip("this machine does not let strace trace")
    assert done.returncode == 0, done.stderr
    return _calls(log)


def _sealed(calls: dict[str, list[str]]) -> int:
    return sum(any(SEAL.match(call) for call in lines) for lines in calls.values())


def test_a_front_door_its_job_and_the_probe_reach_nothing(tmp_path: Path) -> None:
    vault = make_vault(tmp_path)
    folder = make_run(vault, steps=2, lockdown=1)
    calls = _watched(tmp_path, FRONT_DOOR, str(folder))
    assert _sealed(calls) >= 3, "the front door, its job and the probe each lock themselves down"
    breaches = {suffix: _breaches(lines) for suffix, lines in calls.items()}
    assert not any(breaches.values()), breaches


@pytest.mark.slow
def test_the_engine_trains_and_reaches_nothing(tmp_path: Path) -> None:
    calls = _watched(tmp_path, TRAINING, str(tmp_path))
    assert _sealed(calls) == 1
    breaches = {suffix: _breaches(lines) for suffix, lines in calls.items()}
    assert not any(breaches.values()), breaches
