"""What would end a run in the night, on made-up machines."""

from __future__ import annotations

from pathlib import Path

import pytest

from workbench.planning.overnight import read_process_limits, what_ends_runs

SSH = {"proc/self/cgroup": "0::/user.slice/user-1000.slice/session-3.scope\n"}
DESKTOP = {
    "proc/self/cgroup": "0::/user.slice/user-1000.slice/user@1000.service/app.slice/x.scope\n"
}
KILLS = {"etc/systemd/logind.conf": "[Login]\nKillUserProcesses=yes\n"}
MODULE = {
    "proc/driver/nvidia/version": "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.14  "
    "Thu Feb 22 01:44:30 UTC 2024\n"
}
OPEN_MODULE = {
    "proc/driver/nvidia/version": "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  "
    "570.86.15  Release Build\n"
}
LIBRARY = "usr/lib/x86_64-linux-gnu/libcuda.so."
GNOME = {
    "run/gdm3/.keep": "",
    "usr/share/glib-2.0/schemas/org.gnome.settings-daemon.plugins.power.gschema.xml": (
        '<key name="sleep-inactive-ac-type" enum="x">\n  <default>\'suspend\'</default>\n</key>'
    ),
}
OVERRIDE = "usr/share/glib-2.0/schemas/90_site.gschema.override"
APT = {
    "etc/apt/apt.conf.d/20auto-upgrades": 'APT::Periodic::Unattended-Upgrade "1";\n',
    "etc/apt/apt.conf.d/50unattended-upgrades": (
        'Unattended-Upgrade::Automatic-Reboot "true";\n'
        '// Unattended-Upgrade::Automatic-Reboot "false";\n'
        'Unattended-Upgrade::Automatic-Reboot-Time "02:00";\n'
    ),
}
LIMITS = (
    "Limit                     Soft Limit           Hard Limit           Units     \n"
    "Max cpu time              {cpu:<20} unlimited            seconds   \n"
    "Max address space         {space:<20} unlimited            bytes     \n"
    "Max open files            {files:<20} 1048576              files     \n"
)


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def found(root: Path, *parts: dict[str, str]) -> list[str]:
    for part in parts:
        write(root, part)
    faults = what_ends_runs(root, user="ana")
    for fault in faults:
        assert fault.text.endswith(".")
    return [fault.code for fault in faults]


def mask(root: Path, unit: str) -> None:
    folder = root / "etc/systemd/system"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / unit).symlink_to("/dev/null")


def test_an_empty_machine_ends_nothing(tmp_path: Path) -> None:
    assert found(tmp_path) == []


def test_looking_at_this_machine_does_not_fail() -> None:
    assert all(fault.code and fault.text for fault in what_ends_runs())


def test_a_session_survives_its_logout_unless_logind_kills(tmp_path: Path) -> None:
    assert found(tmp_path, SSH) == []
    assert found(tmp_path, KILLS) == ["logout_ends_runs"]


@pytest.mark.parametrize(
    ("drop_ins", "ends"),
    [
        ({"etc/systemd/logind.conf.d/50-site.conf": "[Login]\nKillUserProcesses=no\n"}, False),
        ({"etc/systemd/logind.conf.d/50.conf": "[Login]\n#KillUserProcesses=no\n"}, True),
        ({"usr/lib/systemd/logind.conf.d/10.conf": "[Login]\nKillExcludeUsers=root ana\n"}, False),
        ({"run/systemd/logind.conf.d/10.conf": "[Login]\nKillOnlyUsers=guest\n"}, False),
        (  # an earlier folder's file hides the later one of the same name
            {
                "usr/lib/systemd/logind.conf.d/10.conf": "[Login]\nKillUserProcesses=no\n",
                "etc/systemd/logind.conf.d/10.conf": "[Login]\n",
            },
            True,
        ),
    ],
)
def test_drop_ins_go_over_logind_conf(tmp_path: Path, drop_ins: dict[str, str], ends: bool) -> None:
    assert found(tmp_path, SSH, KILLS, drop_ins) == (["logout_ends_runs"] if ends else [])


def test_programs_of_the_desktop_end_with_the_last_session_unless_the_user_lingers(
    tmp_path: Path,
) -> None:
    assert found(tmp_path, DESKTOP) == ["logout_ends_runs"]
    assert found(tmp_path, {"var/lib/systemd/linger/ana": ""}) == []


@pytest.mark.parametrize(
    ("action", "code"),
    [
        ("suspend", ["idle_suspends"]),
        ("poweroff", ["idle_switches_off"]),
        ("lock", []),
        ("ignore", []),
    ],
)
def test_what_logind_does_when_nobody_uses_the_machine(
    tmp_path: Path, action: str, code: list[str]
) -> None:
    assert found(tmp_path, {"etc/systemd/logind.conf": f"[Login]\nIdleAction={action}\n"}) == code


@pytest.mark.parametrize("unit", ["sleep.target", "suspend.target"])
def test_a_masked_target_keeps_the_machine_awake(tmp_path: Path, unit: str) -> None:
    idle = {"etc/systemd/logind.conf": "[Login]\nIdleAction=suspend\n"}
    assert found(tmp_path, idle, GNOME) == ["idle_suspends"]
    mask(tmp_path, unit)
    assert found(tmp_path) == []


def test_the_desktop_suspends_by_its_default_unless_a_site_says_otherwise(tmp_path: Path) -> None:
    assert found(tmp_path, GNOME) == ["idle_suspends"]
    site = "[org.gnome.settings-daemon.plugins.power]\nsleep-inactive-ac-type='nothing'\n"
    assert found(tmp_path, {OVERRIDE: site}) == []
    locked = "[org/gnome/settings-daemon/plugins/power]\nsleep-inactive-ac-type='suspend'\n"
    assert found(tmp_path, {"etc/dconf/db/local.d/00-power": locked}) == ["idle_suspends"]


def test_updates_that_restart_the_machine(tmp_path: Path) -> None:
    assert found(tmp_path, APT) == ["restarts_itself"]
    assert "at 02:00" in what_ends_runs(tmp_path, user="ana")[0].text
    later = {"etc/apt/apt.conf.d/99site": 'Unattended-Upgrade::Automatic-Reboot "false";\n'}
    assert found(tmp_path, later) == []


def test_updates_of_red_hats_kind(tmp_path: Path) -> None:
    conf = {"etc/dnf/automatic.conf": "[commands]\nreboot = when-needed\n"}
    assert found(tmp_path, conf) == []  # nothing runs it
    timer = {"etc/systemd/system/timers.target.wants/dnf-automatic.timer": ""}
    assert found(tmp_path, timer) == ["restarts_itself"]


@pytest.mark.parametrize(
    ("module", "library", "codes"),
    [
        (MODULE, "550.54.14", []),
        (MODULE, "560.35.03", ["driver_update_pending"]),
        (OPEN_MODULE, "570.86.15", []),
        (OPEN_MODULE, "580.65.06", ["driver_update_pending"]),
        (MODULE, "", []),
        ({"proc/driver/nvidia/version": "nonsense"}, "580.1.2", []),
    ],
)
def test_a_driver_that_waits_for_a_restart(
    tmp_path: Path, module: dict[str, str], library: str, codes: list[str]
) -> None:
    files = {LIBRARY + library: ""} if library else {}
    assert found(tmp_path, module, files) == codes


def test_limits_on_processes(tmp_path: Path) -> None:
    free = LIMITS.format(cpu="unlimited", space="unlimited", files=1024)
    assert found(tmp_path, {"proc/self/limits": free}) == []
    assert read_process_limits(tmp_path) == {"open files": 1024}
    tight = LIMITS.format(cpu=7200, space=8 << 30, files=256)
    assert found(tmp_path, {"proc/self/limits": tight}) == [
        "processor_time_limited",
        "address_space_limited",
        "few_open_files",
    ]


def test_a_battery_is_no_supply_for_a_night(tmp_path: Path) -> None:
    supply = {"sys/class/power_supply/AC/type": "Mains\n"}
    assert found(tmp_path, supply, {"sys/class/power_supply/AC/online": "0\n"}) == ["on_battery"]
    assert found(tmp_path, {"sys/class/power_supply/AC/online": "1\n"}) == []


def test_files_that_are_no_text_or_links_in_circles_are_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "etc/systemd"
    folder.mkdir(parents=True)
    (folder / "logind.conf").write_bytes(b"\xff\xfe\x00IdleAction=suspend")
    (tmp_path / "proc").symlink_to("proc")
    (folder / "system").mkdir()
    (folder / "system/sleep.target").symlink_to("sleep.target")
    assert found(tmp_path) == []
