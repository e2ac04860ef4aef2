"""Templates render as in transformers, and hostile ones end soon and harm nothing."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures import tiny_models as tiny
from workbench.errors import BadInput, Refused, WorkbenchError
from workbench.models.templates import ChatTemplate
from workbench.models.trial import try_codec

TOKENS = {"bos_token": "<s>", "eos_token": "</s>"}
CHAT = [
    ("user", "  <b>Hello</b> & {{ not_code }} 'quoted' é\n"),
    ("assistant", "Yes.\n\nTwo lines."),
    ("user", "Again"),
    ("assistant", "No"),
]

# One line for each thing in which transformers' environment differs from plain jinja2.
DIALECT = [
    "{% for m in messages %}\n  {% if loop.first %}\n    first\n  {% endif %}\n{{ m.role }}\n"
    "{% endfor %}\n",
    "{% for m in messages %}{% if loop.index0 == 1 %}{% continue %}{% endif %}{{ m.content }}"
    "{% if loop.index0 == 2 %}{% break %}{% endif %}{% endfor %}",
    "{{ messages[0] | tojson }}{{ messages | tojson(indent=2) }}"
    "{{ {'b':1,'a':2}|tojson(sort_keys=true) }}",
    "{% set ns = namespace(a=1, b='x') %}{% for m in messages %}{% set ns.a = ns.a + 1 %}"
    "{% endfor %}{{ ns.a }}{{ ns.b * 3 }}",
    "{{ dict(a=1, **{'b': 2}) }}{{ dict.fromkeys(['x'], 1) }}",
    "{% for i in range(2, 10, 3) %}{{ i }},{% endfor %}{{ range(3)|list }}",
    "{% macro show(m) %}[{{ m.role }}|{{ caller() if caller }}]{% endmacro %}"
    "{% for m in messages %}{{ show(m) }}{% call show(m) %}x{% endcall %}{% endfor %}",
    "{{ strftime_now('%Y')|length }}{{ tools is none }}{{ documents is none }}",
    "{{ bos_token }}{{ eos_token }}{{ unk_token }}{{ missing is defined }}",
    "{{ messages[0].content.strip().split('&')[0]|upper|replace('B', 'x') }}{{ 2 ** 5 % 7 }}"
    "{{ 3 * 10 ** 9 + 1 }}{{ [1] + [2] }}",
    "{{ '%s-%03d'|format('a', 7) }}{{ 'a' ~ 1 ~ 2.5 }}"
    "{{ messages|map(attribute='role')|join(',') }}",
    "{%- for m in messages recursive %}{{ loop.depth }}{{ m.content | trim | e }}{%- endfor %}",
]


def rendered_by_transformers(source: str, **kwargs: Any) -> tuple[str, list[tuple[int, int]]]:
    os.environ["HF_HUB_OFFLINE"] = "1"
    from transformers.utils.chat_template_utils import render_jinja_template

    chat = [{"role": role, "content": content} for role, content in CHAT]
    texts, spans = render_jinja_template([chat], chat_template=source, **TOKENS, **kwargs)
    return texts[0], spans[0] if spans else []


@pytest.mark.parametrize("source", DIALECT)
def test_the_dialect_is_that_of_transformers(source: str) -> None:
    rendered = ChatTemplate(source, TOKENS).render(CHAT, prompt=True)
    assert rendered.text == rendered_by_transformers(source, add_generation_prompt=True)[0]


@pytest.mark.parametrize("prompt", [False, True])
@pytest.mark.parametrize(
    "source", [tiny.CHATML, tiny.QWEN, tiny.LLAMA3, tiny.MISTRAL, tiny.GEMMA, tiny.PHI3]
)
def test_known_templates_render_alike(source: str, prompt: bool) -> None:
    rendered = ChatTemplate(source, TOKENS).render(CHAT, prompt=prompt)
    assert rendered.text == rendered_by_transformers(source, add_generation_prompt=prompt)[0]


def test_marked_spans_are_those_of_transformers() -> None:
    rendered = ChatTemplate(tiny.MARKED, TOKENS).render(CHAT, prompt=False)
    text, spans = rendered_by_transformers(tiny.MARKED, return_assistant_tokens_mask=True)
    assert (rendered.text, list(rendered.spans)) == (text, spans)
    assert [text[a:b] for a, b in spans] == ["Yes.\n\nTwo lines.<|im_end|>", "No<|im_end|>"]


def test_marks_whose_place_cannot_be_told_are_refused() -> None:
    source = (
        "{% macro say(m) %}{{ m.role }}{% generation %}{{ m.content }}{% endgeneration %}"
        "{% endmacro %}{% for m in messages %}{{ say(m) }}{% endfor %}"
    )
    with pytest.raises(BadInput, match="marks answers"):
        ChatTemplate(source, TOKENS).render(CHAT, prompt=False)


NESTED = "{% for c in 'abcdefghijklmnop' %}" * 8 + "{% endfor %}" * 8
OVER_BUDGET = [
    "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
    NESTED,
    "{% macro f() %}{{ f() }}{{ f() }}{% endmacro %}{{ f() }}",
    "{% for i in range(90000) %}{{ 'x' * 1000 }}{% endfor %}",
    "{{ 'a' * 10**12 }}",
    "{{ [0] * 10**12 }}",
    "{{ 10**12 * 'a' }}",
    "{{ 9 ** (9 ** 9) }}",
    "{{ '%999999999d' % 1 }}",
    "{{ '%*d' % (999999999, 1) }}",
    "{{ 'a'.center(10**12) }}{{ 'a'.zfill(10**12) }}",
    "{% set ns = namespace(x='aaaaaaaa') %}{% for i in range(60) %}{% set ns.x = ns.x + ns.x %}"
    "{% endfor %}{{ ns.x }}",
    "{% set ns = namespace(x=[1]) %}{% for i in range(60) %}{% set ns.x = ns.x + ns.x %}"
    "{% endfor %}",
]


@pytest.mark.parametrize("source", OVER_BUDGET)
def test_greedy_templates_are_stopped_in_any_thread(source: str) -> None:
    found: list[object] = []

    def render() -> None:
        try:
            found.append(ChatTemplate(source, {}).render(CHAT, prompt=False))
        except WorkbenchError as error:
            found.append(error.code)

    started = time.monotonic()
    thread = threading.Thread(target=render)
    thread.start()
    thread.join(60)
    assert found == ["template_over_budget"]
    assert time.monotonic() - started < 30


@pytest.mark.parametrize(
    "source",
    [
        "{{ messages.__class__ .__mro__ }}",
        "{{ ''.__class__.__base__.__subclasses__() }}",
        "{{ raise_exception.__globals__['json'] }}",
        "{{ namespace.__init__.__globals__ }}",
        "{{ cycler.__init__.__globals__.os.system('true') }}",
        "{{ '{0.__class__.__mro__}'.format(messages) }}",
        "{{ ('{0.__class__.x}' | attr('format'))(messages) }}",
        "{{ messages.append(1) }}",
        "{{ messages[0].update(role='x') }}",
        "{% set ns = namespace() %}{% set ns.__class__ = 1 %}",
        "{{ namespace(__x=1) }}",
        "{{ (messages|attr('__class__')).x }}",
        "{{ self._TemplateReference__context.environment.budget }}",
    ],
)
def test_no_way_leads_out_of_the_sandbox(source: str) -> None:
    with pytest.raises((Refused, BadInput)) as refusal:
        ChatTemplate(source, {}).render(CHAT, prompt=False)
    assert refusal.value.code in {"unsafe_template", "bad_chat_template"}


@pytest.mark.parametrize(
    "name", ["environment", "budget", "lipsum", "__builtins__", "open", "tick", "_mark"]
)
def test_templates_see_no_name_of_ours(name: str) -> None:
    assert ChatTemplate(f"{{{{ {name} is defined }}}}", {}).render([], prompt=False).text == "False"


def test_records_that_look_like_templates_stay_text() -> None:
    rendered = ChatTemplate(tiny.CHATML, {}).render(
        [("user", "{{ 7 * 7 }}{% generation %}")], prompt=False
    )
    assert "{{ 7 * 7 }}{% generation %}" in rendered.text


def test_native_calls_that_eat_time_or_memory_end_with_the_child(tmp_path: Path) -> None:
    folder = tiny.write_tokenizer(
        tmp_path / "m",
        tiny.byte_tokenizer(["<unk>", "<|im_start|>", "<|im_end|>"]),
        eos_token="<|im_end|>",
    )
    for source, code in (
        ("{{ 'a'|center(10**11) }}", "template_over_budget"),
        ("{{ ('ab ' * 3000000)|wordwrap(1)|length }}", "codec_stopped"),
    ):
        (folder / "chat_template.jinja").write_text(source)
        started = time.monotonic()
        with pytest.raises(BadInput) as refusal:
            try_codec(folder, cpu_seconds=2)
        assert refusal.value.code == code
        assert time.monotonic() - started < 60


def test_the_room_brings_no_heavy_library() -> None:
    code = (
        "import sys, workbench.models.shelf, workbench.models.inspection;"
        "bad = {'torch','transformers','peft','numpy'} & set(sys.modules); assert not bad, bad"
    )
    subprocess.run([sys.executable, "-I", "-c", code], check=True)
    code = (
        "import sys, workbench.models.codec, workbench.models.facts;"
        "bad = {'torch','transformers','duckdb','pyarrow','cryptography'} & set(sys.modules);"
        "assert not bad, bad"
    )
    subprocess.run([sys.executable, "-I", "-c", code], check=True)
