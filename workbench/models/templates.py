"""Chat templates rendered as transformers renders them, but on a budget.

A chat template is a program by a stranger. Three walls stand around it:

1. The sandbox of jinja2 with the additions of transformers 5.23 (`utils/chat_template_utils.py`):
   no attribute of Python's internals, no change of what is passed in.
2. At registration the template first runs in a child process of its own with limits on CPU time
   and memory (`trial.py`); only what passes there is rendered in-process later.
3. In-process, every turn of a loop, entry of a macro and call is counted, `range` costs its
   length, and sizes are checked at the operators that can make large values from small ones.
   The count is the same on every machine, needs no signal and works in any thread; the CPU
   clock of the thread stands behind it. A single filter call can still be slow or large on
   chosen input. That costs the process memory, never its safety, and wall 2 has seen the template.
"""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Sequence

import jinja2
import jinja2.exceptions

from workbench.errors import BadInput, Refused, WorkbenchError
from workbench.models.sandbox import Budget, OverBudget, Raised, Rendered, SandboxedTemplates

_SPARE_OUTPUT = 1 << 20
_MARKER = re.compile(r"\{%-?\s*generation\s*-?%\}")

Message = tuple[str, str]


class ChatTemplate:
    """One compiled template with the special tokens that it may name.

    Args:
        source: The template's text.
        tokens: Names such as `bos_token` and the text that each stands for.

    Raises:
        BadInput: The text is no template (code `bad_chat_template`).
    """

    def __init__(self, source: str, tokens: dict[str, str]) -> None:
        self.source = source
        self.sha256 = hashlib.sha256(source.encode()).hexdigest()
        self.marks_answers = _MARKER.search(source) is not None
        self._tokens = dict(tokens)
        self._lock = threading.Lock()
        self._environment = SandboxedTemplates()
        try:
            self._template = self._environment.from_string(source)
        except (jinja2.TemplateError, RecursionError, SyntaxError, ValueError) as error:
            raise BadInput(
                f"The chat template cannot be compiled ({type(error).__name__}).",
                code="bad_chat_template",
            ) from error

    def render(self, messages: Sequence[Message], *, prompt: bool) -> Rendered:
        """Render a conversation of (role, content) pairs.

        Args:
            messages: The turns, first to last.
            prompt: Append what asks for the next answer (`add_generation_prompt`).

        Raises:
            BadInput: `template_refused_record` when the template raises for this conversation,
                `template_over_budget`, or `bad_chat_template` when it fails.
            Refused: It reaches out of the sandbox (code `unsafe_template`).
        """
        chat = [{"role": role, "content": content} for role, content in messages]
        size = sum(len(content) for _, content in messages)
        with self._lock:
            budget = Budget(_SPARE_OUTPUT + 4 * size)
            self._environment.budget = budget
            try:
                for block in self._template.generate(
                    messages=chat,
                    tools=None,
                    documents=None,
                    add_generation_prompt=prompt,
                    **self._tokens,
                ):
                    budget.emit(block)
            except Exception as error:
                # A template is a stranger's program and can raise any class of error.
                raise _explained(error) from None
            finally:
                self._environment.budget = Budget(0)
        return budget.rendered()


def _explained(error: Exception) -> WorkbenchError:
    """The message of the template's own error is left out: it may quote the record."""
    if isinstance(error, Raised):
        return BadInput(
            "The model's chat template refuses this conversation.",
            hint="Its roles may have to alternate, starting with the user.",
            code="template_refused_record",
        )
    if isinstance(error, OverBudget | MemoryError | RecursionError):
        return BadInput(
            "The chat template was stopped: it runs too long or writes too much.",
            hint="Take the model's folder without its template; a plain one is chosen then.",
            code="template_over_budget",
        )
    if isinstance(error, jinja2.exceptions.SecurityError):
        return Refused(
            "The chat template reaches for what templates may not touch.",
            hint="Do not use this model; its files may have been tampered with.",
            code="unsafe_template",
        )
    return BadInput(f"The chat template failed ({type(error).__name__}).", code="bad_chat_template")
