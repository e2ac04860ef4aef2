"""What would end a run in the night: logging out, sleep, restarts, limits on processes.

Files only are read, no program is started, and whatever is absent (as most of it is in a
container) counts as harmless. Each finding says what will happen and how to prevent it.
"""

from __future__ import annotations

import os
import pwd
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from workbench.planning.nvidia_faults import Fault
from workbench.text import printable
from workbench.wording import duration, size

# Shorter runs are watched by whoever started them.
LONG_RUN_SECONDS = 30 * 60.0

_YES = {"yes", "true", "on", "1", "y", "t"}
_SLEEPS = {"suspend", "hibernate", "hybrid-sleep", "suspend-then-hibernate", "sleep"}
_ENDS = {"poweroff", "reboot", "halt", "kexec"}
_SESSION = re.compile(r"/session-[^/]+\.scope(/|$)")
_USER_SERVICE = re.compile(r"/user@\d+\.service(/|$)")
_APT_SETTING = re.compile(r'^\s*([\w:-]+)\s+"([^"]*)"\s*;', re.MULTILINE)
_MODULE = re.compile(r"(?:Kernel Module|for \w+)\s+(\d+\.\d+(?:\.\d+)*)\s")
_GNOME_POWER = "org.gnome.settings-daemon.plugins.power"
_LITTLE_FILES = 1024
_LITTLE_SPACE = 64 << 30
_MOST_READ = 256 * 1024


def what_ends_runs(root: Path = Path("/"), user: str | None = None) -> tuple[Fault, ...]:
    """Return what would end a long run on this machine, the likeliest first.

    Args:
        root: Where etc, proc, sys, run, usr and var lie.
        user: Whose runs; this process's user by default.
    """
    name = user if user is not None else _own_name()
    logind = _systemd_settings(root, "logind.conf")
    return (
        *_about_logging_out(root, logind, name),
        *_about_sleep(root, logind),
        *_about_restarts(root),
        *_about_driver(root),
        *_about_limits(root),
        *_about_battery(root),
    )


def warnings_for(seconds: float | None) -> tuple[Fault, ...]:
    """Return what would end a run that takes so long; None: nobody knows how long."""
    return what_ends_runs() if seconds is None or seconds > LONG_RUN_SECONDS else ()


def _about_logging_out(root: Path, logind: Mapping[str, str], user: str) -> Iterator[Fault]:
    groups = _text(root / "proc/self/cgroup")
    lingers = (root / "var/lib/systemd/linger" / user).exists()
    if _USER_SERVICE.search(groups):
        # systemd ends the user's own service manager with the last session unless it lingers.
        if not lingers:
            yield Fault(
                "logout_ends_runs",
                "Logging out ends your programs on this machine, a run among them. Type "
                "`loginctl enable-linger` once, and they go on.",
            )
    elif _SESSION.search(groups) and _kills(logind, user):
        yield Fault(
            "logout_ends_runs",
            "Logging out, or a lost SSH connection, ends your programs on this machine, a run "
            "among them (KillUserProcesses). Type `loginctl enable-linger` once, and start with "
            "`systemd-run --user --scope workbench`.",
        )


def _kills(logind: Mapping[str, str], user: str) -> bool:
    """Whether logind ends a user's processes at logout, logind.conf(5)."""
    if logind.get("KillUserProcesses", "no").lower() not in _YES:
        return False
    only = logind.get("KillOnlyUsers", "").split()
    return user not in logind.get("KillExcludeUsers", "root").split() and (not only or user in only)


def _about_sleep(root: Path, logind: Mapping[str, str]) -> Iterator[Fault]:
    action = logind.get("IdleAction", "ignore")
    if action in _ENDS:
        yield Fault(
            "idle_switches_off",
            f"This machine switches itself off when nobody uses it (IdleAction={action}), and "
            "a run does not count as use. Ask the administrator to change that.",
        )
    if _is_masked(root, "sleep.target"):  # every way of sleeping needs it
        return
    if action in _SLEEPS and not _is_masked(root, f"{action}.target"):
        yield Fault(
            "idle_suspends",
            f"This machine goes to sleep when nobody uses it (IdleAction={action}): a run stands "
            "still, and with a GPU it often fails on waking. Ask the administrator to change it, "
            "or to mask sleep: `systemctl mask sleep.target suspend.target`.",
        )
    elif _gnome_suspends(root) and not _is_masked(root, "suspend.target"):
        yield Fault(
            "idle_suspends",
            "The desktop puts this machine to sleep when nobody uses it: a run stands still, and "
            "with a GPU it often fails on waking. Switch Automatic Suspend off in Settings, "
            "Power.",
        )


def _gnome_suspends(root: Path) -> bool:
    """Whether GNOME suspends on mains power, by its defaults and what overrides them.

    What the user set lies in a binary file; where that names the setting, it was decided already.
    """
    if not any((root / "run" / name).exists() for name in ("gdm", "gdm3")):
        return False
    schemas = root / "usr/share/glib-2.0/schemas"
    schema = _text(schemas / f"{_GNOME_POWER}.gschema.xml")
    found = re.search(
        r'<key name="sleep-inactive-ac-type".*?<default>\s*\'([\w-]+)\'', schema, re.DOTALL
    )
    action = found[1] if found else "nothing"
    overriding = [
        *sorted(schemas.glob("*.gschema.override")),
        *sorted((root / "etc/dconf/db").glob("*.d/*")),
    ]
    for path in overriding:
        section = ""
        for line in _text(path).splitlines():
            if line.startswith("["):
                section = line.strip("[] ").replace("/", ".").partition(":")[0]
            elif section == _GNOME_POWER:
                key, _, value = line.partition("=")
                if key.strip() == "sleep-inactive-ac-type":
                    action = value.strip(" '\"")
    try:
        own = (Path.home() / ".config/dconf/user").read_bytes() if root == Path("/") else b""
    except OSError:
        own = b""
    return action in _SLEEPS and b"sleep-inactive-ac-type" not in own


def _is_masked(root: Path, unit: str) -> bool:
    """Whether an administrator forbade a unit: a link to /dev/null, or an empty file."""
    for folder in ("etc/systemd/system", "run/systemd/system"):
        path = root / folder / unit
        if path.is_symlink():
            return os.readlink(path) == "/dev/null"
        if path.is_file():
            return path.stat().st_size == 0
    return False


def _about_restarts(root: Path) -> Iterator[Fault]:
    apt: dict[str, str] = {}
    for path in sorted((root / "etc/apt/apt.conf.d").glob("*")):
        text = re.sub(r"^\s*(//|#).*$", "", _text(path), flags=re.MULTILINE)
        apt.update({key.lower(): value for key, value in _APT_SETTING.findall(text)})
    upgrades = apt.get("apt::periodic::unattended-upgrade", "0") not in ("", "0")
    restarts = apt.get("unattended-upgrade::automatic-reboot", "false").lower() in _YES
    if upgrades and restarts:
        when = apt.get("unattended-upgrade::automatic-reboot-time", "")
        at = f" at {printable(when, limit=8)}" if when not in ("", "now") else ""
        yield Fault(
            "restarts_itself",
            f"This machine installs updates by itself and restarts for them{at}. A run goes on "
            "from its last checkpoint only when you resume it. Ask the administrator to set "
            "`Unattended-Upgrade::Automatic-Reboot` to false.",
        )
    dnf = _ini(_text(root / "etc/dnf/automatic.conf")).get("reboot", "never")
    timers = (root / "etc/systemd/system/timers.target.wants").glob("dnf*automatic*.timer")
    if dnf in ("when-needed", "when-changed") and any(True for _ in timers):
        yield Fault(
            "restarts_itself",
            "This machine installs updates by itself and restarts for them. A run goes on from "
            "its last checkpoint only when you resume it. Ask the administrator to set `reboot` "
            "to never in /etc/dnf/automatic.conf.",
        )


def _about_driver(root: Path) -> Iterator[Fault]:
    """Tell of a driver whose new files wait for a restart, or of one that is updated by itself."""
    found = _MODULE.search(_text(root / "proc/driver/nvidia/version"))
    if found is None:
        return
    libraries = {
        path.name.removeprefix("libcuda.so.")
        for folder in ("usr/lib64", "usr/lib", "usr/lib/x86_64-linux-gnu")
        for path in (root / folder).glob("libcuda.so.*.*")
    }
    if libraries and found[1] not in libraries:
        yield Fault(
            "driver_update_pending",
            f"The NVIDIA driver was updated to {printable(max(libraries), limit=16)} while "
            f"{found[1]} runs: what is started now may not find the GPU. Restart the machine "
            "before a long run.",
        )


def _about_limits(root: Path) -> Iterator[Fault]:
    limits = read_process_limits(root)
    seconds = limits.get("cpu time")
    if seconds is not None:
        yield Fault(
            "processor_time_limited",
            f"Programs that you start here are ended after {duration(seconds)} of processor time "
            "(`ulimit -t`). Ask the administrator to lift the limit.",
        )
    space = limits.get("address space")
    if space is not None and space < _LITTLE_SPACE:
        yield Fault(
            "address_space_limited",
            f"Programs that you start here get {size(space)} of address space (`ulimit -v`); "
            "training reserves far more than it uses and would fail. Lift the limit.",
        )
    files = limits.get("open files")
    if files is not None and files < _LITTLE_FILES:
        yield Fault(
            "few_open_files",
            f"Programs that you start here may open {files} files at a time (`ulimit -n`). Set "
            f"at least {_LITTLE_FILES}.",
        )


def read_process_limits(root: Path = Path("/")) -> dict[str, int]:
    """Return the soft limits of this process that are set, by the kernel's names in lower case.

    The file is described in proc_pid_limits(5).
    """
    found = {}
    for line in _text(root / "proc/self/limits").splitlines()[1:]:
        match = re.match(r"Max ([a-z ]+?)\s{2,}(\d+)\s", line)
        if match:
            found[match[1].strip()] = int(match[2])
    return found


def _about_battery(root: Path) -> Iterator[Fault]:
    supplies = sorted((root / "sys/class/power_supply").glob("*"))
    mains = [each for each in supplies if _text(each / "type").strip() == "Mains"]
    if mains and not any(_text(each / "online").strip() == "1" for each in mains):
        yield Fault(
            "on_battery",
            "This machine runs on its battery, which a run empties. Plug it in.",
        )


def _systemd_settings(root: Path, name: str) -> dict[str, str]:
    """Return the settings of a systemd configuration file and what overrides it.

    The first main file of etc, run and usr counts; then the drop-ins of all three in the order of
    their names, where one of the same name in an earlier folder hides the later (systemd.syntax(7)
    and logind.conf(5)).
    """
    folders = [root / place / "systemd" for place in ("etc", "run", "usr/local/lib", "usr/lib")]
    main = next((path for each in folders if (path := each / name).is_file()), None)
    drops: dict[str, Path] = {}
    for folder in reversed(folders):
        drops.update({path.name: path for path in sorted((folder / f"{name}.d").glob("*.conf"))})
    settings: dict[str, str] = {} if main is None else _ini(_text(main))
    for _, path in sorted(drops.items()):
        settings.update(_ini(_text(path)))
    return settings


def _ini(text: str) -> dict[str, str]:
    """Return the settings of all sections; comments and continued lines are left out."""
    found = {}
    for line in text.splitlines():
        key, equals, value = line.partition("=")
        if equals and not line.lstrip().startswith(("#", ";")):
            found[key.strip()] = value.strip()
    return found


def _own_name() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:  # a container that runs under a number
        return str(os.geteuid())


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(_MOST_READ).decode("utf-8", errors="replace")
    except OSError:
        return ""
