"""The sandbox that chat templates run in: that of transformers, on a budget of steps and output.

The additions over jinja2's own sandbox are those of transformers 5.23
(`utils/chat_template_utils.py`), so that both render the same text.
"""

from __future__ import annotations

import datetime
import json
import re
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import jinja2
import jinja2.ext
import jinja2.nodes
import jinja2.parser
import jinja2.runtime
import jinja2.utils
from jinja2.sandbox import ImmutableSandboxedEnvironment

from workbench.errors import BadInput

_STEPS = 500_000
_CPU_SECONDS = 20.0
_LARGEST_VALUE = 1 << 24
_LARGEST_EXPONENT = 64
_SIZED = (str, list, tuple)
# Field widths such as %999999999d make gigabytes from one character.
_WIDE_FIELD = re.compile(r"%[^a-zA-Z%]*(\d{4,}|\*)")


class OverBudget(jinja2.TemplateError):
    """The template used up its steps, its CPU time or its output."""


class Raised(jinja2.TemplateError):
    """The template itself called `raise_exception`: this conversation does not suit it."""


@dataclass(frozen=True)
class Rendered:
    """A rendered conversation.

    Attributes:
        text: What the tokenizer gets.
        spans: Character ranges (start, end) of `text` inside `{% generation %}` blocks, in order.
    """

    text: str
    spans: tuple[tuple[int, int], ...]


class Budget:
    """What one rendering has used and written so far."""

    def __init__(self, output: int) -> None:
        self._steps = _STEPS
        self._deadline = time.thread_time() + _CPU_SECONDS
        self._room = output
        self._blocks: list[str] = []
        self._written = 0
        self._marked: list[tuple[int, str]] = []

    def spend(self, steps: int = 1) -> None:
        before = self._steps
        self._steps -= steps
        if self._steps < 0:
            raise OverBudget("steps")
        if before >> 10 != self._steps >> 10 and time.thread_time() > self._deadline:
            raise OverBudget("time")

    def emit(self, block: str) -> None:
        self.spend()
        self._written += len(block)
        if self._written > self._room:
            raise OverBudget("output")
        self._blocks.append(block)

    def mark(self, body: str) -> None:
        self._marked.append((self._written, body))

    def rendered(self) -> Rendered:
        text = "".join(self._blocks)
        spans = []
        for start, body in self._marked:
            # Inside a macro or a captured block the text is not out yet and the place is wrong.
            if text[start : start + len(body)] != body:
                raise BadInput(
                    "The chat template marks answers where their place cannot be told.",
                    hint="Move {% generation %} out of macros and {% set %} blocks.",
                    code="bad_chat_template",
                )
            if body:
                spans.append((start, start + len(body)))
        return Rendered(text, tuple(spans))


class _Generation(jinja2.ext.Extension):
    """`{% generation %}…{% endgeneration %}`: marks what the assistant says."""

    tags = {"generation"}  # noqa: RUF012 - jinja2 reads this class attribute

    def parse(self, parser: jinja2.parser.Parser) -> jinja2.nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        call = self.call_method("_mark")
        return jinja2.nodes.CallBlock(call, [], [], body).set_lineno(line)

    def _mark(self, caller: Callable[[], str]) -> str:
        body = caller()
        environment = self.environment
        if isinstance(environment, SandboxedTemplates):
            environment.budget.mark(body)
        return body


class _Namespace(jinja2.utils.Namespace):
    """A namespace that takes no name with a leading underscore."""

    def __init__(*args: object, **kwargs: object) -> None:
        self, *rest = args
        fields = dict(*rest, **kwargs)
        for name in fields:
            _check_name(name)
        jinja2.utils.Namespace.__init__(self, fields)

    def __setitem__(self, name: str, value: object) -> None:
        _check_name(name)
        super().__setitem__(name, value)


def _check_name(name: object) -> None:
    if isinstance(name, str) and name.startswith("_"):
        raise jinja2.exceptions.SecurityError("underscore names are not allowed on a namespace")


class _Dict:
    """`dict` for templates: callable, without the class's own attributes."""

    def __call__(self, *args: object, **kwargs: object) -> Any:
        return dict(*args, **kwargs)

    def fromkeys(self, keys: Iterable[object], value: object = None) -> Any:
        return dict.fromkeys(keys, value)


def _raise_exception(message: object) -> None:
    raise Raised(str(message)[:200])


def _strftime_now(form: str) -> str:
    return datetime.datetime.now().strftime(form)


def _tojson(
    value: object,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    # jinja2's own filter escapes HTML characters, which a prompt must not have.
    return json.dumps(
        value,
        ensure_ascii=ensure_ascii,
        indent=indent,
        separators=separators,
        sort_keys=sort_keys,
    )


class SandboxedTemplates(ImmutableSandboxedEnvironment):
    """The sandbox of transformers, with every step charged to `budget`."""

    intercepted_binops = frozenset({"*", "**", "%", "+"})

    def __init__(self) -> None:
        # optimized=False: the optimizer computes constant expressions while it compiles,
        # where no budget holds.
        super().__init__(
            trim_blocks=True,
            lstrip_blocks=True,
            optimized=False,
            extensions=[_Generation, jinja2.ext.loopcontrols],
        )
        self.budget = Budget(0)
        self.filters["tojson"] = _tojson
        self.globals |= {
            "raise_exception": _raise_exception,
            "strftime_now": _strftime_now,
            "dict": _Dict(),
            "namespace": _Namespace,
            "range": self._range,
        }
        del self.globals["lipsum"]  # random text on demand has no place in a prompt

    def _parse(self, source: str, name: str | None, filename: str | None) -> jinja2.nodes.Template:
        tree = super()._parse(source, name, filename)
        for node in list(_repeated(tree)):
            tick = jinja2.nodes.Call(jinja2.nodes.EnvironmentAttribute("tick"), [], [], None, None)
            statement = jinja2.nodes.ExprStmt(tick).set_lineno(node.lineno)
            node.body.insert(0, statement.set_environment(self))
        return tree

    def tick(self) -> None:
        """Charge one step; called at each turn of a loop and each entry of a macro."""
        self.budget.spend()

    def _range(self, *limits: int) -> range:
        numbers = range(*limits)
        self.budget.spend(len(numbers))
        return numbers

    def call(
        __self,  # noqa: N805 - as jinja2 names it, so that a template may pass `self`
        __context: jinja2.runtime.Context,
        __obj: object,
        *args: object,
        **kwargs: object,
    ) -> object:
        __self.budget.spend()
        if getattr(__obj, "__name__", "") in {"center", "ljust", "rjust", "zfill", "expandtabs"}:
            _refuse_large(*args)
        return super().call(__context, __obj, *args, **kwargs)

    def call_binop(
        self, context: jinja2.runtime.Context, operator: str, left: object, right: object
    ) -> object:
        if operator == "**":
            if not isinstance(left, int | float) or not isinstance(right, int | float):
                raise TypeError("** takes numbers")
            if abs(right) > _LARGEST_EXPONENT:
                raise OverBudget("exponent")
        elif operator == "*" and isinstance(left, _SIZED) | isinstance(right, _SIZED):
            _refuse_large(_length(left) * _length(right))
        elif operator == "+" and isinstance(left, _SIZED):
            _refuse_large(_length(left) + _length(right))
        elif isinstance(left, str) and _WIDE_FIELD.search(left):
            raise OverBudget("format")
        value: object = super().call_binop(context, operator, left, right)
        if isinstance(value, int) and value.bit_length() > 4096:
            raise OverBudget("number")
        return value


def _repeated(
    tree: jinja2.nodes.Template,
) -> Iterator[jinja2.nodes.For | jinja2.nodes.Macro | jinja2.nodes.CallBlock]:
    yield from tree.find_all(jinja2.nodes.For)
    yield from tree.find_all(jinja2.nodes.Macro)
    yield from tree.find_all(jinja2.nodes.CallBlock)


def _length(value: object) -> int:
    """How much a value weighs in a product: its length, or the number itself."""
    if isinstance(value, _SIZED):
        return len(value)
    return 1 if isinstance(value, bool | float) or not isinstance(value, int) else abs(value)


def _refuse_large(*sizes: object) -> None:
    if any(isinstance(size, int) and size > _LARGEST_VALUE for size in sizes):
        raise OverBudget("value")
