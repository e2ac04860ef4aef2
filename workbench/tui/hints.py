"""What to do about an error, in the screens' words.

A room's hint speaks to whoever typed a command: it names flags and other commands. Here stands what
the screens call the same thing, by the error's code; where they have no word of their own, the
room's hint is good for both.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from workbench.errors import WorkbenchError

Place: TypeAlias = Literal["", "data", "train", "export"]

_EVERYWHERE = {
    "bad_recipe": "Step back to Fit: Every setting says what each may be.",
    "base_mismatch": "Add the original model again under Models.",
    "base_missing": "Add the same model again under Models; its name does not matter.",
    "name_taken": "Type another name.",
    "not_found": "It was removed meanwhile: go back and choose again.",
    "not_sealed": "Doctor (F2, then o) tries every layer of the protection and says what lacks.",
    "vault_damaged": "Check the vault (F2, then o, then v), and restore what that names from a "
    "backup.",
}
_AT: dict[Place, dict[str, str]] = {
    "": {},
    "data": {},
    "train": {
        "bad_name": "Letters, digits, space, '.', '_', '+' and '-', at most 100.",
        "disk": "Free some disk, or step back to Fit and take a smaller rank.",
        "empty_split": "Import the data again with smaller shares for validation and test.",
        "memory": "Step back to Fit: a shorter context, a smaller rank or QLoRA need less.",
        "no_records": "Step back and choose another model, or look at the masks in Data.",
    },
    "export": {
        "bad_input": "Choose another folder.",
        "disk": "Free some disk, or choose a folder on another one.",
        "inside_home": "Choose a folder elsewhere.",
        "no_adapter": "Choose safetensors.",
        "not_writable": "Choose another folder.",
        "unmergeable": "Choose peft.",
    },
}
# Said instead of message and hint, where the message speaks of a flag as well.
_WHOLE: dict[Place, dict[str, str]] = {
    "data": {
        "kind_unknown": "The columns fit nothing yet: say what the records are, and which column "
        "is which.",
        "bad_map": "A column that was chosen is not in this file. Choose again.",
        "not_sealed": "This machine cannot cut the preview off from the network, so none is shown.",
    },
}


def hint(error: WorkbenchError, place: Place = "") -> str:
    """Return what to do about an error; empty where nothing is known.

    Args:
        place: Where it is told, for a word that differs from place to place.
    """
    return _AT[place].get(error.code) or _EVERYWHERE.get(error.code, error.hint)


def told(error: WorkbenchError, place: Place = "") -> str:
    """Return in one paragraph what happened and what to do about it."""
    whole = _WHOLE.get(place, {}).get(error.code)
    return whole or f"{error.message} {hint(error, place)}".strip()
