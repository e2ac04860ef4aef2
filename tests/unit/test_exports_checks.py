"""Before and after an export: the check without writing, a folder to suggest, figures in words."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.fixtures.finished import ADAPTER, HOSTILE, make_finished, put_adapter
from workbench.errors import BadInput, Refused
from workbench.exports.contract import PLANNED_TARGETS, TARGETS
from workbench.exports.loading_code import how_to_load
from workbench.exports.preflight import (
    check_room,
    check_target,
    parent_made,
    suggested_target,
)
from workbench.exports.proof import in_words
from workbench.exports.service import check_export


def test_a_check_says_how_much_room_is_needed_and_writes_nothing(tmp_path: Path) -> None:
    vault = make_finished(tmp_path / "original").copy(tmp_path / "home")
    place = tmp_path / "place"
    place.mkdir()
    small = check_export(vault, ADAPTER, target="peft", out=place / "a")
    large = check_export(vault, ADAPTER, target="safetensors", out=place / "a")
    assert large.needed > small.needed > 32 << 20
    assert large.free > 0
    assert large.place == place / "a"
    with pytest.raises(Refused):
        check_export(vault, ADAPTER, target="peft", out=vault.home / "a")
    (place / "b").mkdir()
    (place / "b" / "c").touch()
    with pytest.raises(BadInput):
        check_export(vault, ADAPTER, target="peft", out=place / "b")
    put_adapter(vault, "whole", base=vault.catalogue.get("model", "starter"), method="full")
    with pytest.raises(Refused) as whole:
        check_export(vault, "whole", target="peft", out=place / "a")
    assert whole.value.code == "no_adapter"
    assert [path.name for path in place.iterdir()] == ["b"]


def test_a_suggested_folder_is_new_and_outside_the_vault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, user, hostile = tmp_path / "vault", tmp_path / "user", tmp_path / HOSTILE
    for folder in (home, user, hostile):
        folder.mkdir(parents=True)
    monkeypatch.setenv("HOME", str(user))
    usual = user / "qlora-exports"
    assert suggested_target(home, "a-peft") == usual / "a-peft"
    assert not usual.exists(), "a suggestion writes nothing"
    (usual / "a-peft").mkdir(parents=True)
    assert suggested_target(home, "a-peft") == usual / "a-peft-2"
    assert suggested_target(home, "a-peft", used=tmp_path) == tmp_path / "a-peft"
    for unfit in (home, hostile, tmp_path / "gone"):
        assert suggested_target(home, "a-peft", used=unfit) == usual / "a-peft-2"
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(tmp_path)
    assert suggested_target(home, "a-peft") == tmp_path / "a-peft", "never in the vault's home"


def test_the_usual_folder_is_made_with_the_first_export_and_goes_with_a_failed_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, user = tmp_path / "vault", tmp_path / "user"
    user.mkdir()
    monkeypatch.setenv("HOME", str(user))
    out = user / "qlora-exports" / "a"
    target = check_target(out, home)
    assert check_room(target, 1).free > 0
    with pytest.raises(FileNotFoundError), parent_made(target):
        (target / "lacking").stat()
    assert not target.parent.exists()
    with parent_made(target):
        target.mkdir()
        assert target.parent.stat().st_mode & 0o777 == 0o700
    assert target.is_dir()
    with pytest.raises(BadInput, match="There is no folder"):
        check_target(user / "elsewhere" / "a", home)


def test_no_target_is_both_planned_and_there() -> None:
    planned = {name.casefold() for name in PLANNED_TARGETS}
    assert planned.isdisjoint(TARGETS)


def test_fidelity_in_words() -> None:
    told = {
        "top1_agreement": 0.9987, "mean_kl": 7e-6, "perplexity_adapter": 1.0427,
        "perplexity_export": 1.043, "positions": 1287, "held_out": True,
    }  # fmt: skip
    agreement, difference, perplexity = in_words(told)
    assert "99.9% of 1,287 places of held-out records" in agreement
    assert "7.0e-06, none that anybody would notice" in difference
    assert perplexity == "Perplexity: 1.043 as trained, 1.043 as written."
    assert "slight" in in_words(told | {"mean_kl": 0.01})[1]
    assert "noticeable" in in_words(told | {"mean_kl": 0.3})[1]
    assert "built-in texts" in in_words(told | {"held_out": False})[0]


@pytest.mark.parametrize("method", ["qlora", "lora"])
@pytest.mark.parametrize("target", TARGETS)
def test_loading_lines_are_python_whatever_the_path(target: str, method: str) -> None:
    folder = Path('/srv/it\'s "here"\\now')
    literals = [
        node.value
        for node in ast.walk(ast.parse(how_to_load(target, method, folder)))
        if isinstance(node, ast.Constant)
    ]
    assert str(folder) in literals
