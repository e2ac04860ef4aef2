"""GPUs as a made-up driver describes them, and what keeps them from being used."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.fixtures.fitting import LLAMA_8B
from workbench.planning import probe
from workbench.planning.nvidia import Accelerator, Nvidia, probe_nvidia
from workbench.planning.planner import make_plan
from workbench.planning.probe import Cpu, Hardware, probe_hardware, torch_cuda

GIB = 1 << 30
NO_LIBRARY, NOT_LOADED, MISMATCH, FORBIDDEN, LOST, RESET = 12, 9, 18, 4, 15, 16


class Nvml:
    """A made-up driver with cards of (name, total, free, capability, cores, MHz).

    `broken` names the call that fails, with which error, and of which card (None: of every one).
    """

    NVML_CLOCK_SM = 1

    class NVMLError(Exception):
        def __init__(self, value: int) -> None:
            self.value = value

    def __init__(
        self,
        cards: Sequence[tuple[Any, ...]],
        broken: str = "",
        error: int = 999,
        of: int | None = None,
        **answers: Any,
    ) -> None:
        self.cards, self.broken, self.error, self.of, self.open = cards, broken, error, of, 0
        self.answers = answers

    def __getattr__(self, name: str) -> Any:
        def call(*args: Any) -> Any:
            if self.broken == name and (self.of is None or self.of in args):
                raise self.NVMLError(self.error)
            return self.answer(name, *args)

        return call

    def answer(self, name: str, *args: Any) -> Any:
        if name in self.answers:
            told = self.answers[name]
            return told(*args) if callable(told) else told
        if name == "nvmlInit":
            self.open += 1
        elif name == "nvmlShutdown":
            self.open -= 1
        elif name == "nvmlDeviceGetCount":
            return len(self.cards)
        elif name in ("nvmlDeviceGetHandleByIndex", "nvmlDeviceGetMinorNumber"):
            return args[0]
        elif name == "nvmlSystemGetDriverVersion":
            return b"580.1"
        elif name.startswith("nvmlSystem"):
            raise self.NVMLError(3)
        else:
            return self.of_card(name, args[0])
        return None

    def of_card(self, name: str, number: int) -> Any:
        card = self.cards[number] if number < len(self.cards) else (None,) * 6
        known = {
            "nvmlDeviceGetUUID": f"GPU-{number}{number}",
            "nvmlDeviceGetName": card[0],
            "nvmlDeviceGetMemoryInfo": SimpleNamespace(total=card[1], free=card[2]),
            "nvmlDeviceGetCudaComputeCapability": card[3],
            "nvmlDeviceGetNumGpuCores": card[4],
            "nvmlDeviceGetMaxClockInfo": card[5],
        }
        if known.get(name) is None:
            raise self.NVMLError(3)  # not supported, as many cards say to many questions
        return known[name]


RTX_4090 = ("RTX 4090", 24 * GIB, 23 * GIB, (8, 9), 16384, 2520)
A100 = (b"A100", 80 * GIB, 79 * GIB, (8, 0), 6912, 1410)
T4 = ("T4", 16 * GIB, 15 * GIB, (7, 5), 2560, 1590)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A machine with the device files of three cards, and one card on the bus."""
    (tmp_path / "dev").mkdir()
    for name in ("nvidiactl", "nvidia0", "nvidia1", "nvidia2"):
        (tmp_path / "dev" / name).touch()
    card = tmp_path / "sys/bus/pci/devices/0000:01:00.0"
    card.mkdir(parents=True)
    (card / "vendor").write_text("0x10de\n")
    (card / "class").write_text("0x030000\n")
    return tmp_path


def codes(found: Nvidia) -> list[str]:
    for fault in found.faults:
        assert fault.text.endswith(".")
    return [fault.code for fault in found.faults]


def test_cards_are_described_with_their_peak(root: Path) -> None:
    driver = Nvml([RTX_4090, A100, T4], nvmlSystemGetCudaDriverVersion=12080)
    found = probe_nvidia(driver, {}, root)
    first, second, third = found.accelerators
    assert driver.open == 0
    assert (found.faults, found.cuda) == ((), (12, 8))
    assert (first.name, first.index, first.free_bytes) == ("RTX 4090", 0, 23 * GIB)
    assert first.flops == pytest.approx(165e12, rel=0.01)
    assert second.flops == pytest.approx(312e12, rel=0.01)
    assert (second.name, second.uuid) == ("A100", "GPU-11")
    assert (third.bf16, third.flops) == (False, None)
    assert first.to_json()["compute_capability"] == "8.9"


def test_what_the_driver_tells_besides(root: Path) -> None:
    (root / "proc/4711").mkdir(parents=True)
    (root / "proc/4711/comm").write_text("evil\x1b[31m\n")
    own = SimpleNamespace(pid=os.getpid(), usedGpuMemory=1)
    other = SimpleNamespace(pid=4711, usedGpuMemory=9 * GIB)
    hidden = SimpleNamespace(pid=4712, usedGpuMemory=None)
    driver = Nvml(
        [RTX_4090],
        nvmlDeviceGetEnforcedPowerLimit=200_000,
        nvmlDeviceGetPowerManagementDefaultLimit=450_000,
        nvmlDeviceGetEccMode=[1, 1],
        nvmlDeviceGetTotalEccErrors=2,
        nvmlDeviceGetComputeRunningProcesses=[hidden, other, own],
        nvmlDeviceGetGraphicsRunningProcesses=[other],
    )
    (card,) = probe_nvidia(driver, {}, root).accelerators
    assert (card.clock_mhz, card.power_watts, card.is_throttled) == (2520, 200.0, True)
    assert (card.ecc, card.uncorrected, card.mig) == (True, 2, False)
    assert [(each.pid, each.bytes) for each in card.holders] == [(4711, 9 * GIB), (4712, None)]
    assert "\x1b" not in card.holders[0].name
    assert card.to_json()["holders"][1] == {"pid": 4712, "name": "", "bytes": None}


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
    root: Path, visible: str | None, names: list[str]
) -> None:
    environment = {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
    found = probe_nvidia(Nvml([RTX_4090, A100]), environment, root).accelerators
    assert [each.name for each in found] == names
    assert [each.index for each in found] == list(range(len(names)))


def test_jobs_number_the_cards_as_the_plan_does(monkeypatch: pytest.MonkeyPatch) -> None:
    from workbench.engine.quiet import settle

    monkeypatch.setenv("CUDA_DEVICE_ORDER", "FASTEST_FIRST")
    settle()
    assert os.environ["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (NO_LIBRARY, "gpu_without_driver"),
        (NOT_LOADED, "driver_not_loaded"),
        (MISMATCH, "driver_mismatch"),
        (FORBIDDEN, "gpu_forbidden"),
        (999, "gpu_silent"),
    ],
)
def test_a_driver_that_does_not_start_is_told_with_its_cure(
    root: Path, error: int, code: str
) -> None:
    found = probe_nvidia(Nvml([RTX_4090], "nvmlInit", error), {}, root)
    assert (found.accelerators, codes(found)) == ((), [code])


def test_a_machine_without_a_gpu_has_nothing_wrong_with_it(tmp_path: Path) -> None:
    for error in (NO_LIBRARY, NOT_LOADED):
        assert probe_nvidia(Nvml([], "nvmlInit", error), {}, tmp_path) == Nvidia()
    sound = tmp_path / "sys/bus/pci/devices/0000:01:00.1"
    sound.mkdir(parents=True)
    (sound / "vendor").write_text("0x10de\n")
    (sound / "class").write_text("0x040300\n")  # the sound device of a card
    assert codes(probe_nvidia(Nvml([], "nvmlInit", NO_LIBRARY), {}, tmp_path)) == []


@pytest.mark.parametrize(
    ("call", "error", "code"),
    [
        ("nvmlDeviceGetHandleByIndex", LOST, "gpu_lost"),
        ("nvmlDeviceGetUUID", LOST, "gpu_lost"),
        ("nvmlDeviceGetMemoryInfo", LOST, "gpu_lost"),
        ("nvmlDeviceGetMemoryInfo", RESET, "gpu_needs_reset"),
        ("nvmlDeviceGetHandleByIndex", FORBIDDEN, "gpu_not_reachable"),
        ("nvmlDeviceGetName", 999, "gpu_silent"),
    ],
)
def test_one_bad_card_does_not_hide_the_other(root: Path, call: str, error: int, code: str) -> None:
    driver = Nvml([RTX_4090, A100], call, error, of=0)
    found = probe_nvidia(driver, {}, root)
    assert [each.name for each in found.accelerators] == ["A100"]
    assert codes(found) == [code]
    assert driver.open == 0


def test_a_driver_that_fails_altogether(root: Path) -> None:
    found = probe_nvidia(Nvml([RTX_4090], "nvmlDeviceGetCount", LOST), {}, root)
    assert (found.accelerators, codes(found)) == ((), ["gpu_silent"])


@pytest.mark.parametrize("gone", ["nvidia0", "nvidiactl"])
def test_a_card_whose_device_files_are_kept_away(root: Path, gone: str) -> None:
    (root / "dev" / gone).unlink()
    found = probe_nvidia(Nvml([RTX_4090]), {}, root)
    assert (found.accelerators, codes(found)) == ((), ["gpu_not_reachable"])
    assert "RTX 4090" in found.faults[0].text


def slices(*uuids: str) -> dict[str, Any]:
    """Answers of a card that is divided; slices are numbered from 100."""

    def handle(_: Any, number: int) -> int:
        if number >= len(uuids):
            raise Nvml.NVMLError(6)
        return 100 + number

    return {
        "nvmlDeviceGetMigMode": (1, 1),
        "nvmlDeviceGetMaxMigDeviceCount": 7,
        "nvmlDeviceGetMigDeviceHandleByIndex": handle,
        "nvmlDeviceGetUUID": lambda part: uuids[part - 100] if part >= 100 else "GPU-00",
        "nvmlDeviceGetMemoryInfo": lambda part: SimpleNamespace(
            total=(part - 99) * 10 * GIB, free=9 * GIB
        ),
    }


def test_a_divided_card_is_as_large_as_the_slice_that_a_run_gets(root: Path) -> None:
    told = slices("MIG-a", "MIG-b")
    (first,) = probe_nvidia(Nvml([A100], **told), {}, root).accelerators
    assert (first.memory_bytes, first.mig, first.flops) == (10 * GIB, True, None)
    chosen = {"CUDA_VISIBLE_DEVICES": "MIG-b"}
    (second,) = probe_nvidia(Nvml([A100], **told), chosen, root).accelerators
    assert (second.memory_bytes, second.uuid) == (20 * GIB, "MIG-b")
    assert codes(probe_nvidia(Nvml([A100], **slices()), {}, root)) == ["gpu_divided"]


def test_a_card_of_unknown_speed_is_still_a_card(root: Path) -> None:
    driver = Nvml([RTX_4090], "nvmlDeviceGetNumGpuCores")
    (found,) = probe_nvidia(driver, {}, root).accelerators
    assert found.flops is None


def machine(
    monkeypatch: pytest.MonkeyPatch, nvidia: Nvidia, built_for: Any, root: Path
) -> Hardware:
    monkeypatch.setattr(probe, "probe_nvidia", lambda **_: nvidia)
    monkeypatch.setattr(probe, "torch_cuda", lambda: built_for)
    return probe_hardware(root)


@pytest.mark.parametrize(
    ("driver", "built_for", "code"),
    [
        ((12, 4), (12, 8), ""),
        ((13, 0), (12, 8), ""),
        ((12, 8), (13, 0), "driver_too_old"),
        (None, (13, 0), ""),
        ((12, 8), None, "torch_without_cuda"),
        ((12, 8), "missing", ""),
    ],
)
def test_driver_and_torch_have_to_agree(
    monkeypatch: pytest.MonkeyPatch,
    root: Path,
    driver: tuple[int, int] | None,
    built_for: Any,
    code: str,
) -> None:
    card = Accelerator(0, "RTX 4090", 24 * GIB, 23 * GIB, (8, 9), "580", True, 165e12)
    found = machine(monkeypatch, Nvidia((card,), (), driver), built_for, root)
    assert [fault.code for fault in found.faults] == ([code] if code else [])
    assert found.device == ("cpu" if code else "cuda-0")


def test_a_gpu_that_cannot_be_used_leaves_a_plan_for_the_processor(
    monkeypatch: pytest.MonkeyPatch, root: Path
) -> None:
    lost = probe_nvidia(Nvml([RTX_4090], "nvmlDeviceGetMemoryInfo", LOST), {}, root)
    found = machine(monkeypatch, lost, (12, 8), root)
    found = dataclasses.replace(found, ram_bytes=64 * GIB, available_bytes=60 * GIB)
    plan = make_plan(LLAMA_8B, found)
    assert plan.chosen is not None
    assert plan.budget.device == "cpu"
    noted = {note.code for note in plan.notes}
    assert {"gpu_lost", "no_gpu"} <= noted


def test_what_torch_was_built_for_is_read_without_importing_it() -> None:
    import torch

    version = torch.version.cuda
    expected = None if version is None else tuple(int(part) for part in version.split(".")[:2])
    assert torch_cuda() == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cuda: Optional[str] = '12.8'\n", (12, 8)),
        ('cuda = "13.0"\n', (13, 0)),
        ("cuda: Optional[str] = None\nhip: Optional[str] = '6.4'\n", None),
        ("", None),
    ],
)
def test_how_torch_writes_it(text: str, expected: Any) -> None:
    found = probe._TORCH_CUDA.search(text)
    assert (found and (int(found[1]), int(found[2]))) == expected


def test_the_freest_card_is_taken_and_none_without_a_cuda_build(root: Path) -> None:
    cards = probe_nvidia(Nvml([RTX_4090, A100]), {}, root).accelerators
    machine = Hardware(Cpu("cpu", 8, True), 64 * GIB, 60 * GIB, cards)
    assert machine.device == "cuda-1"
    bare = Hardware(Cpu("cpu", 8, True), 64 * GIB, 60 * GIB, cards, cuda_build=False)
    assert (bare.device, bare.accelerator) == ("cpu", None)
