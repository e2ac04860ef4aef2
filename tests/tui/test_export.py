"""The Export screen: choose, check, write, stop, prove; and refusals with their reason."""

from __future__ import annotations

import collections
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Button, Input, OptionList, RadioSet

from tests.fixtures.finished import HOSTILE, ActedExport, make_finished, put_adapter
from tests.fixtures.screens import LARGE, SMALL, drive, matches, settled, until, words
from tests.fixtures.vaults import Original, make_original
from workbench.errors import JobFailed
from workbench.exports.signing import verify_folder
from workbench.tui.app import WorkbenchApp
from workbench.tui.modals.questions import ConfirmModal, MessageModal
from workbench.tui.screens.export import ExportScreen
from workbench.tui.screens.exporting import ExportPane
from workbench.tui.session import Session
from workbench.vault.store import Vault

SHOWN = Path("/tmp/workbench-export")  # the same in each picture


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Original:
    return make_finished(tmp_path_factory.mktemp("finished") / "home")


@pytest.fixture
def vault(original: Original, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Vault:
    (tmp_path / "user").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    return original.copy(tmp_path / "home")


@pytest.fixture
def acted(monkeypatch: pytest.MonkeyPatch) -> ActedExport:
    acted = ActedExport()
    monkeypatch.setattr("workbench.exports.service.export_adapter", acted)
    return acted


@pytest.fixture
def pictures(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    usage = collections.namedtuple("usage", "total used free")
    monkeypatch.setattr(
        "workbench.exports.preflight.shutil.disk_usage", lambda _: usage(1 << 40, 0, 1 << 40)
    )
    shutil.rmtree(SHOWN, ignore_errors=True)
    SHOWN.mkdir()
    monkeypatch.setenv("HOME", str(SHOWN))
    yield SHOWN
    shutil.rmtree(SHOWN)


async def at_export(pilot: Pilot[int], app: WorkbenchApp, adapter: str = "") -> ExportScreen:
    app.go("export", ExportScreen(adapter))
    screen = app.screen
    assert isinstance(screen, ExportScreen)
    await until(pilot, lambda: "✓ It needs" in words(app))
    return screen


def type_folder(screen: ExportScreen, folder: Path | str) -> None:
    screen.query_one("#export-folder", Input).value = str(folder)


def test_an_empty_library_says_what_to_do(tmp_path: Path) -> None:
    vault = make_original(tmp_path / "home").copy(tmp_path / "copy")

    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        app.go("export")
        await until(pilot, lambda: "No adapters yet" in words(app))
        assert app.screen.check_action("export", ()) is False

    drive(Session(vault.home, vault=vault), steps)


def test_choosing_an_adapter_a_target_and_a_base(
    vault: Vault, acted: ActedExport, tmp_path: Path
) -> None:
    starter = vault.catalogue.get("model", "starter")
    put_adapter(vault, "plain-lora", base=starter, method="lora")
    acted.go.set()

    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        screen = await at_export(pilot, app, "ward-notes")
        assert "Not in this version: nf4, GGUF" in words(app)
        assert "Merge into" not in words(app), "a peft folder holds no base"
        assert _folder(screen) == "~/qlora-exports/ward-notes-peft"
        await pilot.press("tab", "down", "enter")
        await until(pilot, lambda: _folder(screen).endswith("ward-notes-safetensors"))
        await until(pilot, lambda: "Merge into" in words(app))
        screen.query_one("#export-base", RadioSet).focus()
        await pilot.press("down", "enter")
        await until(pilot, lambda: "✓ It needs" in words(app))
        await pilot.press("ctrl+n")
        await until(pilot, lambda: "✓ Every file has" in words(app))
        assert "model.safetensors" in words(app)
        names = [adapter["adapter"] for adapter in screen._adapters]
        screen.query_one(OptionList).highlighted = names.index("plain-lora")
        await until(pilot, lambda: "plain-lora-safetensors" in _folder(screen))
        assert "Merge into" not in words(app), "there is no other base for plain LoRA"

    drive(Session(vault.home, vault=vault), steps, LARGE)
    (told,) = acted.told
    assert told["adapter"] == vault.catalogue.get("adapter", "ward-notes").object_id
    assert (told["target"], told["base"]) == ("safetensors", "original")
    assert verify_folder(tmp_path / "user/qlora-exports/ward-notes-safetensors") == []


def test_the_folder_is_looked_for_in_a_dialog_and_remembered(
    vault: Vault, acted: ActedExport, tmp_path: Path
) -> None:
    outbox = tmp_path / "user" / "outbox"
    outbox.mkdir()
    acted.go.set()

    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        screen = await at_export(pilot, app)
        screen.query_one("#export-choose", Button).focus()
        await pilot.press("enter")
        await until(pilot, lambda: "outbox" in words(app))
        await pilot.press("down", "enter")
        await until(pilot, lambda: "outbox" in words(app).split("Choose this folder")[0])
        app.screen.query_one("#select", Button).press()
        await until(pilot, lambda: app.screen is screen)
        assert _folder(screen) == str(outbox / "ward-notes-peft")
        await until(pilot, lambda: "✓ It needs" in words(app))
        await pilot.press("ctrl+n")
        await until(pilot, lambda: "✓ Every file has" in words(app))
        screen.query_one(ExportPane).ask_again()
        await until(pilot, lambda: _folder(screen) == "~/outbox/ward-notes-peft-2")

    drive(Session(vault.home, vault=vault), steps)


def test_refusals_come_with_their_reason_and_before_anything_is_written(
    vault: Vault, acted: ActedExport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = tmp_path / "full"
    full.mkdir()
    (full / "mine.txt").write_text("mine")

    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        screen = await at_export(pilot, app)
        type_folder(screen, full)
        await until(pilot, lambda: "exists already; nothing was written" in _flat(app))
        type_folder(screen, vault.home / "inside")
        await until(pilot, lambda: "may not go into the vault's home" in _flat(app))
        type_folder(screen, tmp_path / "nowhere" / "out")
        await until(pilot, lambda: "There is no folder" in _flat(app))
        type_folder(screen, tmp_path / HOSTILE / "out")
        await until(pilot, lambda: "@click=app.exit]x[/]" in _flat(app))
        assert "\x1b" not in words(app)
        type_folder(screen, "~nobody-of-that-name/out")
        await until(pilot, lambda: "There is no user of whom" in _flat(app))
        type_folder(screen, tmp_path / ("long" * 80))
        await until(pilot, lambda: "That folder cannot be used" in _flat(app))
        usage = collections.namedtuple("usage", "total used free")
        monkeypatch.setattr(
            "workbench.exports.preflight.shutil.disk_usage", lambda _: usage(9, 9, 1 << 20)
        )
        type_folder(screen, tmp_path / "out")
        await until(pilot, lambda: "1 MiB are free; nothing was written" in _flat(app))
        assert "--out" not in words(app), "the screen has no options"
        type_folder(screen, full)
        acted.go.set()
        await pilot.press("ctrl+n")
        await until(pilot, lambda: isinstance(app.screen, MessageModal))
        assert "exists already" in _flat(app)

    drive(Session(vault.home, vault=vault), steps)
    assert [path.name for path in full.iterdir()] == ["mine.txt"]


def test_leaving_asks_first_and_a_stop_leaves_nothing(
    vault: Vault, acted: ActedExport, tmp_path: Path
) -> None:
    user = tmp_path / "user"

    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        screen = await at_export(pilot, app)
        await pilot.press("ctrl+n")
        await until(pilot, lambda: list(user.rglob("model.safetensors")))
        assert "25%" in words(app)
        assert screen.query_one(OptionList).disabled
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, ConfirmModal))
        await pilot.press("enter")
        assert screen.query_one(ExportPane).is_busy, "Cancel has the focus"
        await pilot.press("ctrl+q")
        await until(pilot, lambda: "nothing half done" in _flat(app))
        await pilot.press("enter")
        await pilot.press("escape", "tab", "enter")
        await until(pilot, lambda: "Stopped. Nothing was left behind." in words(app))
        assert app.screen is screen

    drive(Session(vault.home, vault=vault), steps)
    assert list(user.iterdir()) == []


def test_a_failed_export_and_a_failed_check_are_told(
    vault: Vault, acted: ActedExport, monkeypatch: pytest.MonkeyPatch
) -> None:
    acted.go.set()
    monkeypatch.setattr(
        "workbench.exports.signing.verify_folder", lambda *_: ["model.safetensors: differs"]
    )

    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        screen = await at_export(pilot, app)
        await pilot.press("ctrl+n")
        await until(pilot, lambda: "model.safetensors: differs" in words(app))
        assert "▲ The check of its hashes and signature failed" in words(app)

        def fail(*_: object, **__: object) -> None:
            raise JobFailed("The files did not answer as the adapter does.", code="fidelity")

        monkeypatch.setattr("workbench.exports.service.export_adapter", fail)
        screen.query_one(ExportPane).ask_again()
        await until(pilot, lambda: "✓ It needs" in words(app))
        await pilot.press("ctrl+n")
        await until(pilot, lambda: isinstance(app.screen, MessageModal))
        assert "did not answer as the adapter does" in _flat(app)

    drive(Session(vault.home, vault=vault), steps)


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_it_looks_as_it_should(
    vault: Vault, acted: ActedExport, pictures: Path, size: tuple[int, int]
) -> None:
    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        await at_export(pilot, app)
        await pilot.press("tab", "down", "enter")
        await until(pilot, lambda: "ward-notes-safetensors" in words(app))
        await until(pilot, lambda: "✓ It needs" in words(app))
        await settled(pilot, app)
        matches(app, f"export-{size[0]}x{size[1]}")

    drive(Session(vault.home, vault=vault), steps, size)


@pytest.mark.slow
@pytest.mark.parametrize("target", ["peft", "safetensors"])
def test_the_real_engine_writes_and_is_stopped(tmp_path: Path, target: str) -> None:
    from tests.fixtures.libraries import make_library
    from workbench.adapters.registration import register_finished

    made = make_library(tmp_path)
    made.train("ward-notes")
    register_finished(made.vault)
    place = tmp_path / "place"
    place.mkdir()
    runs = set(made.vault.runs_folder.iterdir())
    keys = made.vault.key_ids()

    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        screen = await at_export(pilot, app)
        pane = screen.query_one(ExportPane)
        if target == "safetensors":
            await pilot.press("tab", "down", "enter")
        type_folder(screen, place / "out")
        await until(pilot, lambda: "✓ It needs" in words(app))
        await pilot.press("ctrl+n")
        await until(pilot, lambda: "Loading" in words(app), 60)
        await pilot.press("x")
        await until(pilot, lambda: not pane.is_busy, 60)
        assert "Nothing was left behind" in words(app)
        assert list(place.iterdir()) == []
        assert set(made.vault.runs_folder.iterdir()) == runs
        assert made.vault.key_ids() == keys
        await pilot.press("ctrl+n")
        await until(pilot, lambda: not pane.is_busy, 120)
        assert "✓ Every file has the hash" in words(app)

    drive(Session(made.vault.home, vault=made.vault), steps, LARGE)
    assert verify_folder(place / "out", made.vault.audit.public_key) == []


def _folder(screen: ExportScreen) -> str:
    return screen.query_one("#export-folder", Input).value


def _flat(app: WorkbenchApp) -> str:
    return " ".join(words(app).split())
