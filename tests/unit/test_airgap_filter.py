"""The seccomp filter's program, run by an interpreter of classic BPF for both machines."""

from __future__ import annotations

import errno
import struct

import pytest

from workbench.airgap.linux import MACHINES, Machine
from workbench.airgap.seccomp import build_filter

ALLOW = 0x7FFF0000
AF_UNIX, AF_INET, AF_INET6, AF_NETLINK, AF_PACKET = 1, 2, 10, 16, 17


def verdict(machine: Machine, number: int, *arguments: int, arch: int | None = None) -> int | None:
    """Run the program on one call; None = allowed, otherwise the errno."""
    words = [*arguments, *[0] * (6 - len(arguments))]
    arch = machine.audit_arch if arch is None else arch
    data = struct.pack("<IIQ6Q", number & 0xFFFFFFFF, arch, 0, *words)
    steps = list(struct.iter_unpack("<HBBI", build_filter(machine)))
    accumulator, place = 0, 0
    while True:
        code, yes, no, value = steps[place]
        place += 1
        if code == 0x20:
            accumulator = struct.unpack_from("<I", data, value)[0]
        elif code == 0x15:
            place += yes if accumulator == value else no
        elif code == 0x35:
            place += yes if accumulator >= value else no
        else:
            assert code == 0x06, "an instruction this filter should not have"
            if value == ALLOW:
                return None
            assert value & 0xFFFF0000 == 0x00050000
            return int(value & 0xFFFF)


@pytest.fixture(params=list(MACHINES.values()), ids=list(MACHINES))
def machine(request: pytest.FixtureRequest) -> Machine:
    found: Machine = request.param
    return found


@pytest.mark.parametrize("name", ["socket", "socketpair"])
@pytest.mark.parametrize("family", [0, AF_INET, AF_INET6, AF_NETLINK, AF_PACKET, 40, 45])
def test_only_unix_sockets(machine: Machine, name: str, family: int) -> None:
    assert verdict(machine, machine.calls[name], family) == errno.EAFNOSUPPORT
    assert verdict(machine, machine.calls[name], AF_UNIX) is None


def test_high_bits_of_the_family_do_not_fool_it(machine: Machine) -> None:
    # The kernel takes the low half alone, and so does the filter.
    number = machine.calls["socket"]
    assert verdict(machine, number, (AF_UNIX << 32) | AF_INET) == errno.EAFNOSUPPORT
    assert verdict(machine, number, (AF_INET << 32) | AF_UNIX) is None


def test_hidden_and_forbidden_calls(machine: Machine) -> None:
    for name in ("io_uring_setup", "io_uring_enter", "io_uring_register"):
        assert verdict(machine, machine.calls[name]) == errno.ENOSYS
    for name in ("ptrace", "process_vm_readv", "process_vm_writev", "pidfd_getfd", "setns"):
        assert verdict(machine, machine.calls[name]) == errno.EPERM


def test_everything_else_is_allowed(machine: Machine) -> None:
    ours = {
        number
        for name, number in machine.calls.items()
        if not name.startswith(("landlock", "seccomp"))
    }
    for number in set(range(470)) - ours:
        assert verdict(machine, number, AF_INET) is None, number


def test_other_machines_tables_do_not_exist(machine: Machine) -> None:
    i386 = 0x40000003
    assert verdict(machine, 102, 1, arch=i386) == errno.ENOSYS
    x32_bit = 0x40000000
    assert verdict(machine, x32_bit | machine.calls["socket"], AF_INET) == errno.ENOSYS
    assert verdict(machine, -1) == errno.ENOSYS
