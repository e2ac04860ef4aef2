"""Ten thousand hostile strings through every widget; WORKBENCH_FUZZ_STRINGS sets another number."""

from __future__ import annotations

import os

import pytest

from tests.fixtures.hostile import faults
from tests.tui.test_hostile import feed

_COUNT = int(os.environ.get("WORKBENCH_FUZZ_STRINGS", "10000"))
_AT_ONCE = 500


@pytest.mark.exhaustive
@pytest.mark.timeout(4 * 3600)
def test_many_strings_through_every_widget() -> None:
    for seed in range(10, 10 + -(-_COUNT // _AT_ONCE)):
        assert not faults(feed(min(_COUNT, _AT_ONCE), seed, 1200)), f"seed {seed}"
