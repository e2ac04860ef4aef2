"""The names of sealed objects: a two-letter kind and 64 random bits, which say nothing else."""

from __future__ import annotations

import re
import secrets

from workbench.errors import BadInput

PREFIXES = {"ds": "dataset", "mo": "model", "ru": "run", "ad": "adapter", "dr": "draft"}
_PATTERN = re.compile(r"(ds|mo|ru|ad|dr)-[0-9a-f]{16}")


def new_id(prefix: str) -> str:
    """Return a fresh object id such as `ds-0f3c…` (16 hexadecimal digits).

    Args:
        prefix: One of `PREFIXES`: ds, mo, ru, ad or dr.
    """
    if prefix not in PREFIXES:
        raise ValueError(f"unknown object prefix {prefix!r}")
    return f"{prefix}-{secrets.token_hex(8)}"


def is_id(value: str) -> bool:
    """Whether `value` has the form of an object id; ids become file names, so nothing else may."""
    return _PATTERN.fullmatch(value) is not None


def check_id(value: str) -> str:
    """Return `value` if it is an object id.

    Raises:
        BadInput: It is not (code `bad_id`).
    """
    if not is_id(value):
        raise BadInput("This is not the id of an object in a vault.", code="bad_id")
    return value


def kind_of(object_id: str) -> str:
    """Return the kind that the id's prefix stands for: dataset, model, run, adapter or draft."""
    return PREFIXES[check_id(object_id)[:2]]
