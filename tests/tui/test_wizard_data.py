"""The guided path's first step: choose, check, seal; with bad files, hostile names, and again."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Awaitable, Callable
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Button, Checkbox, Input, OptionList, Select, Static

from tests.fixtures.screens import LARGE, SMALL, drive, matches, until, words
from tests.fixtures.vaults import Original, make_original, reopened
from workbench.datasets.collection import list_datasets, preview, show_dataset
from workbench.datasets.importing import import_files
from workbench.datasets.rejects import Reason
from workbench.errors import BadInput, DoesNotFit, WorkbenchError
from workbench.models.shelf import add_starter
from workbench.runs.drafts import Draft, keep_draft, load_draft
from workbench.tui import data_words
from workbench.tui.app import WorkbenchApp
from workbench.tui.modals.files import FilesModal
from workbench.tui.modals.page import HelpModal
from workbench.tui.modals.questions import ConfirmModal
from workbench.tui.screens.home import HomeScreen
from workbench.tui.screens.wizard import data_check, data_work
from workbench.tui.screens.wizard.screen import WizardScreen
from workbench.tui.session import Session, Tour
from workbench.tui.widgets.records import RecordView
from workbench.vault.store import Vault

STARTER = Path(str(resources.files("workbench.starter")))
# Where the sample files lie differs from machine to machine.
PATHS = ((re.compile(r"(&#160;){3}/[^<]*?starter/data(&#160;)*"), " /starter/data "),)
HOSTILE = "[/red]\x1b]0;owned\x07\u202eevil[b]"
Steps = Callable[[Pilot[int], WorkbenchApp], Awaitable[None]]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Original:
    made = make_original(tmp_path_factory.mktemp("original") / "home")
    add_starter(reopened(made.home, made))
    return made


@pytest.fixture
def vault(original: Original, tmp_path: Path) -> Vault:
    return original.copy(tmp_path / "home")


def lines(path: Path, records: list[Any]) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def questions(path: Path, number: int = 40) -> Path:
    rows = [{"prompt": f"What is {n}?", "completion": f"It is {n}."} for n in range(number)]
    return lines(path, rows)


def session_of(vault: Vault, *, tour: bool = False) -> Session:
    if not tour:
        return Session(vault.home, vault=vault)
    laid = Tour(
        files=(STARTER / "data" / "triage.jsonl", STARTER / "data" / "triage_more.csv"),
        dataset="triage",
        model="starter",
        recipe=STARTER / "recipe.toml",
        adapter="triage-adapter",
        export=vault.home / "export",
        kept=False,
    )
    return Session(vault.home, vault=vault, tour=laid)


def walk(vault: Vault, steps: Steps, *, tour: bool = False, size: tuple[int, int] = SMALL) -> None:
    """Open the wizard and drive it; a screen that crashed fails the test."""

    async def inside(pilot: Pilot[int], app: WorkbenchApp) -> None:
        app.go("wizard")
        await until(pilot, lambda: app.screen.query("Stage"))
        await steps(pilot, app)

    app = drive(session_of(vault, tour=tour), inside, size)
    assert not app.failure


async def add(pilot: Pilot[int], app: WorkbenchApp, path: Path | str) -> None:
    """Type a path and press Enter."""
    field = app.screen.query_one("#path", Input)
    field.focus()
    field.value = str(path)
    await pilot.press("enter")
    await until(pilot, lambda: not says(app, "Looking…"))


async def check(pilot: Pilot[int], app: WorkbenchApp) -> None:
    """Go on to the stage Check and wait until the files were looked at."""
    app.screen.query_one("#go", Button).press()
    await until(pilot, lambda: app.screen.query("CheckStage"))
    await until(pilot, lambda: not says(app, "Looking"))


def says(app: WorkbenchApp, text: str) -> bool:
    """Whether a text of the screen on top holds `text`: cheaper to ask often than its picture."""
    shown = (str(item.visual) for item in app.screen.query(Static) if item.is_on_screen)
    return text in " ".join(" ".join(shown).split())


def flat(app: WorkbenchApp) -> str:
    """Return what stands on the screen as one line."""
    return " ".join(words(app).split())


def focused(app: WorkbenchApp) -> str:
    return (app.screen.focused.id or "") if app.screen.focused is not None else ""


def draft_of(vault: Vault) -> Draft:
    return load_draft(vault) or Draft()


def test_in_the_demo_enter_is_enough(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        await until(pilot, lambda: says(app, "holds no dataset yet"))
        assert "Tour: Press Enter to look at the two sample files." in words(app)
        matches(app, "wizard-data-choose-80x24", *PATHS)
        await pilot.press("enter")
        await until(pilot, lambda: says(app, "721 can be taken"))
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
        app.screen.query_one(RecordView).revealed = True
        assert isinstance(app.screen, WizardScreen)
        app.screen.conceal()
        await pilot.pause()
        assert "Thea Malone" not in words(app)
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
        assert "questions and answers. Of 40 records, 40 can be taken." in words(app)
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


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("notes.docx", b"PK\x03\x04", "Files may end in .csv"),
        ("photo.csv", b"\x89PNG\r\n\x1a\n\x00\xff\xfe", "is not a header"),
        ("photo.jsonl", b"\x89PNG\r\n\x1a\n\x00\xff\xfe", "holds no JSON objects"),
        ("wide.csv", "a,b\n1,2\n".encode("utf-16"), "UTF-16"),
        ("empty.csv", b"", "is empty"),
    ],
)
def test_files_that_cannot_be_read_are_told_and_one_goes_on(
    name: str, content: bytes, said: str, vault: Vault, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    good = questions(tmp_path / "good.jsonl")

    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        await add(pilot, app, tmp_path / name)
        assert said in flat(app)
        assert not app.screen.query_one("#files").display
        await add(pilot, app, good)
        await check(pilot, app)
        assert "40 can be taken" in words(app)

    walk(vault, steps)


async def choose(pilot: Pilot[int], app: WorkbenchApp, name: str, value: str) -> None:
    """Choose a value in a Select, and wait for the files to be looked at again."""
    app.screen.query_one(f"#{name}", Select).value = value
    await pilot.pause()
    await until(pilot, lambda: not says(app, "Looking…"))


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
        await choose(pilot, app, "field-0", "frage")
        await choose(pilot, app, "field-1", "leer")
        assert "None of the records looked at can be taken" in words(app)
        assert "30 × the answer is blank" in words(app)
        assert app.screen.query_one("#go", Button).disabled
        await choose(pilot, app, "field-1", "antwort")
        assert "30 can be taken" in words(app)
        assert draft_of(vault).reading["mapping"] == {
            "prompt": "frage", "completion": "antwort", "system": "",
        }  # fmt: skip
        await pilot.press("ctrl+n")
        await until(pilot, lambda: says(app, "to learn from"))

    walk(vault, steps)
    assert show_dataset(vault, "fragen")["columns"] == {"prompt": "frage", "completion": "antwort"}


def test_the_focus_stays_on_the_column_just_chosen(vault: Vault, tmp_path: Path) -> None:
    rows = [{"frage": f"Was ist {n}?", "antwort": f"Das ist {n}."} for n in range(30)]
    path = lines(tmp_path / "fragen.jsonl", rows)

    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        await add(pilot, app, path)
        await check(pilot, app)
        await until(pilot, lambda: focused(app) == "kind")
        await choose(pilot, app, "kind", "completion")
        await pilot.press("tab")
        assert focused(app) == "field-0"
        await pilot.press("enter", "down", "enter")
        await until(pilot, lambda: draft_of(vault).reading["mapping"] == {"prompt": "frage"})
        await until(pilot, lambda: not says(app, "Looking…"))
        await pilot.pause()
        assert focused(app) == "field-0"
        await pilot.press("tab")
        assert focused(app) == "field-1"

    walk(vault, steps)


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


def test_hostile_names_and_records_stay_text(vault: Vault, tmp_path: Path) -> None:
    folder = tmp_path / "[b]\x1b[31m\u202e"
    folder.mkdir()
    row = {f"{HOSTILE}{n}": f"{HOSTILE} {'z' * 200_000 if n else ''}" for n in range(3)}
    path = lines(folder / "[red]a\x1b]0;x\x07.jsonl", [row, {HOSTILE: 1}, "no object"])

    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        await add(pilot, app, path)
        shown = words(app)
        assert "[/red]␛]0;owned" in shown
        await check(pilot, app)
        await choose(pilot, app, "kind", "completion")
        await choose(pilot, app, "field-0", f"{HOSTILE}0")
        await choose(pilot, app, "field-1", f"{HOSTILE}1")
        assert "1 can be taken" in words(app)
        await pilot.press("f6", "f4")
        await until(pilot, lambda: says(app, "[b]"))
        await pilot.press("ctrl+n")
        await until(pilot, lambda: says(app, "to learn from"))
        await pilot.press("f6")
        await until(pilot, lambda: says(app, "Mend these lines"))
        assert "[red]a␛]0;x␇.jsonl" in words(app)
        assert not set("\x1b\x07\u202e") & set(app.export_screenshot())

    walk(vault, steps)
    (sealed,) = list_datasets(vault)
    assert sealed["rows"] == 1


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
        await until(pilot, lambda: says(app, "20 can be taken"))
        assert app.screen.query_one("#redact", Checkbox).value
        await pilot.press("ctrl+n")
        await until(pilot, lambda: says(app, "Masked: 20 e-mail addresses"))
        assert not app.screen.query_one("#again").display

    walk(vault, steps)
    assert {item["dataset"] for item in list_datasets(vault)} == {"mail", "mail-masked"}
    assert "@" not in (preview(vault, "mail-masked", 1)[0].text or "@")
    assert show_dataset(vault, "mail-masked")["redact"] == "mask"


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
        await until(pilot, lambda: says(app, "40 can be taken"))
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


def test_a_dataset_or_a_file_that_is_gone_sends_back(vault: Vault, tmp_path: Path) -> None:
    keep_draft(vault, Draft(dataset="ds-0123456789abcdef"))

    async def gone(pilot: Pilot[int], app: WorkbenchApp) -> None:
        await until(pilot, lambda: app.screen.query("ChooseStage"))
        await until(pilot, lambda: says(app, "is gone"))

    walk(vault, gone)
    missing = str(tmp_path / "gone.csv")
    keep_draft(vault, Draft(files=(missing,), reading={"stage": "check"}))

    async def unread(pilot: Pilot[int], app: WorkbenchApp) -> None:
        await until(pilot, lambda: says(app, "There is no readable file gone.csv"))
        assert app.screen.query_one("#go", Button).disabled
        assert focused(app) == "back"
        await pilot.press("enter")
        await until(pilot, lambda: app.screen.query("ChooseStage"))
        app.screen.query_one("#remove", Button).press()
        await until(pilot, lambda: not app.screen.query_one("#files").display)

    walk(vault, unread)
    assert draft_of(vault).files == ()


def test_a_name_that_is_taken_is_mended_on_the_spot(vault: Vault, tmp_path: Path) -> None:
    path = questions(tmp_path / "a.jsonl")
    import_files(vault, [path], "a")

    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        await add(pilot, app, path)
        await check(pilot, app)
        name = app.screen.query_one("#name", Input)
        assert name.value == "a-2"
        for wrong, said in (("a", "already a dataset with this name"), ("[/]", "no name for")):
            name.value = wrong
            await pilot.press("ctrl+n")
            await until(pilot, lambda said=said: says(app, said))  # type: ignore[misc]
            await until(pilot, lambda: focused(app) == "name")
        name.value = "other"
        await pilot.press("enter")
        await until(pilot, lambda: says(app, "to learn from"))

    walk(vault, steps)
    assert {item["dataset"] for item in list_datasets(vault)} == {"a", "other"}


@pytest.mark.parametrize(
    "error",
    [
        BadInput("a.jsonl changed while it was read. Nothing was kept.", code="source_changed"),
        DoesNotFit("The import may need 2 GiB of disk.", code="disk_full"),
        OSError(28, "No space left on device"),
        BadInput("None of the 40 records could be taken. Nothing was kept.", code="no_rows"),
        RuntimeError("secret record text"),
    ],
)
def test_an_import_that_fails_says_so_and_can_be_tried_again(
    error: Exception, vault: Vault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = questions(tmp_path / "a.jsonl")
    real = data_work.bring_in
    fails = [error]

    def bring_in(*arguments: Any) -> Any:
        if fails:
            raise fails.pop()
        return real(*arguments)

    monkeypatch.setattr(data_check, "bring_in", bring_in)
    said = error.message if isinstance(error, WorkbenchError) else ""

    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        await add(pilot, app, path)
        await check(pilot, app)
        await pilot.press("ctrl+n")
        await until(pilot, lambda: not fails and focused(app) == "go")
        text = flat(app)
        assert said in text
        assert "secret" not in text
        assert said or "disk is full" in text or "RuntimeError" in text
        await pilot.press("enter")
        await until(pilot, lambda: says(app, "to learn from"))

    walk(vault, steps)


def test_an_import_shows_its_progress_and_can_be_stopped(
    vault: Vault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = questions(tmp_path / "a.jsonl")
    leave = threading.Event()
    ended: list[str] = []

    def slow(vault: Vault, draft: Draft, progress: Any) -> Any:
        try:
            for done in range(1, 2000):
                progress(done << 20, 2000 << 20, "import")
                leave.wait(0.02)
        except WorkbenchError as error:
            ended.append(error.code)
            raise

    monkeypatch.setattr(data_check, "bring_in", slow)

    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        await add(pilot, app, path)
        await check(pilot, app)
        await pilot.press("ctrl+n")
        await until(pilot, lambda: says(app, "/s") and says(app, "left"))
        await until(pilot, lambda: focused(app) == "stop")
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, ConfirmModal))
        await pilot.press("escape")
        assert not ended
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, ConfirmModal))
        await pilot.press("tab", "enter")
        await until(pilot, lambda: says(app, "Stopped. Nothing of it was kept."))
        await until(pilot, lambda: ended == ["stopped"])
        assert focused(app) == "go"
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, HomeScreen))

    walk(vault, steps)
    assert list_datasets(vault) == []


def test_without_a_model_records_are_shown_as_they_stand(tmp_path: Path) -> None:
    bare = make_original(tmp_path / "bare").copy(tmp_path / "home")
    path = questions(tmp_path / "a.jsonl")

    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        await add(pilot, app, path)
        await check(pilot, app)
        await pilot.press("f6", "f4")
        await until(pilot, lambda: says(app, "assistant: It is 0."))
        assert "as it stands" in words(app)
        await pilot.press("f6")
        await until(pilot, lambda: "No lengths yet." in words(app))

    walk(bare, steps)


def test_a_model_that_misbehaves_costs_the_preview_only(
    vault: Vault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = questions(tmp_path / "a.jsonl")
    entry = data_work.preview_model(vault, "")
    assert entry is not None
    template = vault.models_folder / entry.object_id / "chat_template.jinja"
    template.chmod(0o600)
    template.write_text("{{ messages.__class__.__mro__ }}")

    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        await add(pilot, app, path)
        await check(pilot, app)
        await pilot.press("f6")
        await until(pilot, lambda: says(app, "reaches for what templates may not touch"))
        await pilot.press("ctrl+n")
        await until(pilot, lambda: says(app, "to learn from"))

    walk(vault, steps)


def test_files_are_found_by_walking_the_folders(vault: Vault, tmp_path: Path) -> None:
    folder = tmp_path / "data[b]"
    folder.mkdir()
    questions(folder / "a[red]\x1b[31m.jsonl")
    questions(folder / "b.jsonl")

    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        await add(pilot, app, folder / "b.jsonl")
        await pilot.press("f5")
        await until(pilot, lambda: isinstance(app.screen, FilesModal))
        await until(pilot, lambda: "a[red]␛[31m.jsonl" in words(app))
        assert "data[b]" in words(app)
        assert "\x1b" not in app.export_screenshot()
        await pilot.press("down", "enter")
        await until(pilot, lambda: isinstance(app.screen, WizardScreen))
        await until(pilot, lambda: says(app, "columns prompt, completion"))
        app.screen.query_one("#files", OptionList).focus()
        await pilot.press("home", "delete")
        await pilot.pause()

    walk(vault, steps)
    (left,) = draft_of(vault).files
    assert left.endswith("a[red]\x1b[31m.jsonl")


def test_the_help_page_opens(vault: Vault) -> None:
    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        await pilot.press("f1")
        await until(pilot, lambda: isinstance(app.screen, HelpModal))
        assert "examples of what the model shall do" in words(app)

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
