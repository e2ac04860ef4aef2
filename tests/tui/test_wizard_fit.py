"""The Fit step: its figures, its sliders, what it keeps, and what it refuses."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import pytest
from textual.app import ComposeResult
from textual.pilot import Pilot
from textual.widgets import Button, Input, OptionList

from tests.fixtures.fitting import (
    CPU,
    GIB,
    LLAMA_8B,
    RECORDS,
    SMALL,
    WITH_GPU,
    keep_fit_draft,
    make_fit_vault,
)
from tests.fixtures.screens import LARGE, drive, is_at_work, matches, until, words
from tests.fixtures.screens import SMALL as SMALL_SCREEN
from workbench.models.facts import ModelFacts
from workbench.planning.cards import needs
from workbench.planning.lengths import LengthSample
from workbench.planning.planner import make_plan
from workbench.planning.probe import Hardware
from workbench.recipe import Recipe, load, parse
from workbench.runs.drafts import Draft, load_draft
from workbench.runs.training import sample_lengths
from workbench.tui.app import WorkbenchApp
from workbench.tui.modals.cards import CardsModal
from workbench.tui.modals.expert import ExpertModal
from workbench.tui.modals.explainers.modal import ExplainerModal, TermsModal
from workbench.tui.modals.explainers.terms import TERMS
from workbench.tui.modals.questions import MessageModal
from workbench.tui.screens.wizard import fit_dialogs, outlook
from workbench.tui.screens.wizard import screen as wizard
from workbench.tui.screens.wizard.fit import FitStep
from workbench.tui.screens.wizard.step import WizardStep
from workbench.tui.session import Session, Tour
from workbench.tui.widgets.legend import Legend
from workbench.tui.widgets.memory_bars import MemoryBars
from workbench.tui.widgets.plain import Plain
from workbench.tui.widgets.slider import Slider
from workbench.vault.store import Vault
from workbench.wording import size

Steps = Callable[[Pilot[int], WorkbenchApp, FitStep], Awaitable[None]]


class _StepBefore(WizardStep):
    NAME, TITLE, SENTENCE = "model", "Model", "Reached."

    def compose(self) -> ComposeResult:
        yield Plain("the step before")


class _NextStep(WizardStep):
    NAME, TITLE, SENTENCE = "train", "Train", "Reached."

    def compose(self) -> ComposeResult:
        yield Plain("the next step")


@pytest.fixture(scope="module")
def vault(tmp_path_factory: pytest.TempPathFactory) -> Vault:
    return make_fit_vault(tmp_path_factory.mktemp("fit"))


@pytest.fixture(autouse=True)
def _machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """An imagined machine, and a step on either side of this one."""
    imagine(monkeypatch, WITH_GPU, LLAMA_8B)
    steps = {"model": _StepBefore, "fit": FitStep, "train": _NextStep}
    monkeypatch.setattr(wizard, "step_class", steps.__getitem__)


def imagine(monkeypatch: pytest.MonkeyPatch, hardware: object, facts: ModelFacts) -> None:
    monkeypatch.setattr("workbench.tui.screens.wizard.outlook.probe_hardware", lambda: hardware)
    monkeypatch.setattr("workbench.models.shelf.model_facts", lambda entry: facts)


def at_fit(
    vault: Vault,
    steps: Steps,
    *,
    size: tuple[int, int] = SMALL_SCREEN,
    tour: Tour | None = None,
    measured: bool = True,
) -> WorkbenchApp:
    """Open the guided path at the Fit step, wait for its facts, and go on with `steps`."""

    async def begin(pilot: Pilot[int], app: WorkbenchApp) -> None:
        app.go("wizard")
        await until(pilot, lambda: app.screen.query(FitStep))
        step = app.screen.query_one(FitStep)
        if measured:
            await until(pilot, lambda: step.ground is not None and step.ground.lengths is not None)
        await steps(pilot, app, step)

    return drive(Session(vault.home, vault=vault, tour=tour), begin, size)


def lengths_of(vault: Vault) -> LengthSample:
    base = vault.catalogue.get("model", "tiny")
    return sample_lengths(vault, base, vault.catalogue.get("dataset", "notes"))


def test_the_figures_are_the_planners(vault: Vault) -> None:
    keep_fit_draft(vault)
    plan = make_plan(LLAMA_8B, WITH_GPU, dataset=lengths_of(vault).whole, recipe=Recipe())

    async def steps(pilot: Pilot[int], app: WorkbenchApp, step: FitStep) -> None:
        text, budget = words(app), plan.budget.usable_bytes
        for candidate, bar in zip(
            plan.candidates, app.screen.query_one(MemoryBars).bars, strict=True
        ):
            assert sum(bar.amounts) == candidate.predicted.total
            over = candidate.predicted.total - budget
            said = f"does not fit: {size(over)} too much" if over > 0 else f"fits, {size(-over)}"
            assert size(candidate.predicted.total) in text
            assert said in text
        chosen = plan.chosen
        assert chosen is not None
        assert f"{size(chosen.predicted.total)} of {size(budget)}" in text
        assert f"{chosen.recomputed_layers} of 32 layers" in text
        assert f"{chosen.micro_batch} x {chosen.accumulate} rows" in text
        assert size(chosen.predicted.activations) in text
        assert f"{lengths_of(vault).longest:,} tokens" in text
        assert " ".join(plan.advice[0].split()[:6]) in text

    at_fit(vault, steps)


def test_locked_under_its_work_it_begins_again_when_the_vault_opens(
    vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep_fit_draft(vault)
    session, locked = Session(vault.home, vault=vault), threading.Event()
    load_ground = outlook.load_ground

    def slow(*given: Any) -> outlook.Ground:
        assert locked.wait(20)
        session.vault  # noqa: B018  raises while the vault is locked
        return load_ground(*given)

    monkeypatch.setattr(outlook, "load_ground", slow)

    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        app.go("wizard")
        await until(pilot, lambda: app.screen.query(FitStep))
        await pilot.press("ctrl+l")
        locked.set()
        await until(pilot, lambda: "The vault is locked." in words(app))
        await until(pilot, lambda: not is_at_work(app))
        session._vault = vault
        app.enter()
        await until(pilot, lambda: "fits, " in words(app))
        assert "vault is locked" not in words(app)

    drive(session, steps)


def test_enter_takes_what_fits_best_and_going_back_shows_it_again(vault: Vault) -> None:
    keep_fit_draft(vault)

    async def steps(pilot: Pilot[int], app: WorkbenchApp, step: FitStep) -> None:
        await pilot.press("enter")
        await until(pilot, lambda: "the next step" in words(app))
        await until(pilot, lambda: _kept(vault).step == "train")
        assert _kept(vault).settings == {}
        await pilot.press("ctrl+g")
        await until(pilot, lambda: app.screen.query(FitStep))
        await until(pilot, lambda: "Go with what fits best" in words(app))

    at_fit(vault, steps)


def test_sliders_change_figures_and_draft_with_keys_and_mouse(vault: Vault) -> None:
    keep_fit_draft(vault)

    async def steps(pilot: Pilot[int], app: WorkbenchApp, step: FitStep) -> None:
        rank = app.screen.query_one("#rank", Slider)
        rank.focus()
        await pilot.press("right", "right")
        assert rank.value == 32
        assert step.outlook is not None
        assert step.outlook.candidate.rank == 32
        assert "83.9 M of 8,030 M" in words(app)
        await pilot.press("down", "end")
        context = app.screen.query_one("#context", Slider)
        assert app.focused is context
        assert context.value == step.settings["context"] == step.outlook.candidate.context
        await pilot.click("#micro_batch", offset=(13 + 12, 0))
        rows = app.screen.query_one("#micro_batch", Slider)
        assert rows.value == step.settings["micro_batch"] != "auto"
        await pilot.click("#method", offset=(24, 0))
        assert step.settings["method"] == "qlora"
        assert "QLoRA needs" in words(app)
        await until(pilot, lambda: _kept(vault).settings == step.settings)
        assert set(step.settings) == {"rank", "context", "micro_batch", "method"}
        await pilot.press("f7")
        assert step.settings == {}
        assert [each.value for each in (rank, context, rows)] == [16, "auto", "auto"]
        await until(pilot, lambda: _kept(vault).settings == {})

    at_fit(vault, steps)


def test_leaving_at_once_keeps_the_last_choice(vault: Vault) -> None:
    for way in ("escape", "ctrl+g"):
        keep_fit_draft(vault)

        async def steps(
            pilot: Pilot[int], app: WorkbenchApp, step: FitStep, way: str = way
        ) -> None:
            app.screen.query_one("#rank", Slider).focus()
            await pilot.press("right")
            await until(pilot, lambda: step.settings == {"rank": 24})
            await pilot.press(way)
            await until(pilot, lambda: _kept(vault).settings == {"rank": 24})

        at_fit(vault, steps)


def test_a_short_context_says_how_many_records_it_leaves_out(vault: Vault) -> None:
    sample = lengths_of(vault)
    keep_fit_draft(vault, settings={"context": 64})

    async def steps(pilot: Pilot[int], app: WorkbenchApp, step: FitStep) -> None:
        longer = sum(length > 64 for length in sample.lengths)
        assert 0 < longer < RECORDS
        assert f"{longer} of {RECORDS} too long" in words(app)
        assert app.screen.query_one("#context", Slider).value == 64
        app.screen.query_one("#context", Slider).focus()
        await pilot.press("end")
        assert "every record fits" in words(app)

    at_fit(vault, steps)


def test_a_click_on_a_bar_takes_its_method(vault: Vault) -> None:
    keep_fit_draft(vault)

    async def steps(pilot: Pilot[int], app: WorkbenchApp, step: FitStep) -> None:
        await pilot.click(MemoryBars, offset=(3, 2))
        assert step.settings == {"method": "lora"}
        assert app.screen.query_one("#method", Slider).value == "lora"

    at_fit(vault, steps)


def test_what_does_not_fit_cannot_go_on(vault: Vault) -> None:
    keep_fit_draft(vault, settings={"method": "full"})

    async def steps(pilot: Pilot[int], app: WorkbenchApp, step: FitStep) -> None:
        await pilot.press("enter")
        assert isinstance(app.screen, MessageModal)
        assert "does not fit this machine" in words(app)
        await pilot.press("enter")
        assert step.draft.step == "fit"

    at_fit(vault, steps)


def test_nothing_fits_and_the_words_say_what_to_do(
    vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    imagine(monkeypatch, SMALL, LLAMA_8B)
    keep_fit_draft(vault)

    async def steps(pilot: Pilot[int], app: WorkbenchApp, step: FitStep) -> None:
        text = " ".join(words(app).split())
        assert "Nothing fits in" in text
        assert "Take a smaller model" in text
        await pilot.press("ctrl+n")
        assert isinstance(app.screen, MessageModal)

    at_fit(vault, steps)


def test_fields_are_checked_as_they_are_typed(vault: Vault) -> None:
    keep_fit_draft(vault)

    async def steps(pilot: Pilot[int], app: WorkbenchApp, step: FitStep) -> None:
        epochs = app.screen.query_one("#epochs", Input)
        epochs.focus()
        await pilot.press("ctrl+u", *"abc")
        assert epochs.has_class("-invalid")
        assert "give a number from 0.01 to 1000, not abc" in words(app)
        await pilot.press("ctrl+n")
        assert isinstance(app.screen, MessageModal)
        await pilot.press("escape")
        await pilot.press("ctrl+u", *"2.5")
        assert step.settings == {"epochs": 2.5}
        assert "abc" not in words(app)

    at_fit(vault, steps)


def test_looking_at_a_card_changes_the_line_and_not_the_machine(vault: Vault) -> None:
    keep_fit_draft(vault)

    async def steps(pilot: Pilot[int], app: WorkbenchApp, step: FitStep) -> None:
        await pilot.press("f4")
        assert isinstance(app.screen, CardsModal)
        text = words(app)
        for need in needs(LLAMA_8B, Recipe(), lengths_of(vault).whole):
            assert size(need.bytes) in text
            assert need.card is not None
            assert f"{need.card // GIB} GB card" in text
        assert "this machine  ✓ QLoRA   ✓ LoRA    - Full" in text
        assert "8 GB card     ✓ QLoRA   - LoRA    - Full" in text
        await pilot.press("down", "enter")
        assert step.card == 8 * GIB
        text = words(app)
        assert f"8 GB card: {size(int(0.95 * 8 * GIB))} usable" in text
        assert "training happens on this machine" in " ".join(text.split())
        # The plan for this machine still goes on.
        await pilot.press("ctrl+n")
        await until(pilot, lambda: "the next step" in words(app))

    at_fit(vault, steps)


def test_every_term_opens_and_closes(vault: Vault) -> None:
    keep_fit_draft(vault)

    async def steps(pilot: Pilot[int], app: WorkbenchApp, step: FitStep) -> None:
        legend = app.screen.query_one(Legend)
        legend.focus()
        await pilot.press("right", "enter")
        assert isinstance(app.screen, ExplainerModal)
        assert "LoRA's two matrices" in words(app)
        assert "41,943,040" in words(app)
        await pilot.press("escape", "f3")
        assert isinstance(app.screen, TermsModal)
        app.screen.query_one(OptionList).highlighted = 0
        await pilot.press("enter")
        for term in TERMS:
            assert term.title in words(app)
            await pilot.press("n")
        assert TERMS[0].title in words(app), "after the last comes the first"
        await pilot.press("p")
        assert TERMS[-1].title in words(app)
        await pilot.click("#close")
        assert app.screen.query(FitStep)
        await pilot.press("f5")
        assert isinstance(app.screen, MessageModal)
        assert "Full fine-tuning does not fit: it" not in words(app)
        await pilot.press("down", "down", "down")
        assert "Full fine-tuning does not fit: it" in words(app), "the other ways are below"

    at_fit(vault, steps)


def test_an_explanation_tells_what_the_bars_tell(
    vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    # On a processor the length of the records matters.
    imagine(monkeypatch, Hardware(CPU, 256 * GIB, 250 * GIB), LLAMA_8B)
    keep_fit_draft(vault, settings={"method": "qlora", "context": 2048, "recompute": 12})

    async def steps(pilot: Pilot[int], app: WorkbenchApp, step: FitStep) -> None:
        assert step.outlook is not None
        total = size(step.outlook.candidate.predicted.total)
        bar = app.screen.query_one(MemoryBars).bars[0]
        assert bar.total == total
        fit_dialogs.explain(app, step.outlook, "passes")
        await until(pilot, lambda: isinstance(app.screen, ExplainerModal))
        row = next(each for each in words(app).splitlines() if "12 of 32" in each and "%" in each)
        assert total in row

    at_fit(vault, steps)


def test_every_setting_is_a_field_and_all_mistakes_show_at_once(vault: Vault) -> None:
    keep_fit_draft(vault, settings={"rank": 32})

    async def steps(pilot: Pilot[int], app: WorkbenchApp, step: FitStep) -> None:
        await pilot.press("f6")
        assert isinstance(app.screen, ExpertModal)
        assert app.screen.query_one("#rank", Input).value == "32"
        app.screen.query_one("#alpha", Input).focus()
        await pilot.press(*"x1")
        assert "Strength of the adapters" in words(app)
        app.screen.query_one("#clip", Input).value = "-3"
        await pilot.press("ctrl+s")
        assert isinstance(app.screen, ExpertModal)
        text = words(app)
        assert "alpha: give a whole number from 1 to 4096, not x1" in text
        assert "clip: give a number" in text
        assert app.focused is app.screen.query_one("#alpha", Input)
        app.screen.query_one("#alpha", Input).value = "64"
        app.screen.query_one("#clip", Input).value = ""
        app.screen.query_one("#targets", Input).value = "q_proj, nonsense"
        await pilot.press("ctrl+s")
        assert "this model has no nonsense" in words(app)
        app.screen.query_one("#targets", Input).value = "q_proj, v_proj"
        await pilot.press("ctrl+s")
        assert step.settings == {"rank": 32, "alpha": 64, "targets": ["q_proj", "v_proj"]}
        assert parse(step.settings).targets == ("q_proj", "v_proj")
        await until(pilot, lambda: _kept(vault).settings == step.settings)
        await pilot.press("f6", "escape")
        assert step.settings["alpha"] == 64

    at_fit(vault, steps)


def test_the_demos_settings_go_on_with_enter(vault: Vault, tmp_path: Path) -> None:
    keep_fit_draft(vault)
    with as_file(files("workbench.starter") / "recipe.toml") as recipe:
        told = load(recipe)
        tour = Tour((), "notes", "tiny", recipe, "tuned", tmp_path / "out", kept=True)

        async def steps(pilot: Pilot[int], app: WorkbenchApp, step: FitStep) -> None:
            assert "Tour: press Enter" in words(app)
            assert "QLoRA needs" in words(app)
            assert app.screen.query_one("#context", Slider).value == 256
            await pilot.press("enter")
            await until(pilot, lambda: _kept(vault).step == "train")
            assert parse(_kept(vault).settings) == told

        at_fit(vault, steps, tour=tour)


def test_what_is_gone_is_said_in_the_step(vault: Vault) -> None:
    keep_fit_draft(vault, model="mo-0123456789abcdef")

    async def steps(pilot: Pilot[int], app: WorkbenchApp, step: FitStep) -> None:
        await until(pilot, lambda: "✗" in words(app))
        assert app.screen.query_one("#go", Button).disabled
        await pilot.press("ctrl+n")
        assert isinstance(app.screen, MessageModal)

    at_fit(vault, steps, measured=False)


def test_a_context_of_another_model_is_taken_back(
    vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep_fit_draft(vault, settings={"context": 1 << 18, "rank": 8})

    async def steps(pilot: Pilot[int], app: WorkbenchApp, step: FitStep) -> None:
        assert step.settings == {"rank": 8}
        assert "this model reads at most 131,072" in " ".join(words(app).split())

    at_fit(vault, steps)


def test_data_and_model_come_first() -> None:
    assert "data first" in FitStep.lacks(Draft())
    assert "model first" in FitStep.lacks(Draft(dataset="ds-1"))
    assert not FitStep.lacks(Draft(dataset="ds-1", model="mo-1"))


@pytest.mark.parametrize(("name", "size"), [("80x24", SMALL_SCREEN), ("120x40", LARGE)])
def test_it_looks_as_it_should(vault: Vault, name: str, size: tuple[int, int]) -> None:
    keep_fit_draft(vault)

    async def steps(pilot: Pilot[int], app: WorkbenchApp, step: FitStep) -> None:
        matches(app, f"fit-{name}")
        for key, what in (("f4", "cards"), ("f6", "expert")):
            await pilot.press(key)
            await pilot.pause()
            matches(app, f"fit-{what}-{name}")
            await pilot.press("escape")

    at_fit(vault, steps, size=size)


def _kept(vault: Vault) -> Draft:
    return load_draft(vault) or Draft()
