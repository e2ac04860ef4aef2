"""Sealed checkpoints of one run: written whole or not at all, the last two and the best kept.

A checkpoint holds everything that the next step depends on: the trained weights, the optimizer's
moments, the states of the random generators, and the counters. A run that is killed at any moment
and resumed therefore ends with the same bits.
"""

from __future__ import annotations

import errno
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from workbench.durable import make_private_folder, sweep_stages
from workbench.engine.tensorfile import TensorFile, stream_tensors, tensor_bytes
from workbench.errors import DoesNotFit, VaultDamaged
from workbench.vault import formats
from workbench.vault.ranged import SealedBytes
from workbench.vault.sealed import DataKey, read_sealed, write_sealed
from workbench.wording import size

_NAME = re.compile(r"step-([0-9]{10})\.sealed")
_RECENT = 2
# What other files of the run may take while a checkpoint is written.
_SPARE_BYTES = 16 * 1024 * 1024


class DiskFull(DoesNotFit):
    """A checkpoint has no room on the disk; what was there before still stands."""

    default_code = "disk_full"


@dataclass(frozen=True, repr=False)
class Checkpoint:
    """What was read back: tensors by name, read from the disk as they are wanted, and counters."""

    step: int
    tensors: TensorFile
    state: dict[str, Any]


class Checkpoints:
    """The folder `checkpoints/` of a run, sealed under the run's key."""

    def __init__(self, folder: Path, key: DataKey) -> None:
        """Open the folder, made when absent; the caller holds the run's lock."""
        self._folder = folder
        self._key = key
        make_private_folder(folder)
        sweep_stages(folder)

    def steps(self) -> list[int]:
        """Return the steps that have a checkpoint, in order."""
        names = (_NAME.fullmatch(path.name) for path in self._folder.iterdir())
        return sorted(int(name[1]) for name in names if name)

    def write(
        self, step: int, tensors: Mapping[str, Tensor], state: Mapping[str, Any], *, best: int
    ) -> int:
        """Seal a checkpoint, then remove all but the last two and the best; return its bytes.

        Args:
            best: The step whose checkpoint must stay; -1 for none.

        Raises:
            DiskFull: It has no room; nothing was changed.
        """
        needed = tensor_bytes(tensors) + _SPARE_BYTES
        if shutil.disk_usage(self._folder).free < needed:
            raise self._full(needed)
        path = self._path(step)
        try:
            write_sealed(path, self._key, formats.CHECKPOINT, stream_tensors(tensors), state)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise self._full(needed) from None
            raise
        kept = {*self.steps()[-_RECENT:], best}
        for old in self.steps():
            if old not in kept:
                self._path(old).unlink()
        return path.stat().st_size

    def read(self, step: int) -> Checkpoint:
        """Verify every byte of one checkpoint and open it.

        Raises:
            VaultDamaged: It is missing or does not verify.
        """
        sealed = read_sealed(self._path(step), self._key, formats.CHECKPOINT)
        data = SealedBytes(sealed)
        data.verify()
        return Checkpoint(step, TensorFile(data), sealed.meta)

    def newest(self) -> Checkpoint | None:
        """Open the newest checkpoint that verifies; None when there is none at all.

        Raises:
            VaultDamaged: There are some, and none verifies.
        """
        damage: VaultDamaged | None = None
        for step in reversed(self.steps()):
            try:
                return self.read(step)
            except VaultDamaged as error:
                damage = error
        if damage is not None:
            raise damage
        return None

    def _path(self, step: int) -> Path:
        return self._folder / f"step-{step:010d}.sealed"

    def _full(self, needed: int) -> DiskFull:
        return DiskFull(
            f"A checkpoint needs {size(needed)} and the disk has less.",
            hint="Make room and resume the run; the checkpoint before this one still stands.",
        )
