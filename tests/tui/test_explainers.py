"""The explanations: their figures are those of the model, and each fits its page."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from bitsandbytes.functional import get_4bit_type
from textual.pilot import Pilot
from textual.screen import Screen
from textual.widgets import Static

from tests.fixtures.fitting import CPU, GIB, LLAMA_8B, WITH_GPU
from tests.fixtures.screens import LARGE, SMALL, matches, words
from workbench.planning.budget import Budget
from workbench.planning.memory import predict
from workbench.planning.planner import DatasetLength, make_plan
from workbench.planning.probe import Hardware
from workbench.planning.resident import trained_parameters, weight_bytes
from workbench.recipe import Recipe, parse
from workbench.tui.app import WorkbenchApp
from workbench.tui.modals.explainers import double, lora, nf4, paged, passes, rest, serving
from workbench.tui.modals.explainers.modal import ExplainerModal
from workbench.tui.modals.explainers.sheet import About
from workbench.tui.modals.explainers.terms import TERMS
from workbench.tui.session import Session
from workbench.wording import size


def about(**settings: object) -> About:
    recipe = parse({"method": "qlora", "context": 2048, "micro_batch": 2, **settings})
    plan = make_plan(LLAMA_8B, WITH_GPU, recipe=recipe)
    assert plan.chosen is not None
    return About(LLAMA_8B, recipe, plan.chosen, plan.budget)


def test_the_levels_are_bitsandbytes_own() -> None:
    assert pytest.approx(get_4bit_type("nf4", device="cpu").tolist(), abs=1e-7) == nf4.LEVELS


def test_a_weight_goes_to_the_nearest_level() -> None:
    assert nf4.nearest(0.35) == 11
    assert [nf4.nearest(level) for level in nf4.LEVELS] == list(range(16))
    text = nf4.page(about(), -45).plain
    assert "level 3 (0011 in bits)" in text
    assert "read back as -0.3949: off by +0.0551" in text


def test_the_bits_add_up() -> None:
    assert double.BITS_PLAIN == 4.5
    assert pytest.approx(4.127, abs=5e-4) == double.BITS_DOUBLE
    text = double.page(about(), None).plain
    linear = 32 * sum(each.inputs * each.outputs for each in LLAMA_8B.linears)
    assert f"{linear:,}" in text
    assert size(linear * 2) in text
    assert size(weight_bytes(LLAMA_8B, "qlora")) in text


@pytest.mark.parametrize("rank", [1, 16, 256])
def test_the_adapters_numbers_are_the_models(rank: int) -> None:
    text = lora.page(about(), rank).plain
    assert f"{trained_parameters(LLAMA_8B, method='lora', rank=rank):,}" in text
    assert f"{rank * (14336 + 4096):,}" in text
    assert "8,030,261,248" in text
    assert "8 / rank" not in text
    assert f"alpha / rank = {16 / rank:.3g}" in text
    assert "root of the rank = 4" in lora.page(about(rslora=True), 16).plain


def test_recomputation_shows_what_predict_says() -> None:
    told = about()
    for layers in (0, 12, 32):
        total = predict(
            LLAMA_8B, method="qlora", rank=16, context=2048, micro_batch=2, recomputed_layers=layers
        ).total
        text = passes.page(told, layers).plain
        line = next(each for each in text.splitlines() if f"{layers} of 32" in each)
        assert size(total) in line
        assert ("too much" in line) == (total > told.budget.usable_bytes)


def test_recomputation_counts_the_datas_records_as_the_bars_do() -> None:
    # On a processor attention keeps a square of each record, so their length matters.
    recipe = parse({"method": "qlora", "context": 2048, "micro_batch": 2})
    hardware = Hardware(CPU, ram_bytes=256 * GIB, available_bytes=250 * GIB)
    lengths = DatasetLength(records=400, tokens=40_000, longest=2000)
    plan = make_plan(LLAMA_8B, hardware, dataset=lengths, recipe=recipe)
    chosen = plan.chosen
    assert chosen is not None
    told = About(LLAMA_8B, recipe, chosen, plan.budget, lengths)
    assert told.predicted(chosen.recomputed_layers) == chosen.predicted
    unknown = About(LLAMA_8B, recipe, chosen, plan.budget)
    assert unknown.predicted(chosen.recomputed_layers) != chosen.predicted


def test_the_optimizers_bytes_are_the_plans() -> None:
    told = about()
    assert size(told.candidate.predicted.optimizer) in paged.page(told, None).plain
    on_cpu = dataclasses.replace(told, budget=Budget("cpu", 1 << 34, 1 << 33))
    assert "trains on the processor" in paged.page(on_cpu, None).plain


def test_merged_models_and_adapters_for_so_many_tasks() -> None:
    text = serving.page(about(), 20).plain
    base, adapter = 2 * LLAMA_8B.parameters, 4 * 41_943_040
    assert size(20 * base) in text
    assert size(base + 20 * adapter) in text


def test_logits_and_the_line() -> None:
    told = about()
    text = rest.logits(told, None).plain
    assert size(12 * 128256 * 4096) in text
    assert size(12 * 128256 * 512) in text
    lines = rest.rest(told, None).plain
    assert size(told.budget.usable_bytes) in lines
    assert size(told.candidate.predicted.overhead) in lines
    shown = rest.bars(told, None).plain
    parts = dataclasses.asdict(told.candidate.predicted)
    assert all(f"{name:<13}{size(amount):>9}" in shown for name, amount in parts.items())


def on_page(
    steps: Callable[[Pilot[int], WorkbenchApp], Awaitable[None]], screen: tuple[int, int]
) -> None:
    """Open the first page over an empty screen, and go on with `steps`."""
    app = WorkbenchApp(Session(Path("/nowhere/home")))

    async def run() -> None:
        async with app.run_test(size=screen) as pilot:
            await pilot.pause()
            app.push_screen(Screen())
            app.push_screen(ExplainerModal(TERMS[0].name, about()))
            await pilot.pause()
            await steps(pilot, app)

    asyncio.run(run())


@pytest.mark.parametrize(("name", "screen"), [("80x24", SMALL), ("120x40", LARGE)])
def test_each_page_looks_as_it_should(name: str, screen: tuple[int, int]) -> None:
    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        for term in TERMS:
            matches(app, f"explainer-{term.name}-{name}")
            page = app.screen.query_one("#page", Static)
            assert page.size.height <= app.screen.query_one(".dialog-text").size.height, term.name
            await pilot.press("n")

    on_page(steps, screen)


def test_a_dial_redraws_its_page() -> None:
    async def steps(pilot: Pilot[int], app: WorkbenchApp) -> None:
        await pilot.press("n", "home")
        assert "becomes level 0 (0000 in bits)" in words(app)
        await pilot.press("end")
        assert "becomes level 15 (1111 in bits)" in words(app)

    on_page(steps, SMALL)


def test_full_fine_tuning_is_told_apart() -> None:
    plan = make_plan(LLAMA_8B, 1 << 40, recipe=parse({"method": "full"}))
    assert plan.chosen is not None
    told = About(LLAMA_8B, Recipe(method="full"), plan.chosen, plan.budget)
    assert "trains W itself" in lora.page(told, 16).plain
    assert "leaves no adapter" in serving.page(told, 5).plain
