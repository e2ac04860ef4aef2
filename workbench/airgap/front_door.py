"""The lock-down of the commands and screens: every layer but Landlock.

Which files a person will name is not known yet when a front door opens, so Landlock is left to
the jobs. Front doors are not strict: they warn, and the jobs refuse.
"""

from __future__ import annotations

from workbench.airgap.leaks import guard_tracebacks
from workbench.airgap.lockdown import Policy, Protection, lock_down


def lock_front_door() -> Protection:
    """Lock this process; call it while there is one thread and before plaintext is read."""
    guard_tracebacks()
    return lock_down(Policy(landlock=None, strict=False))
