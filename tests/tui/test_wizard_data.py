"""The guided path's first step: choose, check, seal, and come back."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Button, Checkbox, Input, OptionList, Select, TabbedContent

from tests.fixtures.data_step import (
    add,
    check,
    choose,
    draft_of,
    flat,
    focused,
    lines,
    questions,
    says,
    walk,
    with_starter,
)
from tests.fixtures.screens import LARGE, matches, until, words
from tests.fixtures.vaults import Original
from workbench.datasets.collection import list_datasets, preview, show_dataset
from workbench.datasets.importing import import_files
from workbench.datasets.rejects import Reason
from workbench.runs.drafts import Draft, keep_draft
from workbench.tui import data_words
from workbench.tui.app import WorkbenchApp
from workbench.tui.modals.page import HelpModal
from workbench.tui.screens.home import HomeScreen
from workbench.tui.screens.wizard import data_work
from workbench.tui.screens.wizard.screen import WizardScreen
from workbench.vault.store import Vault


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Original:
    return with_starter(tmp_path_factory.mktemp("original"))


@pytest.fixture
def vault(original: Original, tmp_path: Path) -> Vault:
    return original.copy(tmp_path / "home")


def test_in_the_demo_enter_is_enough(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        await until(pilot, lambda: says(app, "holds no dataset yet"))
        assert "Tour: Press Enter to look at the two sample files." in words(app)
        matches(app, "wizard-data-choose-80x24")
        await pilot.press("enter")
        await until(pilot, lambda: says(app, "721 of 750 records can be taken"))
        await until(pilot, lambda: focused(app) == "go")
        text = words(app)
        assert "2 × not UTF-8 text" in text
        assert "65 e-mail" in text
        assert "Tour: Press Enter to seal" in text
        matches(app, "wizard-data-check-80x24")
        await pilot.press("enter")
        await until(pilot, lambda: says(app, "654 train: to learn from"))
        assert "20  left out" in words(app)
        assert focused(app) == "go"
        matches(app, "wizard-data-sealed-80x24")
        await pilot.press("enter")
        await until(pilot, lambda: went_on)

    went_on: list[str] = []
    monkeypatch.setattr(WizardScreen, "go_next", lambda _: went_on.append("on"))
    walk(vault, steps, tour=True)
    (sealed,) = list_datasets(vault)
    assert (sealed["dataset"], sealed["rows"]) == ("triage", 721)
    assert draft_of(vault).dataset == sealed["object_id"]


def test_records_are_hidden_until_revealed_and_shown_as_the_model_sees_them(vault: Vault) -> None:
    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        await pilot.press("enter")
        await until(pilot, lambda: focused(app) == "go")
        await pilot.press("f6")
        await until(pilot, lambda: says(app, "1 of 5"))
        assert "Thea Malone" not in words(app)
        assert "79 tokens, 13 of them learnt · as starter sees it" in words(app)
        await pilot.press("f4")
        await pilot.pause()
        assert "<|user|>Triage this note." in words(app)
        assert "▸URGENCY: soon |" in words(app)
        await pilot.press("right")
        await pilot.pause()
        assert "2 of 5" in words(app)
        await pilot.press("left", "left")
        await pilot.pause()
        assert "5 of 5" in words(app)
        await pilot.press("right")
        await pilot.pause()
        matches(app, "wizard-data-records-120x40")
        await pilot.press("f6")
        await until(pilot, lambda: "half have up to" in words(app))
        assert "limit 1,024" in words(app)
        await pilot.press("f6")
        await until(pilot, lambda: says(app, "Held out to watch training"))
        assert "becomes [EMAIL]" in words(app)
        matches(app, "wizard-data-options-120x40")

    walk(vault, steps, tour=True, size=LARGE)


def test_a_path_is_typed_checked_and_sealed(vault: Vault, tmp_path: Path) -> None:
    path = questions(tmp_path / "my questions.jsonl")

    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        assert focused(app) == "path"
        assert app.screen.query_one("#go", Button).disabled
        await add(pilot, app, tmp_path / "missing.csv")
        assert "There is no readable file missing.csv." in words(app)
        await add(pilot, app, tmp_path)
        assert "is not a regular file" in words(app)
        await add(pilot, app, f"'{path}'")
        assert "columns prompt, completion" in words(app)
        assert focused(app) == "go"
        await add(pilot, app, path)
        assert "on the list already" in words(app)
        await check(pilot, app)
        assert "questions and answers. All 40 records can be taken." in words(app)
        await pilot.press("f6", "f6", "f6")
        await until(pilot, lambda: focused(app) == "name")
        assert app.screen.query_one("#name", Input).value == "my questions"
        app.screen.query_one("#validation", Input).value = "lots"
        await pilot.press("enter")
        assert "A share is a number from 0 to 100." in words(app)
        app.screen.query_one("#validation", Input).value = "0"
        app.screen.query_one("#test", Input).value = "25%"
        await pilot.press("ctrl+n")
        await until(pilot, lambda: says(app, "to judge the result by"))

    walk(vault, steps)
    facts = show_dataset(vault, "my questions")
    assert set(facts["splits"]) == {"train", "test"}
    assert 3 < facts["splits"]["test"] < 18


def test_columns_are_chosen_by_hand(vault: Vault, tmp_path: Path) -> None:
    rows = [{"frage": f"Was ist {n}?", "antwort": f"Das ist {n}.", "leer": ""} for n in range(30)]
    path = lines(tmp_path / "fragen.jsonl", rows)

    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        await add(pilot, app, path)
        await check(pilot, app)
        assert "not clear yet what the records are" in words(app)
        assert "The columns fit nothing yet" in words(app)
        assert app.screen.query_one("#go", Button).disabled
        await until(pilot, lambda: focused(app) == "kind")
        matches(app, "wizard-data-unclear-80x24")
        await choose(pilot, app, "kind", "completion")
        assert "choose a column" in words(app)
        assert says(app, "Still missing: which column holds the question and answer?")
        await choose(pilot, app, "field-0", "frage")
        assert says(app, "Still missing: which column holds the answer?")
        await choose(pilot, app, "field-1", "leer")
        assert "None of the records looked at can be taken" in words(app)
        assert "30 × the answer is blank" in words(app)
        assert app.screen.query_one("#go", Button).disabled
        await choose(pilot, app, "field-1", "antwort")
        assert "All 30 records can be taken" in words(app)
        assert draft_of(vault).reading["mapping"] == {
            "prompt": "frage", "completion": "antwort", "system": "",
        }  # fmt: skip
        await pilot.press("ctrl+n")
        await until(pilot, lambda: says(app, "to learn from"))

    walk(vault, steps)
    assert show_dataset(vault, "fragen")["columns"] == {"prompt": "frage", "completion": "antwort"}


def test_a_file_without_a_header_is_noticed_and_read_whole(vault: Vault, tmp_path: Path) -> None:
    path = tmp_path / "bare.csv"
    path.write_text("".join(f"What is to be done on day {n}?,rest\n" for n in range(30)))

    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        await add(pilot, app, path)
        assert says(app, "does not look like names of columns")
        await check(pilot, app)
        assert says(app, "The first line of bare.csv looks like a record")
        assert "day 0" not in words(app), "the text of a record is not shown"
        for view in ("records", "lengths", "options"):
            await pilot.press("f6")
            await until(pilot, lambda: app.screen.query_one(TabbedContent).active == view)  # noqa: B023
            await until(pilot, lambda: app.focused is not None)
        app.screen.query_one("#header", Checkbox).toggle()
        await pilot.press("f6")
        await until(pilot, lambda: says(app, "column_1, column_2"))
        await until(pilot, lambda: not says(app, "looks like a record"))
        await choose(pilot, app, "kind", "completion")
        await choose(pilot, app, "field-0", "column_1")
        await choose(pilot, app, "field-1", "column_2")
        assert says(app, "All 30 records can be taken")
        await pilot.press("ctrl+n")
        await until(pilot, lambda: says(app, "to learn from"))

    walk(vault, steps)
    assert show_dataset(vault, "bare")["rows"] == 30


def test_a_header_alone_is_told_and_offers_nothing_to_reveal(vault: Vault, tmp_path: Path) -> None:
    path = tmp_path / "bare.csv"
    path.write_text("question,answer\n")

    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        await add(pilot, app, path)
        await check(pilot, app)
        assert "There is no record in what was read" in flat(app)
        assert "Nothing is amiss" not in words(app)
        await pilot.press("f6")
        await until(pilot, lambda: says(app, "No record to show"))
        assert "Reveal" not in words(app)

    walk(vault, steps)


def test_what_was_not_taken_is_listed_and_narrowed(vault: Vault, tmp_path: Path) -> None:
    good = [{"text": f"number {n}", "label": "a"} for n in range(30)]
    path = lines(tmp_path / "a.jsonl", [*good, {"text": "x", "label": " "}, 5, {"label": "b"}, 6])
    report = import_files(vault, [path], "labels")
    keep_draft(vault, Draft(dataset=report.object_id))

    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        await until(pilot, lambda: says(app, "texts and labels"))
        assert "4  not taken" in words(app)
        await pilot.press("f6")
        await until(pilot, lambda: says(app, "every reason (4)"))
        assert "a.jsonl 31 the answer is blank" in flat(app)
        app.screen.query_one("#reason", Select).value = "not_an_object"
        await until(pilot, lambda: not says(app, "the answer is blank"))
        assert words(app).count("JSON, but not an object {…}") == 3  # the choice, two lines
        matches(app, "wizard-data-refused-80x24")

    walk(vault, steps)


def test_identifiers_are_masked_by_importing_again(vault: Vault, tmp_path: Path) -> None:
    rows = [{"text": f"Write to user{n}@example.org about {n}."} for n in range(20)]
    path = lines(tmp_path / "mail.jsonl", rows)

    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        await add(pilot, app, path)
        await check(pilot, app)
        await pilot.press("ctrl+n")
        await until(pilot, lambda: says(app, "▲ Likely identifiers: 20 e-mail addresses"))
        assert "does not make a text anonymous" in flat(app)
        app.screen.query_one("#again", Button).press()
        await until(pilot, lambda: app.screen.query("CheckStage"))
        await until(pilot, lambda: says(app, "All 20 records can be taken"))
        assert app.screen.query_one("#redact", Checkbox).value
        await pilot.press("ctrl+n")
        await until(pilot, lambda: says(app, "Masked: 20 e-mail addresses"))
        assert not app.screen.query_one("#again").display

    walk(vault, steps)
    assert {item["dataset"] for item in list_datasets(vault)} == {"mail", "mail-masked"}
    assert "@" not in (preview(vault, "mail-masked", 1)[0].text or "@")
    assert show_dataset(vault, "mail-masked")["redact"] == "mask"


@pytest.mark.slow
def test_closing_and_coming_back_shows_the_same_stage(vault: Vault, tmp_path: Path) -> None:
    path = questions(tmp_path / "a.jsonl")

    async def first(pilot: Pilot[int], app: WorkbenchApp) -> None:
        await add(pilot, app, path)
        await pilot.pause(0.2)

    async def second(pilot: Pilot[int], app: WorkbenchApp) -> None:
        assert "a.jsonl" in words(app)
        await check(pilot, app)
        app.screen.query_one("#redact", Checkbox).value = True
        await until(pilot, lambda: draft_of(vault).reading.get("redact") == "mask")
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, HomeScreen))

    async def third(pilot: Pilot[int], app: WorkbenchApp) -> None:
        await until(pilot, lambda: says(app, "All 40 records can be taken"))
        assert app.screen.query_one("#redact", Checkbox).value
        app.screen.query_one("#back", Button).press()
        await until(pilot, lambda: app.screen.query("ChooseStage"))
        await check(pilot, app)
        await pilot.press("ctrl+n")
        await until(pilot, lambda: says(app, "to learn from"))

    async def fourth(pilot: Pilot[int], app: WorkbenchApp) -> None:
        await until(pilot, lambda: says(app, "to learn from"))
        app.screen.query_one("#back", Button).press()
        await until(pilot, lambda: app.screen.query("ChooseStage"))
        await until(pilot, lambda: app.screen.query_one("#sealed", OptionList).option_count)
        assert "questions and answers, 40 records" in words(app)
        app.screen.query_one("#sealed", OptionList).focus()
        await pilot.press("down", "enter")
        await until(pilot, lambda: says(app, "to learn from"))

    for steps in (first, second, third, fourth):
        walk(vault, steps)
    (sealed,) = list_datasets(vault)
    assert draft_of(vault).dataset == sealed["object_id"]
    assert draft_of(vault).files == ()


def test_the_help_page_opens(vault: Vault) -> None:
    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        await pilot.press("f1")
        await until(pilot, lambda: isinstance(app.screen, HelpModal))
        assert "A model learns from examples" in words(app)

    walk(vault, steps)


def test_every_code_has_its_words() -> None:
    from workbench.datasets import columns, records, sensitive

    assert set(data_words.REJECTED) == {reason.value for reason in Reason}
    assert set(data_words.IDENTIFIERS) == set(sensitive.KINDS)
    assert set(data_words.KINDS) == set(records.KINDS)
    fields = {field for kind in records.KINDS for field in columns.fields_of(kind)}
    assert set(data_words.FIELDS) == fields


def test_names_are_proposed_from_files() -> None:
    propose = data_work.proposed_name
    assert propose(["/a/notes.csv"], frozenset()) == "notes"
    assert propose(["/a/notes.csv"], frozenset({"notes", "notes-2"})) == "notes-3"
    assert propose(["/a/[/]\x1b.csv"], frozenset()) == "data"
    assert propose(["/a/.hidden.csv"], frozenset(), masked=True) == "hidden-masked"
