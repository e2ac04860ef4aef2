"""The lock-down, really tried: every attempt is made through libc in a process of its own."""

from __future__ import annotations

import json
import os
import platform
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from workbench.airgap.environment import child_environment
from workbench.airgap.landlock import abi_version
from workbench.airgap.lockdown import LAYERS
from workbench.airgap.probe import try_layers

ATTEMPTS = Path(__file__).parent.parent / "fixtures" / "attempts.py"
GUARDS = ("network_namespace", "seccomp")

pytestmark = pytest.mark.skipif(
    platform.machine() not in ("x86_64", "aarch64"), reason="no system call table for this machine"
)


def _landlock() -> int:
    try:
        return abi_version()
    except OSError:
        return 0


@pytest.fixture
def port() -> Iterator[int]:
    """A listener on loopback that belongs to this process, outside every lock-down."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def run(port: int, tmp_path: Path) -> Any:
    """Return a function that locks a process down and returns what it could still do."""
    (tmp_path / "granted").mkdir()
    (tmp_path / "granted" / "file").write_text("x")
    (tmp_path / "secret").write_text("x")

    def lock(**order: Any) -> dict[str, Any]:
        order |= {
            "port": port,
            "granted": str(tmp_path / "granted" / "file"),
            "secret": str(tmp_path / "secret"),
        }
        done = subprocess.run(
            [sys.executable, "-I", str(ATTEMPTS), json.dumps(order)],
            capture_output=True,
            text=True,
            timeout=60,
            env=child_environment(),
        )
        assert done.returncode == 0, done.stderr
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    return lock


def test_everything_at_once(run: Any) -> None:
    answer = run()
    layers, attempts = answer["layers"], answer["attempts"]
    assert tuple(layers) == LAYERS
    for name in ("no_core_dumps", "no_new_privs", "seccomp", "self_test", "audit_hook"):
        assert layers[name]["state"] == "active", layers
    for name in ("tcp", "tcp_in_child", "tcp6", "udp", "raw", "netlink", "packet", "vsock"):
        assert attempts[name] == "EAFNOSUPPORT", (name, attempts)
    assert attempts["high_bits"] == "EAFNOSUPPORT"
    assert attempts["io_uring"] == "ENOSYS"
    for name in ("ptrace", "process_vm_readv", "pidfd_getfd", "setns"):
        assert attempts[name] == "EPERM", (name, attempts)
    for name in ("unix", "memfd", "granted", "written", "shared_memory"):
        assert attempts[name] == "ok", (name, attempts)
    assert attempts["core"] == "(0, 0)"
    assert attempts["dumpable"] == "0"
    assert attempts["abort"] == "no core"
    assert attempts["lookup"] == "PermissionError"
    assert json.loads(attempts["attempts"]) == {"socket.getaddrinfo": 1}


@pytest.mark.skipif(_landlock() == 0, reason="this kernel has no Landlock")
def test_landlock_shuts_files_that_were_not_granted(run: Any) -> None:
    attempts = run()["attempts"]
    assert (attempts["secret"], attempts["beside"]) == ("EACCES", "EACCES")
    unlocked = run(without=["landlock"])
    assert unlocked["layers"]["landlock"] == {"state": "unavailable", "detail": "left-out"}
    assert unlocked["attempts"]["secret"] == "ok"


def test_without_a_filter_the_namespace_holds(run: Any) -> None:
    answer = run(without=["seccomp", "landlock"])
    if answer.get("refused"):
        pytest.skip("this machine allows no network namespace")
    assert answer["layers"]["network_namespace"]["state"] == "active"
    assert answer["layers"]["self_test"] == {"state": "active", "detail": "ENETUNREACH"}
    assert answer["attempts"]["tcp"] == "ENETUNREACH"
    assert answer["attempts"]["tcp_in_child"] == answer["attempts"]["tcp"]


def test_without_a_namespace_the_filter_holds(run: Any) -> None:
    answer = run(without=["network_namespace", "landlock"])
    assert answer["layers"]["network_namespace"]["state"] == "unavailable"
    assert answer["layers"]["self_test"] == {"state": "active", "detail": "EAFNOSUPPORT"}
    assert answer["attempts"]["tcp"] == "EAFNOSUPPORT"


@pytest.mark.parametrize("layer", ["no_core_dumps", "no_new_privs", "audit_hook", "landlock"])
def test_any_other_layer_left_out_leaves_no_way_out(run: Any, layer: str) -> None:
    answer = run(without=[layer])
    if "refused" in answer:
        # Without no_new_privs an unprivileged process may not filter itself: said, not hidden.
        assert layer == "no_new_privs"
        return
    assert answer["layers"][layer] == {"state": "unavailable", "detail": "left-out"}
    assert answer["layers"]["self_test"]["state"] == "active"
    assert answer["attempts"]["tcp"] != "ok"
    assert answer["attempts"]["udp"] != "ok"


def test_strict_refuses_when_no_guard_holds(run: Any) -> None:
    answer = run(without=[*GUARDS])
    assert answer["refused"]["code"] == "not_sealed"
    assert answer["refused"]["exit"] == 6
    assert "left-out" in answer["refused"]["message"]


def test_landlock_alone_does_not_stop_datagrams_and_the_self_test_says_so(run: Any) -> None:
    answer = run(without=[*GUARDS], strict=False)
    assert answer["layers"]["self_test"]["state"] == "refused"
    assert "udp" in answer["layers"]["self_test"]["detail"]
    assert answer["attempts"]["udp"] == "ok"


def test_strict_refuses_without_the_self_test(run: Any) -> None:
    assert run(without=["self_test"])["refused"]["code"] == "not_sealed"


def test_with_threads_the_filter_takes_them_all_and_the_rest_is_said(run: Any) -> None:
    answer = run(threads=2)
    layers = answer["layers"]
    assert layers["seccomp"]["state"] == "active"
    assert layers["self_test"]["state"] == "active"
    if _landlock():
        assert layers["landlock"] == {"state": "refused", "detail": "EBUSY"}
    assert layers["network_namespace"] == {"state": "refused", "detail": "EINVAL"}
    assert answer["attempts"]["tcp_in_thread"] == "EAFNOSUPPORT"


def test_a_child_of_a_locked_process_is_honest_about_what_it_inherits(run: Any) -> None:
    layers = run(first=["audit_hook"])["layers"]
    assert layers["seccomp"]["state"] == "active"
    assert layers["self_test"]["state"] == "active"
    assert layers["self_test"]["detail"].startswith("already-shut:")
    if _landlock():
        assert layers["landlock"]["state"] == "active"


def test_an_inherited_namespace_counts_where_another_may_not_be_entered(run: Any) -> None:
    answer = run(first=["seccomp"], without=["network_namespace", "seccomp", "landlock"])
    if "refused" in answer:
        pytest.skip("this machine allows no network namespace")
    assert answer["layers"]["network_namespace"] == {"state": "active", "detail": "inherited"}
    assert answer["layers"]["self_test"]["detail"] == "already-shut:ENETUNREACH"
    assert answer["attempts"]["tcp"] != "ok"


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")
@pytest.mark.parametrize("first", [[], ["audit_hook"]], ids=["alone", "below-a-front-door"])
def test_as_an_ordinary_user(run: Any, tmp_path: Path, first: list[str]) -> None:
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)
    (tmp_path / "granted").chmod(0o777)
    answer = run(user=65534, first=first, **{"try": False})
    layers = answer["layers"]
    if first:
        assert layers["network_namespace"]["state"] == "active"
        assert layers["self_test"]["detail"].startswith("already-shut:")
        return
    assert layers["seccomp"]["state"] == "active"
    assert layers["self_test"] == {"state": "active", "detail": "EAFNOSUPPORT"}
    space = layers["network_namespace"]
    # Some distributions forbid user namespaces: then the refusal is named.
    assert space["detail"] == "user-namespace" or space["detail"].startswith("E"), space


def test_doctor_tries_every_layer_in_a_child() -> None:
    protection = try_layers()
    assert tuple(protection.layers) == LAYERS
    assert protection.holds
    # This process itself is as free as before.
    with socket.create_server(("127.0.0.1", 0)):
        pass


def test_doctor_gets_an_answer_when_the_child_gives_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for executable, detail in (("/bin/false", "exit:1"), ("/nowhere", "FileNotFoundError")):
        monkeypatch.setattr("sys.executable", executable)
        protection = try_layers()
        assert {layer.detail for layer in protection.layers.values()} == {detail}
        assert not protection.holds
