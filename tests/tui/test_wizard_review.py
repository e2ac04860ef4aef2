"""The Review step: it compares by itself, masks record text, advises, and keeps figures alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import DataTable, OptionList, TabbedContent

from tests.fixtures.finished import (
    HOSTILE,
    ROWS,
    SECRET,
    ActedReview,
    figures,
    make_finished,
    session_at,
)
from tests.fixtures.screens import LARGE, SMALL, drive, matches, settled, until, words
from tests.fixtures.vaults import Original
from workbench.adapters.reviewing import Review
from workbench.errors import NotFound
from workbench.evaluation.advice import Facts
from workbench.runs.drafts import load_draft
from workbench.tui.app import WorkbenchApp
from workbench.tui.screens.door import UnlockScreen
from workbench.tui.screens.wizard.keep import KeepStep
from workbench.tui.screens.wizard.review import ReviewStep
from workbench.tui.screens.wizard.screen import WizardScreen
from workbench.vault.store import Vault

POOR = Facts(
    base_loss=4.0, adapter_loss=3.9, records=12, train_records=60, loss_first=4.0, loss_last=0.2,
    eval_best=1.0, eval_last=2.0, best_step=30, steps=90, epochs=3, learning_rate=2e-4, rank=16,
)  # fmt: skip


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Original:
    return make_finished(tmp_path_factory.mktemp("finished") / "home")


@pytest.fixture
def acted(monkeypatch: pytest.MonkeyPatch) -> ActedReview:
    acted = ActedReview()
    monkeypatch.setattr("workbench.adapters.reviewing.review_run", acted)
    return acted


@pytest.fixture
def opened_steps(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    steps: list[str] = []
    monkeypatch.setattr(WizardScreen, "open_step", lambda self, name: steps.append(name))
    return steps


async def at_review(pilot: Pilot[int], app: WorkbenchApp) -> ReviewStep:
    app.go("wizard")
    await until(pilot, lambda: isinstance(app.screen, WizardScreen) and app.screen.step)
    assert isinstance(app.screen, WizardScreen)
    step = app.screen.step
    assert isinstance(step, ReviewStep)
    return step


async def reviewed(pilot: Pilot[int], app: WorkbenchApp, acted: ActedReview) -> ReviewStep:
    acted.go.set()
    step = await at_review(pilot, app)
    await until(pilot, lambda: not step.is_busy)
    return step


def test_it_compares_by_itself_and_enter_goes_on(vault: Vault, acted: ActedReview) -> None:
    session = session_at(vault, "review")

    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        step = await at_review(pilot, app)
        await until(pilot, lambda: "25%" in words(app))
        assert "Measuring the base" in words(app)
        await pilot.press("enter", "ctrl+n")
        assert step.is_busy, "neither Enter nor Next gives up what is at work"
        acted.go.set()
        await until(pilot, lambda: not step.is_busy)
        assert "surprised 9x less by answers it never saw" in words(app)
        assert "2 of 3" in words(app)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen.query_one("#step *"), KeepStep))

    drive(session, steps)
    draft = load_draft(vault)
    assert draft is not None
    assert draft.results["adapter"]["loss"] == 1.0
    assert draft.step == "keep"
    assert SECRET not in json.dumps(draft.to_json())


def test_record_text_is_masked_until_revealed(vault: Vault, acted: ActedReview) -> None:
    session = session_at(vault, "review")

    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        await reviewed(pilot, app, acted)
        assert "Amelia" not in words(app)
        assert "••• ••••••• •••••• •••••" in words(app)
        await pilot.press("r")
        await pilot.pause()
        assert f"{SECRET} asks for a date." in words(app)
        assert "Adapter  ✓  book a" in words(app)
        assert "Base     ≠  I do not know." in words(app)
        await pilot.press("d")
        await pilot.pause()
        assert "Record 2 of 3" in words(app)
        assert "Adapter  ≠  Call back." in words(app)
        await pilot.press("right")
        await pilot.pause()
        assert "Base     ≠ …" in words(app)
        assert HOSTILE not in words(app)
        assert "\x1b" not in words(app)
        assert "[@click=app.exit]x[/]" in words(app), "markup stands as it is"
        await pilot.press("right", "r")
        await pilot.pause()
        assert "Record 1 of 3" in words(app)
        assert "Amelia" not in words(app)

    drive(session, steps)


def test_coming_back_shows_the_figures_and_offers_to_compare_again(
    vault: Vault, acted: ActedReview
) -> None:
    run = vault.catalogue.get("adapter", "ward-notes").record["run"]
    session = session_at(vault, "review", results=figures(run))

    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        step = await at_review(pilot, app)
        await pilot.pause()
        assert "surprised 9x less" in words(app)
        assert "is not kept, for it is record text" in words(app)
        assert acted.calls == []
        assert step.check_action("reveal", ()) is False
        acted.go.set()
        await pilot.press("e")
        await until(pilot, lambda: acted.calls and not step.is_busy)
        assert "Record 1 of 3" in words(app)

    drive(session, steps)


def test_figures_of_another_run_are_not_shown(vault: Vault, acted: ActedReview) -> None:
    session = session_at(vault, "review", results=figures("ru-0000000000000000"))

    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        await reviewed(pilot, app, acted)

    drive(session, steps)
    assert len(acted.calls) == 1


def test_it_can_be_stopped_and_gone_without(vault: Vault, acted: ActedReview) -> None:
    session = session_at(vault, "review")

    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        step = await at_review(pilot, app)
        await until(pilot, lambda: acted.calls)
        await pilot.press("x")
        await until(pilot, lambda: not step.is_busy)
        assert "Stopped. Nothing was changed." in words(app)
        await pilot.press("tab", "enter")
        await until(pilot, lambda: isinstance(app.screen.query_one("#step *"), KeepStep))

    drive(session, steps)
    draft = load_draft(vault)
    assert draft is not None
    assert draft.results == {}


def test_what_fails_is_told_here_and_can_be_tried_again(vault: Vault, acted: ActedReview) -> None:
    def gone(run: str) -> Review:
        raise NotFound("The dataset is gone.", hint="Import it again.")

    acted.review = gone
    session = session_at(vault, "review")

    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        await reviewed(pilot, app, acted)
        assert "The dataset is gone." in words(app)
        assert "Import it again." in words(app)
        acted.review = ActedReview().review
        await pilot.press("enter")
        await until(pilot, lambda: "surprised 9x less" in words(app))

    drive(session, steps)


def test_a_run_that_has_made_nothing_yet_is_told(vault: Vault) -> None:
    session = session_at(vault, "review", run="ru-0000000000000000")

    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        step = await at_review(pilot, app)
        await until(pilot, lambda: not step.is_busy)
        assert "has not made an adapter yet" in words(app)

    drive(session, steps)


def test_advice_leads_back_to_the_step_it_is_about(
    vault: Vault, acted: ActedReview, opened_steps: list[str]
) -> None:
    acted.review = lambda run: Review(figures(run, facts=POOR.to_json()), {}, ROWS)
    session = session_at(vault, "review")

    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        step = await reviewed(pilot, app, acted)
        assert "what to try (4)" in words(app)
        await pilot.press("t")
        await pilot.pause()
        assert "It learnt by heart" in words(app)
        assert "1 instead of 3" in words(app)
        step.query_one(OptionList).focus()
        await pilot.press("down", "down", "enter", "1", "3")

    drive(session, steps)
    assert opened_steps == ["data", "data", "fit"]


def test_labels_are_counted_and_masked(vault: Vault, acted: ActedReview) -> None:
    labels = {"labels": ["invoice", "complaint"], "counts": [[30, 2, 0], [1, 40, 3]]}
    scores = {"accuracy": 0.92, "f1": 0.9, "majority": 0.58}
    acted.review = lambda run: Review(
        figures(
            run,
            base={"loss": 9.0, "perplexity": 8103.0, **scores, "accuracy": 0.4},
            adapter={"loss": 1.0, "perplexity": 2.7, **scores},
        ),
        {"base": labels, "adapter": labels},
        ROWS,
    )
    session = session_at(vault, "review")

    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        step = await reviewed(pilot, app, acted)
        assert "right label in 92% of the records, the base in 40%" in _joined(words(app))
        await pilot.press("t", "t")
        await pilot.pause()
        assert "invoice" not in words(app)
        assert step.query_one(DataTable).row_count == 2
        await pilot.press("r")
        await pilot.pause()
        assert "invoice" in words(app)

    drive(session, steps)
    draft = load_draft(vault)
    assert draft is not None
    assert "invoice" not in json.dumps(draft.to_json()), "labels are record text"


def test_locking_forgets_what_was_answered(vault: Vault, acted: ActedReview) -> None:
    session = session_at(vault, "review")

    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        await reviewed(pilot, app, acted)
        await pilot.press("r", "ctrl+l")
        await until(pilot, lambda: isinstance(app.screen, UnlockScreen))
        app.enter()
        await until(pilot, lambda: isinstance(app.screen, WizardScreen))
        await pilot.pause()
        assert "Amelia" not in words(app)
        assert "is not kept" in words(app)

    drive(session, steps)


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_it_looks_as_it_should(vault: Vault, acted: ActedReview, size: tuple[int, int]) -> None:
    acted.review = lambda run: Review(figures(run, facts=POOR.to_json()), {}, ROWS)
    session = session_at(vault, "review")

    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        step = await reviewed(pilot, app, acted)
        await settled(pilot, app)
        matches(app, f"wizard-review-{size[0]}x{size[1]}")
        step.query_one(TabbedContent).active = "advice"
        await settled(pilot, app)
        matches(app, f"wizard-review-advice-{size[0]}x{size[1]}")

    drive(session, steps, size)


@pytest.mark.slow
def test_the_real_engine_answers(tmp_path: Path) -> None:
    from tests.fixtures.libraries import make_library
    from tests.fixtures.tiny_jobs import LESSONS
    from workbench.adapters.registration import register_finished

    made = make_library(tmp_path)
    made.train("ward-notes")
    register_finished(made.vault)
    session = session_at(made.vault, "review")

    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        step = await at_review(pilot, app)
        await until(pilot, lambda: not step.is_busy, 120)
        assert "less by answers it never saw" in words(app)
        await pilot.press("r")
        await pilot.pause()
        assert any(question in words(app) for question, _ in LESSONS)

    drive(session, steps)


def _joined(text: str) -> str:
    return " ".join(text.split())
