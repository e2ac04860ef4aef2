"""The tree of errors: one class for each way a command may end, with its exit code.

A message says what happened and what was kept; the hint says what to do next. Neither ever holds
record text: name the file, the line and the reason code instead.
"""

from __future__ import annotations

import errno
from typing import ClassVar


class WorkbenchError(Exception):
    """Base of all expected failures.

    Args:
        message: One or two plain sentences; no record text.
        hint: What the user can do next; defaults to the class's own, which may be empty.
        code: A snake_case code that scripts may match; defaults to the class's own.
    """

    exit_code: ClassVar[int] = 70
    default_code: ClassVar[str] = "internal"
    default_hint: ClassVar[str] = ""

    def __init__(self, message: str, *, hint: str = "", code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint or self.default_hint
        self.code = code or self.default_code


class UsageError(WorkbenchError):
    """The command or a setting was given wrongly."""

    exit_code = 2
    default_code = "usage"
    default_hint = "The command with `--help` after its name says what it takes."


class BadInput(WorkbenchError):
    """A file, a record or a model cannot be used as it is."""

    exit_code = 3
    default_code = "bad_input"


class NotFound(BadInput):
    """Something was named that is not in this vault."""

    default_code = "not_found"
    default_hint = "`workbench dataset list`, `model list`, `adapter list`: what the vault holds."


class VaultError(WorkbenchError):
    """The vault cannot be opened or fails its check."""

    exit_code = 4
    default_code = "vault"


class WrongPassphrase(VaultError):
    """No slot opens with the passphrase or recovery key that was given."""

    default_code = "wrong_passphrase"


class VaultDamaged(VaultError):
    """Sealed bytes do not verify: they were changed, cut, swapped or belong elsewhere."""

    default_code = "vault_damaged"
    default_hint = (
        "`workbench vault verify` lists what is damaged; restore that from a backup of the home."
    )


class DoesNotFit(WorkbenchError):
    """Memory or disk does not suffice."""

    exit_code = 5
    default_code = "does_not_fit"


class Refused(WorkbenchError):
    """Policy forbids it: an unsafe model, a possible way out of the machine, an open home."""

    exit_code = 6
    default_code = "refused"


class JobFailed(WorkbenchError):
    """A background job crashed or was stopped."""

    exit_code = 7
    default_code = "job_failed"


class Busy(WorkbenchError):
    """Another process holds what this command needs."""

    exit_code = 8
    default_code = "busy"
    default_hint = "Wait until it is done, then try again."


class InternalError(WorkbenchError):
    """A fault of the product itself."""


def told_by_system(error: OSError) -> WorkbenchError | None:
    """Return what the system refused in the product's words; None for what it never should."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DoesNotFit(
            "The disk is full; what was there before is as it was.",
            hint="Free some space on the home's disk, then try again.",
            code="disk_full",
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return BadInput(
            f"A file of the vault's home may not be written or read ({error.strerror}).",
            hint="Check who owns the home folder, and that its disk is not mounted read-only.",
            code="no_access",
        )
    if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ESTALE, errno.EIO):
        return NotFound(
            f"A file that is needed cannot be found or read any more ({error.strerror}).",
            hint="Was the home folder moved, or its disk taken away? Put it back, then try again; "
            "`workbench vault verify` tells whether it is whole.",
            code="gone",
        )
    return None
