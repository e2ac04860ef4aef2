"""What becomes of the messages of work that was cancelled or superseded."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable

from textual import on
from textual.app import App
from textual.pilot import Pilot

from tests.fixtures.screens import until
from workbench.errors import BadInput
from workbench.tui import work


class Listener(App[None]):
    """Notes what it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[object] = []

    @on(work.WorkDone)
    def _done(self, event: work.WorkDone) -> None:
        self.heard.append(event.result)

    @on(work.WorkFailed)
    def _failed(self, event: work.WorkFailed) -> None:
        self.heard.append(event.error.code)


def _drive(steps: Callable[[Pilot[None], Listener], Awaitable[None]]) -> None:
    async def run() -> None:
        app = Listener()
        async with app.run_test() as pilot:
            await steps(pilot, app)

    asyncio.run(run())


def test_a_result_that_waits_is_dropped_when_newer_work_begins() -> None:
    async def steps(pilot: Pilot[None], app: Listener) -> None:
        told, go_on = threading.Event(), threading.Event()

        def first(_: work.Progress) -> str:
            told.set()
            return "old"

        def second(_: work.Progress) -> str:
            go_on.wait(5)
            return "new"

        # This coroutine holds the loop, so that the first result waits in the app's queue.
        work.begin(app, "look", first)
        await asyncio.sleep(0)
        told.wait(5)
        time.sleep(0.1)  # its thread posts right after
        work.begin(app, "look", second)
        go_on.set()
        await until(pilot, lambda: app.heard)
        assert app.heard == ["new"]

    _drive(steps)


def test_a_result_that_waits_is_dropped_when_its_work_is_cancelled() -> None:
    async def steps(pilot: Pilot[None], app: Listener) -> None:
        told = threading.Event()

        def task(_: work.Progress) -> str:
            told.set()
            return "late"

        worker = work.begin(app, "look", task)
        await asyncio.sleep(0)
        told.wait(5)
        time.sleep(0.1)
        worker.cancel()
        work.begin(app, "other", lambda _: "other")
        await until(pilot, lambda: app.heard)
        assert app.heard == ["other"]

    _drive(steps)


def test_what_is_not_superseded_is_told() -> None:
    async def steps(pilot: Pilot[None], app: Listener) -> None:
        def fail(_: work.Progress) -> None:
            raise BadInput("No.", code="no")

        work.begin(app, "both", lambda _: 1, exclusive=False)
        work.begin(app, "both", lambda _: 1, exclusive=False)
        work.begin(app, "fails", fail)
        await until(pilot, lambda: len(app.heard) == 3)
        assert sorted(map(str, app.heard)) == ["1", "1", "no"]

    _drive(steps)
