"""Samples of a run: what the model answered while it was trained, sealed in the run's folder.

The engine writes them, a front door with the run's key reads them. A sample is one file,
`samples/<step>-<number>.sealed`, under the run's key and format `sample/1`; record text and answers
stand in there and nowhere else. The latest `KEPT` are kept; removing the run removes all.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

from workbench.durable import make_private_folder, sweep_stages
from workbench.errors import VaultDamaged
from workbench.runs.job import JobFolder
from workbench.runs.listing import find_run
from workbench.vault.formats import SAMPLE
from workbench.vault.sealed import DataKey, read_sealed, write_sealed

KEPT = 20
_NAME = re.compile(r"[0-9]{10}-([0-9]{6,})\.sealed")


@dataclass(frozen=True, repr=False)
class Answer:
    """One record and what the model made of it; all of it is record text but the figures.

    Attributes:
        record: The record's number in its dataset.
        asked: (role, text) of each turn before the answer; the role is empty for plain text.
        expected: What the record answers; empty where it has no answer.
        text: What the model answered.
        tokens: Of the answer.
        ended: Whether the model ended it, rather than the cap.
    """

    record: int
    asked: tuple[tuple[str, str], ...]
    expected: str
    text: str
    tokens: int
    ended: bool


@dataclass(frozen=True, repr=False)
class Sample:
    """What one asking brought.

    Attributes:
        number: Counts a run's samples from 1.
        step: Optimizer steps that were done by then.
        held_out: Whether the records are of the validation split; otherwise the dataset has none
            and they are trained on.
        seconds: How long it took.
    """

    number: int
    step: int
    held_out: bool
    seconds: float
    answers: tuple[Answer, ...]


class SampleFolder:
    """The folder `samples/` of one run."""

    def __init__(self, folder: Path, key: DataKey) -> None:
        self._folder = folder
        self._key = key

    def numbers(self) -> list[int]:
        """Return the numbers of the samples that are kept, in order."""
        return sorted(self._files())

    def write(self, sample: Sample) -> None:
        """Seal a sample and remove the oldest beyond `KEPT`; the caller holds the run's lock.

        Raises:
            OSError: The disk is full or failing; what was there before stands.
        """
        make_private_folder(self._folder)
        sweep_stages(self._folder)
        body = json.dumps(asdict(sample), allow_nan=False).encode("ascii")
        path = self._folder / f"{sample.step:010d}-{sample.number:06d}.sealed"
        write_sealed(path, self._key, SAMPLE, [body], {})
        files = self._files()
        for number in sorted(files)[:-KEPT]:
            files[number].unlink()

    def read(self) -> list[Sample]:
        """Open every sample that is kept, the oldest first.

        Raises:
            VaultDamaged: One does not verify.
        """
        samples = []
        for _, path in sorted(self._files().items()):
            try:
                samples.append(self._open(path))
            except VaultDamaged:
                if path.exists():  # else the job removed it since the folder was read
                    raise
        return samples

    def _open(self, path: Path) -> Sample:
        fields = json.loads(read_sealed(path, self._key, SAMPLE).read())
        answers = tuple(
            Answer(**{**each, "asked": tuple((role, text) for role, text in each["asked"])})
            for each in fields.pop("answers")
        )
        return Sample(**fields, answers=answers)

    def _files(self) -> dict[int, Path]:
        if not self._folder.is_dir():
            return {}
        named = ((_NAME.fullmatch(path.name), path) for path in self._folder.iterdir())
        return {int(name[1]): path for name, path in named if name}


class Unlocked(Protocol):
    """An unlocked vault, as far as it is needed here; the engine may import no more of one."""

    @property
    def home(self) -> Path:
        """The home folder."""

    def key(self, object_id: str) -> DataKey:
        """Return an object's key."""


def samples_of(vault: Unlocked, run: str) -> list[Sample]:
    """Return the samples of a run that are kept, the oldest first.

    Raises:
        NotFound: there is no such run. VaultDamaged: a sample does not verify.
    """
    folder = JobFolder(find_run(vault.home, run))
    return SampleFolder(folder.samples_folder, vault.key(folder.run)).read()
