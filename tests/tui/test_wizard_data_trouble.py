"""The Data step with bad files, hostile names, failed imports and no model."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Button, Input, OptionList

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
from tests.fixtures.screens import until, words
from tests.fixtures.vaults import Original, make_original
from workbench.datasets.collection import list_datasets
from workbench.datasets.importing import import_files
from workbench.errors import BadInput, DoesNotFit, WorkbenchError
from workbench.runs.drafts import Draft, keep_draft
from workbench.tui.app import WorkbenchApp
from workbench.tui.modals.pickers import FilesModal
from workbench.tui.modals.questions import ConfirmModal
from workbench.tui.screens.home import HomeScreen
from workbench.tui.screens.wizard import data_check, data_work
from workbench.tui.screens.wizard.screen import WizardScreen
from workbench.vault.store import Vault

HOSTILE = "[/red]\x1b]0;owned\x07\u202eevil[b]"


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Original:
    return with_starter(tmp_path_factory.mktemp("original"))


@pytest.fixture
def vault(original: Original, tmp_path: Path) -> Vault:
    return original.copy(tmp_path / "home")


def test_files_that_cannot_be_read_are_told_and_one_goes_on(vault: Vault, tmp_path: Path) -> None:
    bad = [
        ("notes.docx", b"PK\x03\x04", "Files may end in .csv"),
        ("photo.csv", b"\x89PNG\r\n\x1a\n\x00\xff\xfe", "is not a header"),
        ("photo.jsonl", b"\x89PNG\r\n\x1a\n\x00\xff\xfe", "holds no JSON objects"),
        ("wide.csv", "a,b\n1,2\n".encode("utf-16"), "UTF-16"),
        ("empty.csv", b"", "is empty"),
    ]
    good = questions(tmp_path / "good.jsonl")

    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        for name, content, said in bad:
            (tmp_path / name).write_bytes(content)
            await add(pilot, app, tmp_path / name)
            assert said in flat(app)
            assert not app.screen.query_one("#files").display
        await add(pilot, app, good)
        await check(pilot, app)
        assert says(app, "All 40 records can be taken")

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
        assert "1 of 3 records can be taken" in words(app)
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


def test_an_import_that_fails_says_so_and_can_be_tried_again(
    vault: Vault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = questions(tmp_path / "a.jsonl")
    real = data_work.bring_in
    trouble: list[tuple[Exception, str]] = [
        (BadInput("a.jsonl changed while it was read.", code="source_changed"), "changed while"),
        (DoesNotFit("The import may need 2 GiB.", code="disk_full"), "may need 2 GiB"),
        (OSError(28, "No space left on device"), "The disk is full"),
        (BadInput("None of the 40 records could be taken.", code="no_rows"), "None of the 40"),
        (RuntimeError("secret record text"), "RuntimeError"),
    ]
    fails: list[Exception] = []

    def bring_in(*arguments: Any) -> Any:
        if fails:
            raise fails.pop()
        return real(*arguments)

    monkeypatch.setattr(data_check, "bring_in", bring_in)

    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        await add(pilot, app, path)
        await check(pilot, app)
        for error, said in trouble:
            fails.append(error)
            await pilot.press("ctrl+n")
            await until(pilot, lambda said=said: says(app, said))  # type: ignore[misc]
            await until(pilot, lambda: focused(app) == "go")
            assert "secret" not in words(app)
        await pilot.press("enter")
        await until(pilot, lambda: says(app, "to learn from"))

    walk(vault, steps)
    (sealed,) = list_datasets(vault)
    assert sealed["rows"] == 40


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
                leave.wait(0.1)
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
