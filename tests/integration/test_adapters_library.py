"""Tags, notes, search and comparison, on a real vault."""

from __future__ import annotations

import pytest

from tests.fixtures.libraries import Library, make_library
from workbench.adapters.annotating import MOST_TAGS, note_adapter, search, tag_adapter
from workbench.adapters.comparing import compare_adapters, flat
from workbench.adapters.library import add_metrics, list_adapters, show_adapter
from workbench.adapters.registration import register_finished
from workbench.airgap.canary import Needle, scan
from workbench.errors import NotFound, UsageError

NEEDLE = "cardiology-board-2031"


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Library:
    made = make_library(tmp_path_factory.mktemp("library"))
    for name in ("first", "second"):
        made.train(name)
    register_finished(made.vault)
    return made


def test_tags_and_notes_are_kept_sealed_and_found(library: Library) -> None:
    vault = library.vault
    assert tag_adapter(vault, "first", add=["ward 7", "draft", "Draft", " draft "]) == [
        "draft",
        "ward 7",
    ]
    assert tag_adapter(vault, "first", add=[NEEDLE], remove=["DRAFT"]) == [NEEDLE, "ward 7"]
    note_adapter(vault, "first", f"For the {NEEDLE}.\nAsk again in June.")
    shown = show_adapter(vault, "first")
    assert shown["tags"] == [NEEDLE, "ward 7"]
    assert shown["notes"].endswith("June.")
    assert scan([vault.home], Needle(NEEDLE)) == []

    everything = list_adapters(vault)
    assert {a["adapter"] for a in search(everything, "")} == {"first", "second"}
    for query in ("june", "#ward", "WARD 7", "first", "tiny june"):
        assert [a["adapter"] for a in search(everything, query)] == ["first"], query
    for query in ("#june", "first second", "zebra"):
        assert search(everything, query) == [], query

    # Figures that are noted later leave them alone.
    add_metrics(vault, vault.catalogue.get("adapter", "first"), {"seen": 1})
    assert show_adapter(vault, "first")["tags"] == [NEEDLE, "ward 7"]


@pytest.mark.parametrize("tag", ["", "  ", "a,b", "#a", "x" * 41])
def test_what_is_no_tag_is_refused(library: Library, tag: str) -> None:
    before = show_adapter(library.vault, "second")["tags"]
    with pytest.raises(UsageError):
        tag_adapter(library.vault, "second", add=["good", tag])
    assert show_adapter(library.vault, "second")["tags"] == before


def test_limits_and_unknown_names(library: Library) -> None:
    with pytest.raises(UsageError):
        tag_adapter(library.vault, "second", add=[f"t{n}" for n in range(MOST_TAGS + 1)])
    with pytest.raises(UsageError):
        note_adapter(library.vault, "second", "x" * 20_001)
    with pytest.raises(NotFound):
        tag_adapter(library.vault, "nobody", add=["a"])


def test_two_adapters_are_compared(library: Library) -> None:
    vault = library.vault
    add_metrics(vault, vault.catalogue.get("adapter", "second"), {"test": {"loss": 0.5}})
    document = compare_adapters(vault, "first", "second")
    assert document["adapters"] == ["first", "second"]
    assert document["same_base"] is document["same_dataset"] is True
    assert document["facts"]["base"] == ["tiny", "tiny"]
    assert document["metrics"]["test.loss"] == [None, 0.5]
    assert document["recipe"] == {}


def test_leaves_are_named_by_their_path() -> None:
    assert flat({"a": {"b": {"c": 1}}, "d": 2}) == {"a.b.c": 1, "d": 2}
