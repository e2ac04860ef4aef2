"""What may stand in a run's plain files: numbers, switches and short codes, never text.

Both sides check: the writer so that record text cannot leak into a file that is not sealed, the
reader so that a forged line cannot reach a terminal or a screen.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import TypeAlias

from workbench.errors import BadInput

Plain: TypeAlias = "bool | int | float | str | list[Plain] | dict[str, Plain] | None"

# A code: an enum's value, an id, a hash, a module path. No spaces, no slashes, no line feeds.
_CODE = re.compile(r"[A-Za-z0-9_.:-]{1,80}")
_OBJECT_ID = re.compile(r"[a-z]{2}-[0-9a-f]{16}")
_DEPTH = 6
_ITEMS = 256
_WHOLE = 2**63


def is_code(value: object) -> bool:
    """Say whether `value` is a string that may stand in a plain file."""
    return isinstance(value, str) and _CODE.fullmatch(value) is not None


def is_object_id(value: object) -> bool:
    """Say whether `value` looks like an object's id: two letters, a dash, 16 hex digits."""
    return isinstance(value, str) and _OBJECT_ID.fullmatch(value) is not None


def plain(value: object, depth: int = _DEPTH) -> Plain:
    """Return `value` as it may be written, or refuse it.

    A float that is not finite becomes None, because JSON has no way to say it.

    Raises:
        BadInput: code `not_plain`; the message names the type and never the value.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int) and abs(value) < _WHOLE:
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if value == "" or is_code(value):
        return str(value)
    if depth > 0 and isinstance(value, Mapping) and len(value) <= _ITEMS:
        if all(is_code(key) for key in value):
            return {str(key): plain(item, depth - 1) for key, item in value.items()}
    elif depth > 0 and isinstance(value, list | tuple) and len(value) <= _ITEMS:
        return [plain(item, depth - 1) for item in value]
    raise BadInput(
        f"A value of type {type(value).__name__} may not stand in a run's plain files.",
        hint="Only numbers, switches, ids and short codes may; text belongs into sealed objects.",
        code="not_plain",
    )
