"""The hardware probe on made-up machines: limits, flags, GPUs, swap."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from workbench.planning.cgroups import Limits, read_limits, usable_cores
from workbench.planning.probe import probe_hardware
from workbench.planning.swap import read_swaps

GIB = 1 << 30
NO_LIMIT_V1 = "9223372036854771712"


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def mount(where: str, inner: str, kind: str, options: str) -> str:
    return f"31 23 0:28 {inner} {where} rw,relatime shared:9 - {kind} cgroup {options}\n"


def test_no_control_groups_mean_no_limits(tmp_path: Path) -> None:
    assert read_limits(tmp_path) == Limits()


def test_version_2_takes_the_tightest_level_and_counts_droppable_files_as_free(
    tmp_path: Path,
) -> None:
    group = "sys/fs/cgroup"
    write(
        tmp_path,
        {
            "proc/self/cgroup": "0::/user.slice/job\n",
            "proc/self/mountinfo": mount("/sys/fs/cgroup", "/", "cgroup2", "rw"),
            f"{group}/user.slice/job/memory.max": "max\n",
            f"{group}/user.slice/job/memory.high": "max\n",
            f"{group}/user.slice/job/cpu.max": "max 100000\n",
            f"{group}/user.slice/memory.max": f"{8 * GIB}\n",
            f"{group}/user.slice/memory.current": f"{5 * GIB}\n",
            f"{group}/user.slice/memory.stat": f"anon 1\ninactive_file {2 * GIB}\n",
            f"{group}/user.slice/cpu.max": "150000 100000\n",
        },
    )
    assert read_limits(tmp_path) == Limits(8 * GIB, 5 * GIB, 1.5)


def test_version_1_inside_a_container_that_sees_only_its_own_part(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "proc/self/cgroup": "9:memory:/docker/abc\n8:cpu,cpuacct:/docker/abc\n",
            "proc/self/mountinfo": mount("/cg/memory", "/docker/abc", "cgroup", "rw,memory")
            + mount("/cg/cpu", "/docker/abc", "cgroup", "rw,cpu,cpuacct"),
            "cg/memory/memory.limit_in_bytes": f"{4 * GIB}\n",
            "cg/memory/memory.usage_in_bytes": f"{1 * GIB}\n",
            "cg/cpu/cpu.cfs_quota_us": "50000\n",
            "cg/cpu/cpu.cfs_period_us": "100000\n",
        },
    )
    assert read_limits(tmp_path) == Limits(4 * GIB, 3 * GIB, 0.5)


def test_version_1_without_limits(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "proc/self/cgroup": "9:memory:/\n8:cpu:/\n0::/\n",
            "proc/self/mountinfo": mount("/cg/memory", "/", "cgroup", "rw,memory")
            + mount("/cg/cpu", "/", "cgroup", "rw,cpu"),
            "cg/memory/memory.limit_in_bytes": NO_LIMIT_V1,
            "cg/cpu/cpu.cfs_quota_us": "-1\n",
            "cg/cpu/cpu.cfs_period_us": "100000\n",
        },
    )
    assert read_limits(tmp_path) == Limits()


def test_a_group_path_cannot_lead_out_of_the_mount(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "proc/self/cgroup": "0::/../../secret\n",
            "proc/self/mountinfo": mount("/sys/fs/cgroup", "/", "cgroup2", "rw"),
            "sys/fs/cgroup/memory.max": f"{GIB}\n",
            "secret/memory.max": "1\n",
        },
    )
    assert read_limits(tmp_path).memory_bytes == GIB


@pytest.mark.parametrize(("cpus", "expected"), [(None, 8), (0.5, 1), (1.5, 2), (4.0, 4), (64.0, 8)])
def test_usable_cores(cpus: float | None, expected: int) -> None:
    assert usable_cores(8, Limits(cpus=cpus)) == expected


def test_the_probe_honours_the_limits(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "proc/cpuinfo": "model name\t: Some CPU\nflags\t\t: fpu avx2 avx512_bf16\n",
            "proc/meminfo": f"MemTotal: {64 << 20} kB\nMemAvailable: {32 << 20} kB\n",
            "proc/self/cgroup": "0::/\n",
            "proc/self/mountinfo": mount("/sys/fs/cgroup", "/", "cgroup2", "rw"),
            "sys/fs/cgroup/memory.max": f"{8 * GIB}\n",
            "sys/fs/cgroup/memory.current": f"{2 * GIB}\n",
            "sys/fs/cgroup/cpu.max": "100000 100000\n",
        },
    )
    found = probe_hardware(tmp_path)
    assert (found.ram_bytes, found.available_bytes) == (8 * GIB, 6 * GIB)
    assert (found.cpu.name, found.cpu.cores, found.cpu.bf16) == ("Some CPU", 1, True)


def test_the_probe_of_this_machine() -> None:
    found = probe_hardware()
    assert 1 <= found.cpu.cores <= (os.cpu_count() or 1)
    assert 0 < found.available_bytes <= found.ram_bytes
    assert found.cpu.name


def test_swap_areas_and_their_encryption(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "proc/swaps": "Filename Type Size Used Priority\n"
            "/dev/sda2 partition 1024 0 -2\n"
            "/dev/dm-0 partition 1024 0 -2\n"
            "/dev/dm-1 partition 1024 0 -2\n"
            "/dev/zram0 partition 1024 0 -2\n"
            "/dev/gone partition 1024 0 -2\n"
            "/absent\\040file file 1024 0 -2\n",
            "sys/class/block/sda2/size": "2",
            "sys/class/block/dm-0/dm/uuid": "CRYPT-LUKS2-abc-swap\n",
            "sys/class/block/dm-1/dm/uuid": "LVM-xyz\n",
            "sys/block/zram0/backing_dev": "none\n",
        },
    )
    slaves = tmp_path / "sys/class/block/dm-1/slaves"
    slaves.mkdir()
    (slaves / "dm-0").symlink_to(tmp_path / "sys/class/block/dm-0")
    found = {each.name: each.state for each in read_swaps(tmp_path)}
    assert found == {
        "/dev/sda2": "plain",
        "/dev/dm-0": "encrypted",
        "/dev/dm-1": "encrypted",
        "/dev/zram0": "memory",
        "/dev/gone": "unknown",
        "/absent file": "unknown",
    }
    assert read_swaps(tmp_path)[0].bytes == 1 << 20


def test_zram_that_writes_back_to_a_disk_is_not_memory(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "proc/swaps": "Filename Type Size Used Priority\n/dev/zram0 partition 8 0 -2\n",
            "sys/block/zram0/backing_dev": "/dev/sda3\n",
        },
    )
    assert read_swaps(tmp_path)[0].state == "unknown"
