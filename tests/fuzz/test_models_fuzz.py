"""Hostile headers, configs, tokenizers and templates: refused in bounded time and memory."""

from __future__ import annotations

import json
import random
import resource
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fixtures import tiny_models as tiny
from workbench.errors import BadInput, Refused, WorkbenchError
from workbench.models.facts import FAMILIES, facts_from_config
from workbench.models.inspection import check_files
from workbench.models.policy import refuse_code
from workbench.models.templates import ChatTemplate
from workbench.models.weights import read_header
from workbench.planning.planner import make_plan
from workbench.recipe import Recipe

pytestmark = pytest.mark.fuzz

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4)
    ),
    max_leaves=20,
)
SIZES = st.one_of(st.integers(-2, 1 << 40), st.none(), st.booleans(), st.just(64), JSON)
KEYS = (
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "intermediate_size",
    "vocab_size",
    "max_position_embeddings",
    "tie_word_embeddings",
    "attention_bias",
)


SOUND = {
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 8,
    "vocab_size": 99,
}


@settings(max_examples=2000, deadline=None)
@given(st.sampled_from(FAMILIES), st.dictionaries(st.sampled_from(KEYS), SIZES))
def test_any_config_gives_facts_or_a_refusal(family: str, config: dict[str, Any]) -> None:
    try:
        facts = facts_from_config(SOUND | config | {"model_type": family})
    except BadInput:
        return
    assert facts.parameters > 0
    refuse_code({"x": facts.to_json()}, "config.json")


@settings(max_examples=500, deadline=None)
@given(
    st.sampled_from((*FAMILIES, "bert", "xlm-roberta", "modernbert")),
    st.dictionaries(st.sampled_from(KEYS), SIZES),
    st.fixed_dictionaries(
        {
            "method": st.sampled_from(["auto", "qlora", "lora", "full"]),
            "context": st.none() | st.integers(1, 1 << 28),
            "recomputed_layers": st.none() | st.integers(0, 2000),
        }
    ),
    st.booleans(),
    st.integers(1 << 26, 1 << 48),
)
def test_any_config_gives_a_plan_or_a_clear_refusal(
    family: str, config: dict[str, Any], told: dict[str, Any], dora: bool, memory: int
) -> None:
    recipe = Recipe(dora=dora, dropout=0.1 if dora else 0.0)
    plan, refusal = None, None
    try:
        facts = facts_from_config(SOUND | config | {"model_type": family})
        plan = make_plan(facts, memory, recipe=recipe, **told)
    except WorkbenchError as error:
        refusal = error
    if plan is None:
        assert refusal is not None
        assert refusal.message
        assert refusal.hint
        return
    for candidate in plan.candidates:
        sizes = candidate.predicted.to_json()
        assert min(sizes.values()) >= 0
        assert sizes.pop("total") == sum(sizes.values())


@settings(max_examples=800, deadline=None)
@given(
    st.dictionaries(st.text(max_size=10), JSON, max_size=5),
    st.sampled_from(["auto_map", "_x_internal"]),
)
def test_forbidden_keys_are_found_wherever_they_hide(value: dict[str, Any], key: str) -> None:
    waiting: list[Any] = [value]
    places = []
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            places.append(item)
            waiting.extend(item.values())
        elif isinstance(item, list):
            waiting.extend(item)
    places[len(places) // 2][key] = 0
    with pytest.raises(Refused):
        refuse_code(value, "config.json")


@settings(
    max_examples=1000, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.lists(
        st.tuples(st.sampled_from(["flip", "cut", "insert", "digit"]), st.integers(0, 1 << 30)),
        min_size=1,
        max_size=4,
    )
)
def test_mutated_weights_are_read_as_the_library_reads_them(
    tmp_path: Path, changes: list[tuple[str, int]]
) -> None:
    """Ours is the stricter: whatever we accept, the library accepts with the same tensors."""
    from safetensors import SafetensorError, safe_open

    path = tmp_path / "x.safetensors"
    tiny.write_safetensors(path, {"a": [2, 3], "b.weight": [4], "c": []})
    data = bytearray(path.read_bytes())
    header = struct.unpack("<Q", data[:8])[0] + 8
    for kind, number in changes:
        place = number % min(header, max(1, len(data)))
        if kind == "flip" and data:
            data[place] ^= 1 << (number % 8)
        elif kind == "cut":
            del data[place : place + 1 + number % 9]
        elif kind == "insert":
            data[place:place] = bytes([32 + number % 90])
        elif data:
            data[place] = 48 + number % 10
    path.write_bytes(bytes(data))
    try:
        found = read_header(path)
    except WorkbenchError:
        return
    try:
        with safe_open(path, framework="numpy") as real:
            assert set(real.keys()) == set(found)
            shapes = {name: tuple(real.get_slice(name).get_shape()) for name in found}
    except SafetensorError as error:
        raise AssertionError("accepted what the library refuses") from error
    assert shapes == {name: entry.shape for name, entry in found.items()}


PIECES = [
    "{% for m in messages %}",
    "{% endfor %}",
    "{% for i in range(99999) %}",
    "{% if m.role == 'user' %}",
    "{% else %}",
    "{% endif %}",
    "{{ m.content * 9999 }}",
    "{{ messages }}",
    "{{ m.__class__ }}",
    "{% generation %}",
    "{% endgeneration %}",
    "{% macro f(x) %}",
    "{% endmacro %}",
    "{{ f(1) }}",
    "{{ f(f(1)) }}",
    "{% set x = x ~ x %}",
    "{% set ns = namespace(x='ab') %}",
    "{% set ns.x = ns.x + ns.x %}",
    "{{ ns.x }}",
    "{{ m.content | join(messages|string) }}",
    "{% break %}",
    "{% continue %}",
    "{{ loop.nextitem }}",
    "{{ raise_exception('x') }}",
    "{{ strftime_now('%' * 50) }}",
    "{{ eos_token }}",
    "{% filter upper %}",
    "{% endfilter %}",
    "{% call f(1) %}",
    "{% endcall %}",
    "{{ cycler(1, 2).next() }}",
    "{{ joiner() }}",
    "{% include 'x' %}",
    "{% extends 'x' %}",
    "{% import 'x' as y %}",
    "text\n",
]


def test_random_templates_end_soon() -> None:
    dice = random.Random(11)
    rendered = refused = 0
    started = time.monotonic()
    for _ in range(4000):
        source = _template(dice)
        begun = time.thread_time()
        try:
            template = ChatTemplate(source, {"eos_token": "</s>"})
            template.render([("user", "ab"), ("assistant", "cd")], prompt=False)
            rendered += 1
        except WorkbenchError:
            refused += 1
        assert time.thread_time() - begun < 15, source
    assert rendered > 100
    assert refused > 200
    assert time.monotonic() - started < 240


def _template(dice: random.Random) -> str:
    """Pieces at random; those that open a block are mostly closed again."""
    closers = {"for": "{% endfor %}", "if": "{% endif %}", "macro": "{% endmacro %}"}
    source, still_open = [], []
    for _ in range(dice.randrange(1, 12)):
        piece = dice.choice(PIECES)
        source.append(piece)
        word = piece.split()[1] if piece.startswith("{% ") else ""
        if word in closers:
            still_open.append(closers[word])
        elif still_open and dice.random() < 0.3:
            source.append(still_open.pop())
    return "".join(source) + "".join(reversed(still_open))


# In a process of its own: a fault of the native library must not take the tests with it.
_LOAD_ALL = """
import json, sys
from pathlib import Path
from workbench.errors import BadInput
from workbench.models.codec import TextCodec
loaded = refused = 0
for folder in sorted(Path(sys.argv[1]).iterdir()):
    try:
        codec = TextCodec.open(folder)
        codec.encode_chat([("user", "Hello there"), ("assistant", "The patient reports.")])
        codec.decode(codec.encode_text("Hello").ids)
        loaded += 1
    except BadInput:
        refused += 1
print(json.dumps([loaded, refused]))
"""


def test_mutated_tokenizers_load_or_are_refused(tmp_path: Path) -> None:
    dice = random.Random(5)
    tokenizer = tiny.byte_tokenizer(["<unk>", "<eos>", "<|im_start|>", "<|im_end|>"])
    sound = tiny.write_tokenizer(
        tmp_path / "sound", tokenizer, template=tiny.MARKED, eos_token="<eos>"
    )
    text = (sound / "tokenizer.json").read_text()
    rest = (sound / "tokenizer_config.json").read_text()
    for number in range(300):
        folder = tmp_path / "many" / f"{number:03d}"
        folder.mkdir(parents=True)
        (folder / "tokenizer_config.json").write_text(rest)
        (folder / "tokenizer.json").write_text(_mutated(text, dice))
    done = subprocess.run(
        [sys.executable, "-I", "-c", _LOAD_ALL, str(tmp_path / "many")],
        capture_output=True,
        timeout=240,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30)),
    )
    assert done.returncode == 0, done.stderr[-2000:]
    loaded, refused = json.loads(done.stdout)
    assert loaded + refused == 300
    assert loaded > 5
    assert refused > 50


def _mutated(text: str, dice: random.Random) -> str:
    value = json.loads(text)
    for _ in range(dice.randrange(1, 4)):
        parent, key = _place(value, dice)
        parent[key] = dice.choice(
            [None, 0, -1, 1 << 62, "", "x", "(a+)+$", [], {}, [[]], True, 0.5, "\ud800"]
        )
    return json.dumps(value)


def _place(value: Any, dice: random.Random) -> tuple[Any, Any]:
    """A random place in nested JSON, each level as likely as the next."""
    while True:
        keys = list(value) if isinstance(value, dict) else list(range(len(value)))
        key = dice.choice(keys)
        inner = value[key]
        if not isinstance(inner, dict | list) or not inner or dice.random() < 0.2:
            return value, key
        value = inner


def test_hostile_folders_stay_bounded(tmp_path: Path) -> None:
    """Deep, wide and huge files are refused before they cost memory."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    folder = tiny.write_model(tmp_path / "m")
    weights = folder / "model.safetensors"
    hostile = [
        b'{"a":' * 300_000,
        b"[" * 3_000_000,
        b'{"x":"' + b"y" * 5_000_000 + b'"}',
        b'{"hidden_size": 1' + b"0" * 3_000_000 + b"}",
        b'{"hidden_size": 1e999999}',
        b"\x00" * 1000,
        b'{"a":"\xed\xa0\x80"}',
    ]
    for body in hostile:
        (folder / "config.json").write_bytes(body)
        files = {"config.json": folder / "config.json", "model.safetensors": weights}
        with pytest.raises(WorkbenchError):
            check_files(files, ("model.safetensors",), {})
        weights.write_bytes(struct.pack("<Q", len(body)) + body)
        with pytest.raises(WorkbenchError):
            read_header(weights)
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert after - before < 400 * 1024  # KiB
