"""What keeps a GPU from being used, in sentences with their cure."""

from __future__ import annotations

from dataclasses import dataclass

# Numbers of nvmlReturn_t (nvml.h).
_NO_PERMISSION, _NOT_LOADED, _NO_LIBRARY = 4, 9, 12
_LOST, _RESET, _MISMATCH = 15, 16, 18

UNREACHABLE = (
    "{name} is in this machine, but programs started here may not open it: a container or a "
    "control group keeps its device files away. Start the container with the GPU "
    "(`--gpus all`), or ask the administrator for access."
)
DIVIDED = (
    "{name} is set to be divided into slices (MIG), but has none, so nothing can run on it. Ask "
    "the administrator to make a slice or to switch MIG off."
)
SILENT = (
    "{name} does not answer as it should. Restart the machine; if it happens again, look for "
    "`NVRM: Xid` in the system's log and have the card checked."
)


@dataclass(frozen=True)
class Fault:
    """One fault: a code in snake_case, and whole sentences with the cure."""

    code: str
    text: str


def about_driver(code: int, *, present: bool) -> tuple[Fault, ...]:
    """Say why the driver does not answer; nothing where there is no GPU that it could drive.

    Args:
        code: NVML's error.
        present: Whether an NVIDIA GPU sits on the bus.
    """
    if code == _MISMATCH:
        return (
            Fault(
                "driver_mismatch",
                "The NVIDIA driver was updated while it was running, and its old and new parts do "
                "not work together: no GPU can be used. Restart the machine.",
            ),
        )
    if not present:
        return ()
    if code == _NO_LIBRARY:
        return (
            Fault(
                "gpu_without_driver",
                "There is an NVIDIA GPU in this machine, but its driver is not installed here, so "
                "it cannot be used. Install the driver; in a container, start it with the GPU "
                "(`--gpus all`).",
            ),
        )
    if code == _NOT_LOADED:
        return (
            Fault(
                "driver_not_loaded",
                "The NVIDIA driver is installed but does not run, as it happens after an update "
                "of the kernel: no GPU can be used. Restart the machine; if that does not help, "
                "install the driver again for the running kernel.",
            ),
        )
    if code == _NO_PERMISSION:
        return (
            Fault(
                "gpu_forbidden",
                "You may not use this machine's GPU. Ask the administrator for access to its "
                "device files (often the group `video` or `render`).",
            ),
        )
    return (Fault("gpu_silent", SILENT.format(name="The NVIDIA driver")),)


def about_card(code: int, name: str) -> Fault:
    """Say why one card is left out."""
    if code == _LOST:
        return Fault(
            "gpu_lost",
            f"{name} has fallen off the bus: the driver can no longer reach it. Switch the "
            "machine off and on again; if it happens again, check the card's power, seat and "
            "temperature.",
        )
    if code == _RESET:
        return Fault(
            "gpu_needs_reset",
            f"{name} has stopped after a fault and must be reset. Restart the machine.",
        )
    if code == _NO_PERMISSION:
        return Fault("gpu_not_reachable", UNREACHABLE.format(name=name))
    return Fault("gpu_silent", SILENT.format(name=name))
