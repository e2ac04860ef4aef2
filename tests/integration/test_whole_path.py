"""The demo from end to end, and what the home that it keeps can do afterwards."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.commands import Shell
from workbench.runs.follow import follow

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Shell, dict[str, Any]]:
    """A kept demo: a shell on its home, and the document that it printed."""
    folder = tmp_path_factory.mktemp("demo")
    shell = Shell.at(folder)
    document = shell.json("demo", "--headless", "--keep", folder / "kept", timeout=800)
    return Shell(Path(document["home"]), Path(document["passphrase_file"])), document


def test_the_result_has_the_promised_fields(kept: tuple[Shell, dict[str, Any]]) -> None:
    _, document = kept
    promised = "home passphrase_file dataset plan run adapter loss_first loss_last evaluation"
    assert set(promised.split()) | {"export", "seconds"} <= set(document)
    data = document["dataset"]
    assert data["rows"] >= 500
    assert data["duplicates"] > 0
    assert data["rejected"] == len(data["rejects"]) > 0
    assert {reject["code"] for reject in data["rejects"]} >= {"bad_encoding"}
    assert sum(data["splits"].values()) == data["rows"]
    assert document["plan"]["method"] == "qlora"
    assert document["run"]["state"] == "finished"
    layers = document["run"]["protection"]
    held = {layers[name]["state"] for name in ("seccomp", "network_namespace")}
    assert "active" in held


def test_the_adapter_learnt_what_the_base_lacked(kept: tuple[Shell, dict[str, Any]]) -> None:
    evaluation = kept[1]["evaluation"]
    base, adapter, unseen = evaluation["base"], evaluation["adapter"], evaluation["unseen"]
    assert evaluation["records"] >= 40
    assert adapter["loss"] <= base["loss"] / 5
    assert base["format_rate"] < 0.05
    assert adapter["format_rate"] >= 0.95
    assert adapter["field_accuracy"] >= 0.85
    assert unseen["adapter"]["field_accuracy"] >= 0.65
    # Always giving the commonest answer must not do nearly as well, or nothing was shown.
    assert evaluation["majority"]["field_accuracy"] < adapter["field_accuracy"] - 0.2
    assert unseen["majority"]["field_accuracy"] < unseen["adapter"]["field_accuracy"] - 0.1


def test_the_kept_home_is_sound(kept: tuple[Shell, dict[str, Any]]) -> None:
    shell, document = kept
    assert shell.json("vault", "verify")["bad"] == []
    assert shell.json("audit", "verify")["ok"]
    shown = shell.json("adapter", "show", document["adapter"])
    assert shown["base"]["name"] == "starter"
    assert shown["dataset"]["root"]
    assert shell.json("dataset", "verify", document["dataset"]["dataset"])["bad"] == []
    assert shell.json("model", "verify", "starter")["ok"]
    assert shell.json("dataset", "show", document["dataset"]["dataset"])["tokens"]["starter"] > 1000


def test_runs_are_listed_without_a_passphrase(kept: tuple[Shell, dict[str, Any]]) -> None:
    shell, document = kept
    closed = Shell(shell.home, Path("/dev/null/none"))
    found = closed.json("run", "list")["runs"]
    assert document["run"]["run"] in {run["run"] for run in found}
    shown = closed.json("run", "show", document["run"]["run"])
    assert shown["state"] == "finished"
    assert shown["step"] == shown["steps"] > 0


def test_a_wrong_passphrase_changes_nothing(
    kept: tuple[Shell, dict[str, Any]], tmp_path: Path
) -> None:
    shell, _ = kept
    before = {path: path.stat().st_mtime_ns for path in shell.home.rglob("*")}
    wrong = Shell.at(tmp_path, "not the passphrase")
    wrong.home = shell.home
    error = wrong.json("dataset", "list", expect=4)["error"]
    assert error["code"] == "wrong_passphrase"
    assert {path: path.stat().st_mtime_ns for path in shell.home.rglob("*")} == before


def test_the_merged_folder_answers_as_the_adapter_did(
    kept: tuple[Shell, dict[str, Any]],
) -> None:
    """Plain transformers in a fresh process, which knows nothing of the product."""
    shell, document = kept
    prompts = ["The statement shows a card payment that the customer did not make."]
    prompts.append("Patient reports chest pain since this morning and feels dizzy.")
    script = (
        "import json, sys, torch\n"
        "from transformers import AutoModelForCausalLM, AutoTokenizer\n"
        "folder, prompts = sys.argv[1], json.loads(sys.argv[2])\n"
        "tok = AutoTokenizer.from_pretrained(folder)\n"
        "model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)\n"
        "for p in prompts:\n"
        "    ids = tok.apply_chat_template([{'role': 'user', 'content': p}],\n"
        "        add_generation_prompt=True, return_tensors='pt', return_dict=True)\n"
        "    out = model.generate(**ids, max_new_tokens=48, do_sample=False)\n"
        "    print(json.dumps(tok.decode(out[0, ids['input_ids'].shape[1]:],\n"
        "        skip_special_tokens=True)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", script, document["export"]["folder"], json.dumps(prompts)],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    merged = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('"')]
    for prompt, answer in zip(prompts, merged, strict=True):
        spoken = shell.json(
            "chat", "--adapter", document["adapter"], "--prompt", prompt, "--max-tokens", "48"
        )
        assert spoken["answers"][0]["text"].strip() == answer.strip()


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_a_demo_that_is_ended_leaves_nothing(tmp_path: Path, ending: signal.Signals) -> None:
    """Neither the throw-away home nor the job that was at work in it."""
    shell = Shell.at(tmp_path, TMPDIR=str(tmp_path))
    running = subprocess.Popen(
        shell.command(["demo", "--headless"]),
        env=shell.variables(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 120
    while not (found := list(tmp_path.glob("workbench-demo-*/home/runs/*/events.jsonl"))):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    state = follow(found[0].parent, until=lambda state: state.pid is not None)
    assert state.pid is not None
    running.send_signal(ending)
    running.wait(timeout=60)
    assert list(tmp_path.glob("workbench-demo-*")) == []
    assert not Path(f"/proc/{state.pid}").exists()
