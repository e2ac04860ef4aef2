"""Which base model is recommended, and why."""

from __future__ import annotations

import dataclasses

from tests.unit.test_planning_planner import GIB, LAPTOP, LLAMA_8B, STARTER, WORKSTATION
from workbench.planning.choosing import Weighed, recommend, weigh

ROOMY = Weighed("roomy", 8_000_000_000, 8 * GIB, 20 * GIB, True, "cuda", 3600.0)


def made(name: str, **changes: object) -> Weighed:
    return dataclasses.replace(ROOMY, name=name, **changes)  # type: ignore[arg-type]


def chosen(*weighed: Weighed) -> tuple[str, str]:
    found = recommend(weighed)
    assert found is not None
    return weighed[found[0]].name, found[1].code


def test_the_largest_that_fits_with_room_is_recommended() -> None:
    small = made("small", parameters=1_000_000_000, needs=2 * GIB)
    tight = made("tight", parameters=14_000_000_000, needs=19 * GIB)
    toy = made("toy", parameters=7_000_000, needs=GIB)
    assert chosen(small, ROOMY, tight, toy) == ("roomy", "largest_with_room")
    assert chosen(toy, tight) == ("tight", "fits_tightly")


def test_a_run_of_days_is_recommended_only_where_nothing_else_fits() -> None:
    slow = made("slow", seconds=3 * 24 * 3600.0)
    small = made("small", parameters=1_000_000_000)
    toy = made("toy", parameters=7_000_000)
    assert chosen(slow, small, toy) == ("small", "largest_with_room")
    assert chosen(slow, toy) == ("slow", "fits_slowly")
    found = recommend([slow])
    assert found is not None
    assert "72 h" in found[1].text


def test_the_starter_is_only_for_trying() -> None:
    toy = made("starter", parameters=7_000_000)
    large = made("large", needs=90 * GIB, fits=False)
    assert chosen(toy, large) == ("starter", "only_for_trying")


def test_where_nothing_fits_the_least_demanding_is_named() -> None:
    large = made("large", needs=90 * GIB, fits=False)
    huge = made("huge", needs=190 * GIB, fits=False)
    assert chosen(huge, large) == ("large", "nothing_fits")
    assert recommend([]) is None


def test_models_are_weighed_by_the_planner() -> None:
    on_card = weigh("llama", LLAMA_8B, WORKSTATION, tokens=1_000_000)
    assert on_card.fits
    assert on_card.has_room
    assert on_card.device == "cuda"
    assert not on_card.is_slow
    on_laptop = weigh("llama", LLAMA_8B, LAPTOP, tokens=10_000_000)
    assert on_laptop.device == "cpu"
    assert on_laptop.is_slow
    assert weigh("starter", STARTER, LAPTOP).is_toy
    assert weigh("starter", STARTER, LAPTOP).seconds is None


def test_a_crowded_card_is_told_from_one_that_is_too_small() -> None:
    card = WORKSTATION.accelerator
    assert card is not None
    crowded = dataclasses.replace(card, free_bytes=4 * GIB)
    busy = weigh("llama", LLAMA_8B, dataclasses.replace(WORKSTATION, accelerators=(crowded,)))
    assert not busy.fits
    assert busy.crowded
    assert busy.lacking() == "It would fit this card if other programs held none of it."
    small = dataclasses.replace(card, memory_bytes=4 * GIB, free_bytes=4 * GIB)
    lacking = weigh("llama", LLAMA_8B, dataclasses.replace(WORKSTATION, accelerators=(small,)))
    assert not lacking.crowded
    assert "needs a card of 8 GB" in lacking.lacking()
    wide = dataclasses.replace(lacking, card=None)
    assert "no card of 141 GB or less" in wide.lacking()
    assert weigh("llama", LLAMA_8B, WORKSTATION).lacking() == ""
