"""What the doctor warns about, on made-up machines; and that looking needs no torch."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import pytest

from workbench.airgap.lockdown import LAYERS, Layer, Protection
from workbench.planning.doctor import Findings, describe
from workbench.planning.nvidia import Accelerator, Holder
from workbench.planning.nvidia_faults import Fault
from workbench.planning.probe import Cpu, Hardware
from workbench.planning.swap import Swap, SwapState

GIB = 1 << 30
CARD = Accelerator(0, "RTX 4090", 24 * GIB, 23 * GIB, (8, 9), "580", True, 165e12)


@pytest.fixture
def healthy(tmp_path: Path) -> Findings:
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    from workbench.planning.doctor import _NEEDED

    return Findings(
        home=home,
        hardware=Hardware(Cpu("cpu", 8, True), 64 * GIB, 60 * GIB, (CARD,)),
        libraries=dict.fromkeys(_NEEDED, "1.0"),
        fetches_code=False,
        protection=Protection({name: Layer("active") for name in LAYERS}),
        swaps=(Swap("/dev/dm-0", GIB, "encrypted"), Swap("/dev/zram0", GIB, "memory")),
        disk_free=100 * GIB,
        load=0.1,
    )


def codes(findings: Findings) -> list[str]:
    document = describe(findings)
    assert json.loads(json.dumps(document)) == document
    assert len(document["warnings"]) == len(document["warning_codes"])
    return list(document["warning_codes"])


def test_a_healthy_machine_has_no_warnings_and_all_fields(healthy: Findings) -> None:
    assert codes(healthy) == []
    document = describe(healthy)
    assert {
        *("cpu", "ram_bytes", "accelerators", "libraries", "protection", "warnings"),
        *("swap", "disk", "limits"),
    } <= set(document)
    assert document["protection"]["seccomp"] == {"state": "active", "detail": ""}
    assert document["device"] == "cuda-0"


@pytest.mark.parametrize("state", ["plain", "unknown"])
def test_swap_that_may_hold_records_in_the_clear(healthy: Findings, state: SwapState) -> None:
    swapping = dataclasses.replace(healthy, swaps=(Swap("/dev/sda2", GIB, state),))
    assert codes(swapping) == ["swap_not_encrypted"]


def test_missing_libraries_are_named(healthy: Findings) -> None:
    fewer = {name: "1" for name in healthy.libraries if name != "peft"}
    document = describe(dataclasses.replace(healthy, libraries=fewer))
    assert document["warning_codes"] == ["missing_libraries"]
    assert "peft" in document["warnings"][0]


def test_a_machine_that_cannot_lock_down_is_told_first(healthy: Findings) -> None:
    open_door = Protection({name: Layer("refused", "EPERM") for name in LAYERS})
    bad = dataclasses.replace(healthy, protection=open_door, disk_free=GIB, fetches_code=True)
    assert codes(bad) == ["no_protection", "fetches_code", "little_disk"]


def test_a_gpu_with_the_wrong_torch(healthy: Findings) -> None:
    fault = Fault("torch_without_cuda", "Install the CUDA build of the same version.")
    hardware = dataclasses.replace(healthy.hardware, cuda_build=False, faults=(fault,))
    assert codes(dataclasses.replace(healthy, hardware=hardware)) == ["torch_without_cuda"]


def test_a_card_that_others_use_names_them(healthy: Findings) -> None:
    holders = (Holder(4711, "python", 9 * GIB), Holder(4712, "", None))
    busy = dataclasses.replace(CARD, free_bytes=10 * GIB, holders=holders)
    hardware = dataclasses.replace(healthy.hardware, accelerators=(busy,))
    document = describe(dataclasses.replace(healthy, hardware=hardware))
    assert document["warning_codes"] == ["card_is_busy"]
    assert "python (process 4711) holds 9 GiB, a process (process 4712)" in document["warnings"][0]


def test_what_slows_or_spoils_a_card(healthy: Findings) -> None:
    card = dataclasses.replace(
        CARD, power_watts=200.0, usual_watts=450.0, uncorrected=3, ecc=True, mig=True
    )
    hardware = dataclasses.replace(healthy.hardware, accelerators=(card,))
    assert codes(dataclasses.replace(healthy, hardware=hardware)) == [
        "power_limited",
        "memory_errors",
        "card_is_divided",
    ]


def test_what_would_end_a_run_and_small_places_for_temporary_files(healthy: Findings) -> None:
    ending = Fault("logout_ends_runs", "Logging out ends your programs.")
    poor = dataclasses.replace(healthy, endings=(ending,), temporary_free=1 << 20)
    assert codes(poor) == ["logout_ends_runs", "little_temporary"]


def test_a_busy_processor_and_one_without_bf16(healthy: Findings) -> None:
    hardware = Hardware(Cpu("cpu", 2, False), 64 * GIB, 60 * GIB)
    poor = dataclasses.replace(healthy, hardware=hardware, load=1.9)
    assert codes(poor) == ["no_bf16", "busy_processor"]
    turing = dataclasses.replace(CARD, bf16=False)
    carded = dataclasses.replace(healthy.hardware, accelerators=(turing,))
    assert codes(dataclasses.replace(healthy, hardware=carded)) == ["no_bf16"]


def test_a_home_that_others_can_read(healthy: Findings) -> None:
    healthy.home.chmod(0o755)
    assert codes(healthy) == ["open_home"]


def test_looking_imports_nothing_heavy(tmp_path: Path) -> None:
    script = (
        "import sys, json\n"
        "from pathlib import Path\n"
        "from workbench.planning.doctor import examine\n"
        "import workbench.planning.planner, workbench.recipe\n"
        "document = examine(Path(sys.argv[1]))\n"
        "heavy = {'torch', 'transformers', 'peft', 'bitsandbytes', 'duckdb', 'numpy'}\n"
        "print(json.dumps([sorted(heavy & set(sys.modules)), document]))\n"
    )
    answer = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "none")],
        capture_output=True,
        check=True,
        timeout=60,
    )
    heavy, document = json.loads(answer.stdout)
    assert heavy == []
    assert document["libraries"]["torch"]
    assert set(document["protection"]) == set(LAYERS)
    assert document["disk"]["free_bytes"] > 0
