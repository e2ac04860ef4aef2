"""Keeping Python's own pauses short where a screen repaints many times a second."""

from __future__ import annotations

import gc

# Objects made before the young ones are looked through, and how often the older ones are. A full
# look through the heap of the screens, their libraries and a catalogue takes a tenth of a second,
# in which no key is answered.
_THRESHOLDS = (20_000, 50, 100)


def spare_pauses() -> None:
    """Collect what is garbage by now, and leave alone what has lasted until here."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_THRESHOLDS)
