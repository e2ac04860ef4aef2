"""The runs of a home, without the passphrase."""

from __future__ import annotations

import re
from collections.abc import Container
from pathlib import Path
from typing import Any

from workbench.errors import BadInput, NotFound
from workbench.runs.job import JobFolder
from workbench.runs.state import RunState, current_state
from workbench.runs.values import is_object_id

_PREFIX = re.compile(r"(ru-)?[0-9a-f]{1,16}")


def _folders(home: Path) -> list[Path]:
    runs = home / "runs"
    if not runs.is_dir():
        return []
    return sorted(
        path for path in runs.iterdir() if is_object_id(path.name) and not path.is_symlink()
    )


def list_runs(home: Path, *, without: Container[str] = ()) -> list[RunState]:
    """Return every run, newest first; one with an unreadable spec is listed as `damaged`.

    Args:
        home: The home.
        without: Ids of runs that need not be read.

    Raises:
        Refused: code `newer_format`.
    """
    states = []
    for path in _folders(home):
        if path.name in without:
            continue
        try:
            states.append(current_state(path))
        except BadInput:  # NotFound is one: the spec is gone
            if path.is_dir():  # it may have been removed since the folder was read
                states.append(RunState(run=path.name, state="damaged"))
    return sorted(states, key=lambda state: (state.created, state.run), reverse=True)


def find_run(home: Path, name: str) -> Path:
    """Return the folder of the run with this id, or whose id alone begins like this.

    Args:
        name: `ru-` and 16 hex digits, or a beginning of that, with or without `ru-`.

    Raises:
        NotFound: no run begins so. BadInput: code `ambiguous`: several do.
    """
    hint = "`workbench run list` shows the runs that are there."
    wanted = name if name.startswith("ru-") else f"ru-{name}"
    if not _PREFIX.fullmatch(name):
        raise NotFound("That is no run's id, nor the beginning of one.", hint=hint)
    found = [path for path in _folders(home) if path.name.startswith(wanted)]
    if not found:
        raise NotFound(f"There is no run {name}.", hint=hint)
    if len(found) > 1:
        raise BadInput(f"{len(found)} runs begin with {name}.", hint=hint, code="ambiguous")
    return found[0]


def check_unneeded(home: Path, object_id: str) -> None:
    """Refuse to go on while a run works with this dataset or model, or could be resumed with it.

    Raises:
        BadInput: code `in_use`.
    """
    users = [
        state.run
        for state in list_runs(home)
        if object_id in state.objects.values()
        and (not state.is_over or (state.kind == "train" and state.is_resumable))
    ]
    if users:
        raise BadInput(
            f"It was not removed: {len(users)} unfinished runs need it, the first is {users[0]}.",
            hint=f"Let the run finish, or end it with `workbench run stop {users[0]}`.",
            code="in_use",
        )


def show_run(home: Path, name: str) -> dict[str, Any]:
    """Return the fields of `run show`: `run, state, step, steps, loss, eval_loss, …`.

    Raises:
        NotFound, BadInput, Refused: as `find_run` and `current_state`.
    """
    folder = JobFolder(find_run(home, name))
    state = current_state(folder.path)
    return {**state.to_json(), "alive": folder.is_alive()}
