"""Records as a model sees them: what is learnt, why a record is left out, and the child's walls."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures import tiny_models as tiny
from workbench.errors import BadInput, Refused
from workbench.models import previewing
from workbench.models.previewing import measure, render

EXCHANGE = [("user", "Hello there"), ("assistant", "A mild headache, é 你好 \U0001f600.")]


def folder_with(root: Path, template: str) -> Path:
    tokenizer = tiny.byte_tokenizer(["<unk>", "<eos>", "<|im_start|>", "<|im_end|>"])
    return tiny.write_tokenizer(root / "model", tokenizer, template=template, eos_token="<eos>")


def test_pieces_make_up_the_text_and_tell_what_is_learnt(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, tiny.CHATML)
    chat, text = render(folder, [EXCHANGE * 2, "Only text."])
    question = "<|im_start|>user\nHello there<|im_end|>\n<|im_start|>assistant\n"
    answer = "A mild headache, é 你好 \U0001f600.<|im_end|>"
    assert chat.pieces == (
        (question, False), (answer, True), (f"\n{question}", False), (answer, True), ("\n", False),
    )  # fmt: skip
    assert 0 < chat.counted < chat.tokens
    assert (chat.reason, text.reason) == ("", "")
    assert text.pieces == (("Only text.<eos>", True),)
    assert text.counted == text.tokens
    lengths = measure(folder, [EXCHANGE * 2, "Only text."])
    assert [(item.tokens, item.counted) for item in lengths] == [
        (item.tokens, item.counted) for item in (chat, text)
    ]
    assert not any(item.pieces for item in lengths)
    mixed = render(folder, ["Only text.", "Only text."], whole=1)
    assert [bool(item.pieces) for item in mixed] == [True, False]


def test_each_record_is_judged_alone(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, tiny.MISTRAL.replace("{{ bos_token }}", ""))
    good, refused, silent = render(
        folder, [EXCHANGE, [EXCHANGE[0], *EXCHANGE], [("user", "Nobody answers.")]]
    )
    assert good.reason == ""
    assert (refused.reason, refused.tokens, refused.pieces) == ("template_refused_record", 0, ())
    assert silent.reason == "all_masked"
    assert silent.counted == 0
    assert silent.tokens > 0


def test_a_template_that_ends_no_answer_is_told(tmp_path: Path) -> None:
    template = "{% for m in messages %}{{ m['role'] + ': ' + m['content'] + '\n' }}{% endfor %}"
    prompt = "{% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}"
    (found,) = render(folder_with(tmp_path, template + prompt), [EXCHANGE])
    assert found.reason == "no_end_token"
    assert found.pieces


@pytest.mark.parametrize(
    ("template", "kind", "code"),
    [
        ("{% for i in range(10**6) %}{% for j in range(10**6) %}{% endfor %}{% endfor %}",
         BadInput, "template_over_budget"),
        ("{% for i in range(400000) %}{{ messages[0]['content'] * 1000 }}{% endfor %}",
         BadInput, "template_over_budget"),
        ("{{ ('ab ' * 3000000)|wordwrap(1)|length }}", BadInput, "preview_stopped"),
        ("{{ messages.__class__.__mro__ }}", Refused, "unsafe_template"),
        ("{{ nothing.at.all }}", BadInput, "bad_chat_template"),
        ("{% if %}", BadInput, "bad_chat_template"),
    ],
)  # fmt: skip
def test_hostile_templates_end_in_a_clear_error(
    template: str, kind: type[Exception], code: str, tmp_path: Path
) -> None:
    folder = folder_with(tmp_path, template)
    started = time.monotonic()
    with pytest.raises(kind) as caught:
        render(folder, [EXCHANGE], cpu_seconds=3)
    assert caught.value.code == code  # type: ignore[attr-defined]
    assert "Hello" not in caught.value.message  # type: ignore[attr-defined]
    assert time.monotonic() - started < 60


def test_a_child_that_says_nothing_or_too_much_is_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = folder_with(tmp_path, tiny.CHATML)
    for says in ("''", "'[]'", "'{\"renderings\": [1, 2]}'", "'{\"renderings\": []}'",
                 "'[' * 3_000_000"):  # fmt: skip
        program = tmp_path / "child"
        program.write_text(f"#!{sys.executable}\nprint({says})\n")
        program.chmod(0o700)
        monkeypatch.setattr(sys, "executable", str(program))
        monkeypatch.setattr(previewing, "_LARGEST_REPLY", 2 << 20)
        with pytest.raises(BadInput) as caught:
            render(folder, [EXCHANGE])
        assert caught.value.code == "preview_stopped"
        monkeypatch.undo()
    program.write_text(f"#!{sys.executable}\nimport time\ntime.sleep(60)\n")
    monkeypatch.setattr(sys, "executable", str(program))
    monkeypatch.setattr(previewing, "WALL_SECONDS", 0.5)
    started = time.monotonic()
    with pytest.raises(BadInput):
        render(folder, [EXCHANGE, "x" * 1_000_000])
    assert time.monotonic() - started < 10


def test_requests_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = folder_with(tmp_path, tiny.CHATML)
    monkeypatch.setattr(previewing, "MOST_SAMPLES", 3)
    assert len(measure(folder, ["a b c"] * 5)) == 3
    monkeypatch.setattr(previewing, "MOST_CHARACTERS", 12)
    assert len(measure(folder, ["a b c"] * 5)) == 2
    assert measure(folder, []) == []


_CHILD = """
import json, sys
from pathlib import Path
from workbench.airgap.lockdown import current_protection
from workbench.models import previewing

made = previewing.answer

def answer(folder, request):
    told = made(folder, request)
    def reads(path):
        try:
            return bool(Path(path).read_bytes()) or True
        except OSError:
            return False
    return {
        "made": told,
        "modules": sorted(sys.modules),
        "layers": current_protection().to_json(),
        "holds": current_protection().holds,
        "reads": {path: reads(path) for path in request["paths"]},
        "argv": sys.argv,
    }

previewing.answer = answer
previewing.main(sys.argv[1], "20")
"""


@pytest.fixture(scope="module")
def child(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    root = tmp_path_factory.mktemp("child")
    folder = folder_with(root, tiny.CHATML)
    secret = root / "secret.txt"
    secret.write_text("not yours")
    paths = [str(secret), str(folder / "tokenizer.json")]
    request = {"samples": ["Some text."], "whole": 1, "paths": paths}
    done = subprocess.run(
        [sys.executable, "-I", "-c", _CHILD, str(folder)],
        input=json.dumps(request).encode(),
        capture_output=True,
        check=True,
        timeout=60,
    )
    told: dict[str, Any] = json.loads(done.stdout)
    told["paths"] = paths
    return told


def test_the_child_loads_neither_torch_nor_the_vault(child: dict[str, Any]) -> None:
    assert child["made"]["renderings"][0][1] > 0
    loaded = {name.partition(".")[0] for name in child["modules"]}
    assert "tokenizers" in loaded
    heavy = {"torch", "transformers", "peft", "numpy", "duckdb", "pyarrow", "cryptography"}
    assert not loaded & heavy
    assert not [name for name in child["modules"] if name.startswith("workbench.vault")]


def test_the_child_is_locked_before_it_reads(child: dict[str, Any]) -> None:
    assert child["holds"]
    secret, own = child["paths"]
    assert child["reads"][own]
    if child["layers"]["landlock"]["state"] != "active":
        pytest.skip("this kernel has no Landlock")
    assert not child["reads"][secret]


def test_a_machine_that_cannot_lock_the_child_gets_no_preview(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = folder_with(tmp_path, tiny.CHATML)
    program = tmp_path / "child"
    program.write_text(
        f"#!{sys.executable}\n"
        "import sys\n"
        "from workbench.airgap.lockdown import LAYERS, Policy, lock_down\n"
        "from workbench.models import previewing\n"
        "without = frozenset(LAYERS)\n"
        "previewing.lock_down = lambda policy: lock_down(Policy(policy.landlock, True, without))\n"
        "previewing.main(*sys.argv[-2:])\n"
    )
    program.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(program))
    with pytest.raises(Refused) as caught:
        render(folder, [EXCHANGE])
    assert caught.value.code == "not_sealed"
