"""The lock-down: everything that a process does to itself before it touches plaintext.

The order matters. The network namespace comes first, because it needs a single thread and a
process that is still dumpable; `no_new_privs` comes before the two layers that need it; the
self-test comes after them all and speaks for what they do together. Each layer that cannot be had
is recorded with the reason and does not stop the others.
"""

from __future__ import annotations

import contextlib
import errno
import os
import resource
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from workbench.airgap import hook, landlock, linux, seccomp
from workbench.airgap.landlock import LandlockPaths
from workbench.airgap.selftest import Findings, SelfTest
from workbench.errors import Refused

LAYERS = (
    "network_namespace",
    "no_core_dumps",
    "no_new_privs",
    "landlock",
    "seccomp",
    "self_test",
    "audit_hook",
)
# Layers of which one has to hold before plaintext may be read.
_GUARDS = ("network_namespace", "seccomp")
_UNKNOWN_TO_KERNEL = {"ENOSYS", "EOPNOTSUPP"}


@dataclass(frozen=True)
class Layer:
    """What became of one layer.

    Attributes:
        state: `active`; `refused` when the kernel said no or the self-test found a way out;
            `unavailable` when there is nothing to try.
        detail: A code: the errno's name, the version, `inherited`, `not-asked-for`, …
    """

    state: Literal["active", "refused", "unavailable"]
    detail: str = ""


@dataclass(frozen=True)
class Policy:
    """What a process asks of its own lock-down.

    Attributes:
        landlock: The paths that it needs; None leaves Landlock out.
        strict: Refuse to go on unless a guard holds and the self-test found no way out.
        without: Layers to leave out, for diagnosis; they are recorded as left out.
    """

    landlock: LandlockPaths | None = None
    strict: bool = True
    without: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Protection:
    """What the lock-down achieved, layer by layer, in the order of `LAYERS`."""

    layers: Mapping[str, Layer]

    @property
    def holds(self) -> bool:
        """Whether seccomp or the namespace holds and the self-test found no way out."""
        guarded = any(self.layers[name].state == "active" for name in _GUARDS)
        return guarded and self.layers["self_test"].state == "active"

    def to_json(self) -> dict[str, dict[str, str]]:
        """Return `{layer: {state, detail}}`, codes only."""
        return {
            name: {"state": layer.state, "detail": layer.detail}
            for name, layer in self.layers.items()
        }


_active: Protection | None = None


def current_protection() -> Protection | None:
    """Return what `lock_down` achieved in this process; None before it ran."""
    return _active


def lock_down(policy: Policy) -> Protection:
    """Apply every layer to this process for good, and try to get out.

    Raises:
        Refused: code `not_sealed`: the policy is strict and this machine cannot hold it.
    """
    global _active  # noqa: PLW0603  a process is locked once; its record belongs to the process
    test = None if "self_test" in policy.without else SelfTest()
    layers: dict[str, Layer] = {}
    steps: dict[str, Callable[[], str]] = {
        "network_namespace": _leave_network,
        "no_core_dumps": _forbid_core_dumps,
        "no_new_privs": _forbid_new_privileges,
        "landlock": lambda: f"abi-{landlock.restrict(policy.landlock or LandlockPaths())}",
        "seccomp": _filter_calls,
    }
    for name, apply in steps.items():
        if name in policy.without:
            layers[name] = Layer("unavailable", "left-out")
        elif name == "landlock" and policy.landlock is None:
            layers[name] = Layer("unavailable", "not-asked-for")
        else:
            layers[name] = _attempt(apply)
    if layers["network_namespace"].state != "active" and _no_address():
        layers["network_namespace"] = Layer("active", "inherited")
    layers["self_test"] = _judge(test.finish() if test else None)
    layers["audit_hook"] = (
        Layer("unavailable", "left-out")
        if "audit_hook" in policy.without
        else _attempt(hook.install)
    )
    _active = Protection(layers)
    if policy.strict and not _active.holds:
        raise _refusal(_active)
    return _active


def _attempt(apply: Callable[[], str]) -> Layer:
    try:
        return Layer("active", apply())
    except OSError as error:
        name = linux.errno_name(error.errno or 0)
        return Layer("unavailable" if name in _UNKNOWN_TO_KERNEL else "refused", name)


def _leave_network() -> str:
    """Enter a network namespace that has nothing, not even a loopback that is up."""
    if linux.thread_count() > 1:
        # The privileged call would succeed, and move this one thread alone.
        raise OSError(errno.EINVAL, "threads already run")
    try:
        linux.unshare(linux.CLONE_NEWNET)
    except PermissionError:
        # The maps are files that only a dumpable process owns; nothing secret is held yet.
        linux.prctl(linux.PR_SET_DUMPABLE, 1)
        _rehearse()
        _enter_user_namespace()
        return "user-namespace"
    return "privileged"


def _rehearse() -> None:
    """Try the user namespace in a child first.

    Where the kernel lets us in but forbids the maps, we would be nobody for good and could not
    make a file.
    """
    child = os.fork()
    if child == 0:
        try:
            _enter_user_namespace()
        except OSError as error:
            os._exit(error.errno or errno.EPERM)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    if code != 0:
        raise OSError(abs(code), "a rehearsal in a child failed")


def _enter_user_namespace() -> None:
    user, group = os.getuid(), os.getgid()
    linux.unshare(linux.CLONE_NEWUSER | linux.CLONE_NEWNET)
    _map_self(user, group)


def _map_self(user: int, group: int) -> None:
    """Keep our own numbers in the new user namespace, so that files still belong to us."""
    # The kernel takes a group map of an unprivileged process only after this.
    Path("/proc/self/setgroups").write_bytes(b"deny")
    Path("/proc/self/uid_map").write_bytes(b"%d %d 1" % (user, user))
    Path("/proc/self/gid_map").write_bytes(b"%d %d 1" % (group, group))


def _no_address() -> bool:
    """Say whether this process's network has no address at all, loopback included.

    That is so in a namespace that a parent entered, where this process may not enter another.
    """
    with contextlib.suppress(OSError):
        lines = Path("/proc/self/net/dev").read_bytes().splitlines()[2:]
        routes = Path("/proc/self/net/fib_trie").read_bytes().strip()
        newer = Path("/proc/self/net/if_inet6")
        alone = [line.split(b":")[0].strip() for line in lines] in ([], [b"lo"])
        return alone and not routes and not (newer.exists() and newer.read_bytes().strip())
    return False


def _forbid_core_dumps() -> str:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    linux.prctl(linux.PR_SET_DUMPABLE, 0)
    return ""


def _forbid_new_privileges() -> str:
    linux.prctl(linux.PR_SET_NO_NEW_PRIVS, 1)
    return ""


def _filter_calls() -> str:
    seccomp.install()
    return ""


def _judge(findings: Findings | None) -> Layer:
    if findings is None:
        return Layer("unavailable", "left-out")
    if findings.ways_out:
        return Layer("refused", "way-out:" + ":".join(findings.ways_out))
    found = ":".join(sorted(set(findings.after.values())))
    # A child of a locked process has nothing to compare with: the way was shut when it came.
    return Layer("active", f"already-shut:{found}" if findings.already_shut else found)


def _refusal(protection: Protection) -> Refused:
    told = ", ".join(
        f"{name} {protection.layers[name].state} ({protection.layers[name].detail})"
        for name in (*_GUARDS, "self_test")
    )
    return Refused(
        f"This process cannot be cut off from the network here: {told}. Nothing was read.",
        hint="`workbench doctor` tries every layer; seccomp filters or user namespaces are needed.",
        code="not_sealed",
    )
