"""Durations, sizes, counts and methods as people say them: one way for every room and door."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

METHOD_NAMES = {"qlora": "QLoRA", "lora": "plain LoRA", "full": "full fine-tuning"}
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")
_STEP = 1024


def duration(seconds: float) -> str:
    """Return `seconds` as people say it: 42 s, 7 min 05 s, 3 h 20 min; less than 0 counts as 0."""
    whole = max(int(seconds), 0)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def size(amount: float) -> str:
    """Return `amount` bytes with a binary unit: 512 B, 7.3 GiB, 24 GiB, 840 MiB."""
    unit = 0
    # What would round up to 1024 of a unit is 1 of the next.
    while round(amount) >= _STEP and unit < len(_UNITS) - 1:
        amount /= _STEP
        unit += 1
    digits = 1 if unit and amount < 100 else 0
    return f"{amount:.{digits}f}".removesuffix(".0") + f" {_UNITS[unit]}"


def speeds(figures: Mapping[str, Any] | None) -> str:
    """Return a machine's measured speed in a sentence; `figures` by name, a second."""
    if figures is None:
        return "Speed: not measured yet; times are guesses"
    parts = [
        f"{figures[name] / 1e9:,.0f} {unit} {noun}"
        for name, unit, noun in (
            ("matmul_bf16", "GFLOP/s", "in bf16"),
            ("matmul_fp32", "GFLOP/s", "in 32 bit"),
            ("memory", "GB/s", "of memory"),
            ("to_device", "GB/s", "to the GPU"),
            ("from_device", "GB/s", "from the GPU"),
        )
        if name in figures
    ]
    return "Speed: " + ", ".join(parts)


def count(number: int, noun: str = "", plural: str = "") -> str:
    """Return `number` with its thousands apart, and with `noun`: 1,234, 1 record, 2 records.

    Args:
        number: How many.
        noun: What is counted, in the singular; none leaves the number alone.
        plural: The noun's plural where it is not formed with an s: entry, entries.
    """
    if not noun:
        return f"{number:,}"
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"
