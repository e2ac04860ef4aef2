"""The hardware probe on made-up machines: limits, flags, GPUs, swap."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from workbench.planning.cgroups import Limits, read_limits, usable_cores
from workbench.planning.nvidia import probe_accelerators
from workbench.planning.probe import Cpu, Hardware, probe_hardware
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


class Nvml:
    """A made-up driver with cards of (name, total, free, capability, cores, MHz)."""

    NVML_CLOCK_SM = 1

    class NVMLError(Exception):
        pass

    def __init__(self, cards: Sequence[tuple[Any, ...]], broken: str = "") -> None:
        self.cards, self.broken, self.open = cards, broken, 0

    def __getattr__(self, name: str) -> Any:
        def call(*args: Any) -> Any:
            if self.broken == name:
                raise self.NVMLError(name)
            return self.answer(name, *args)

        return call

    def answer(self, name: str, *args: Any) -> Any:
        if name == "nvmlInit":
            self.open += 1
        elif name == "nvmlShutdown":
            self.open -= 1
        elif name == "nvmlDeviceGetCount":
            return len(self.cards)
        elif name == "nvmlDeviceGetHandleByIndex":
            return args[0]
        elif name == "nvmlSystemGetDriverVersion":
            return b"580.1"
        else:
            return self.of_card(name, args[0])
        return None

    def of_card(self, name: str, number: int) -> Any:
        card = self.cards[number]
        return {
            "nvmlDeviceGetUUID": f"GPU-{number}{number}",
            "nvmlDeviceGetName": card[0],
            "nvmlDeviceGetMemoryInfo": SimpleNamespace(total=card[1], free=card[2]),
            "nvmlDeviceGetCudaComputeCapability": card[3],
            "nvmlDeviceGetNumGpuCores": card[4],
            "nvmlDeviceGetMaxClockInfo": card[5],
        }[name]


RTX_4090 = ("RTX 4090", 24 * GIB, 23 * GIB, (8, 9), 16384, 2520)
A100 = (b"A100", 80 * GIB, 79 * GIB, (8, 0), 6912, 1410)
T4 = ("T4", 16 * GIB, 15 * GIB, (7, 5), 2560, 1590)


def test_cards_are_described_with_their_peak() -> None:
    driver = Nvml([RTX_4090, A100, T4])
    first, second, third = probe_accelerators(driver, {})
    assert driver.open == 0
    assert (first.name, first.index, first.free_bytes) == ("RTX 4090", 0, 23 * GIB)
    assert first.flops == pytest.approx(165e12, rel=0.01)
    assert second.flops == pytest.approx(312e12, rel=0.01)
    assert second.name == "A100"
    assert (third.bf16, third.flops) == (False, None)
    assert first.to_json()["compute_capability"] == "8.9"


@pytest.mark.parametrize(
    ("visible", "names"),
    [
        (None, ["RTX 4090", "A100"]),
        ("1", ["A100"]),
        ("1,0", ["A100", "RTX 4090"]),
        ("GPU-11", ["A100"]),
        ("", []),
        ("-1,0", []),
        ("0,7,1", ["RTX 4090"]),
    ],
)
def test_visible_devices_are_counted_as_cuda_counts_them(
    visible: str | None, names: list[str]
) -> None:
    environment = {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
    found = probe_accelerators(Nvml([RTX_4090, A100]), environment)
    assert [each.name for each in found] == names
    assert [each.index for each in found] == list(range(len(names)))


@pytest.mark.parametrize("broken", ["nvmlInit", "nvmlDeviceGetCount", "nvmlDeviceGetName"])
def test_a_driver_that_does_not_answer_means_no_gpu(broken: str) -> None:
    driver = Nvml([RTX_4090], broken)
    assert probe_accelerators(driver, {}) == ()
    assert driver.open == 0


def test_a_card_of_unknown_speed_is_still_a_card() -> None:
    (found,) = probe_accelerators(Nvml([RTX_4090], "nvmlDeviceGetNumGpuCores"), {})
    assert found.flops is None


def test_the_freest_card_is_taken_and_none_without_a_cuda_build() -> None:
    cards = probe_accelerators(Nvml([RTX_4090, A100]), {})
    machine = Hardware(Cpu("cpu", 8, True), 64 * GIB, 60 * GIB, cards)
    assert machine.device == "cuda-1"
    bare = Hardware(Cpu("cpu", 8, True), 64 * GIB, 60 * GIB, cards, cuda_build=False)
    assert (bare.device, bare.accelerator) == ("cpu", None)


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
