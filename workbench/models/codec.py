"""From conversations to token ids and back, without torch and without transformers.

The ids of a conversation are those of `apply_chat_template(tokenize=True)`: the template writes
the BOS token where it wants one, so the tokenizer adds none of its own (or it would stand twice).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from workbench.errors import BadInput
from workbench.models.selection import SelectedTemplate, select_template
from workbench.models.templates import ChatTemplate, Message
from workbench.models.tokenizing import LoadedTokenizer, load_tokenizer

_PROBE = "Zebra crossing 7"


@dataclass(frozen=True)
class Encoded:
    """One record as the model sees it.

    Attributes:
        ids: Token ids, n of them.
        counted: n flags: the loss counts this token.
        text: What was encoded.
        ended: Whether each counted stretch ends with an end token; a record where it does not
            would teach the model to run on.
        offsets: n character ranges (start, end) of `text`; empty ones for tokens put around it.
    """

    ids: list[int]
    counted: list[bool]
    text: str
    ended: bool
    offsets: Sequence[tuple[int, int]] = ()


class TextCodec:
    """The tokenizer and the chat template of one model's folder; safe to share by threads.

    Attributes:
        eos_ids: Ids that end an answer: those of the configuration and the template's own
            end-of-turn token.
        end_id: The one that plain text and the chosen templates end with.
        pad_id: Id to fill batches with.
        template: Source, origin and SHA-256 of the chat template.
        folds_system: The template knows no system role; system text goes before the first user
            turn's, separated by an empty line.
    """

    def __init__(self, tokenizer: LoadedTokenizer, selected: SelectedTemplate) -> None:
        self._tokenizer = tokenizer
        self.template = selected
        self._chat = ChatTemplate(selected.source, tokenizer.names)
        self.folds_system = self._refuses_system()
        self._turn_end = self._find_turn_end()
        ends = set(tokenizer.end_ids)
        if self._turn_end is not None:
            ends.add(self._id(self._turn_end))
        if not ends:
            raise BadInput(
                "The model names no end token, so its answers could never end.",
                hint="Set eos_token in tokenizer_config.json.",
                code="tokenizer_broken",
            )
        self.eos_ids = frozenset(ends)
        eos = tokenizer.names.get("eos_token")
        self.end_id = self._id(eos) if eos is not None else min(ends)
        self.pad_id = tokenizer.pad_id

    @classmethod
    def open(cls, model_folder: Path) -> TextCodec:
        """Read the codec of a model's folder.

        Raises:
            BadInput: Tokenizer or template are missing or broken.
        """
        tokenizer = load_tokenizer(model_folder)
        return cls(tokenizer, select_template(model_folder, tokenizer))

    @property
    def tokenizer(self) -> LoadedTokenizer:
        """The tokenizer with its special tokens."""
        return self._tokenizer

    @property
    def template_hash(self) -> str:
        """SHA-256 (hex) of the chat template."""
        return self.template.sha256

    @property
    def marks_answers(self) -> bool:
        """Whether the template itself marks what the assistant says."""
        return self._chat.marks_answers

    @property
    def vocabulary_size(self) -> int:
        """One more than the largest id."""
        ids = self._tokenizer.engine.get_vocab(with_added_tokens=True).values()
        return max(ids, default=-1) + 1

    def encode_chat(self, messages: Sequence[Message]) -> Encoded:
        """Encode a conversation of (role, content) pairs for training.

        Counted are the assistant's tokens, the end token of each answer included.

        Raises:
            BadInput: `template_refused_record`, `template_not_prefix_stable`,
                `template_over_budget` or `bad_text`.
        """
        chat = self._folded(messages)
        rendered = self._chat.render(chat, prompt=False)
        spans: Sequence[tuple[int, int]] = rendered.spans
        if self._chat.marks_answers:
            spans = [(start, self._past_turn_end(rendered.text, end)) for start, end in spans]
        else:
            spans = self._answer_spans(chat, rendered.text)
        encoding = self._tokenizer.encode(rendered.text, add_special=False)
        offsets = encoding.offsets
        counted = _overlapping(offsets, spans)
        ids = list(encoding.ids)
        return Encoded(ids, counted, rendered.text, self._ended(ids, counted), offsets)

    def encode_prompt(self, messages: Sequence[Message]) -> list[int]:
        """Encode a conversation with what asks for the next answer appended.

        Raises:
            BadInput: As `encode_chat`.
        """
        rendered = self._chat.render(self._folded(messages), prompt=True)
        return list(self._tokenizer.encode(rendered.text, add_special=False).ids)

    def encode_text(self, text: str) -> Encoded:
        """Encode plain text: BOS where the model wants one, EOS at the end, all but BOS counted.

        Raises:
            BadInput: The text cannot be encoded (code `bad_text`).
        """
        encoding = self._tokenizer.encode(text, add_special=False)
        ids, offsets = list(encoding.ids), list(encoding.offsets)
        counted = [True] * len(ids)
        bos = self._tokenizer.names.get("bos_token")
        if self._tokenizer.adds_bos and bos is not None:
            ids.insert(0, self._id(bos))
            counted.insert(0, False)
            offsets.insert(0, (0, 0))
        end = (len(text), len(text))
        return Encoded([*ids, self.end_id], [*counted, True], text, True, [*offsets, end])

    def cut(self, encoded: Encoded) -> list[tuple[str, bool]]:
        """Return what was encoded, cut where counting begins or ends: (text, counted).

        The pieces make up the whole text, with the tokens that were put around it.
        """
        pieces: list[tuple[str, bool]] = []
        first = done = 0
        for counted, run in groupby(encoded.counted):
            last = first + len(list(run))
            end = encoded.offsets[last][0] if last < len(encoded.ids) else len(encoded.text)
            piece = encoded.text[done : max(done, end)]
            done = max(done, end)
            before, after = self._around(encoded, first), self._around(encoded, last - 1)
            if last - first == 1 and before:  # a token of its own, put before or after the text
                after = ""
            pieces.append((before + piece + after, counted))
            first = last
        return pieces

    def _around(self, encoded: Encoded, place: int) -> str:
        """Return the text of a token that was put around what was encoded, else nothing."""
        start, end = encoded.offsets[place]
        token: str | None = self._tokenizer.engine.id_to_token(encoded.ids[place])
        return token if start == end and token in self._tokenizer.added else ""

    def decode(self, ids: Sequence[int], skip_special: bool = True) -> str:
        """Return the text of token ids; ids outside the vocabulary are left out."""
        text: str = self._tokenizer.engine.decode(list(ids), skip_special_tokens=skip_special)
        return text

    def _id(self, token: str) -> int:
        number: int | None = self._tokenizer.engine.token_to_id(token)
        if number is None:
            raise BadInput(
                "The tokenizer does not know one of its special tokens.", code="tokenizer_broken"
            )
        return number

    def _refuses_system(self) -> bool:
        turns = [("user", "Hello"), ("assistant", "Hello")]
        self._chat.render(turns, prompt=False)
        try:
            shown = self._chat.render([("system", _PROBE), *turns], prompt=False)
        except BadInput as error:
            if error.code != "template_refused_record":
                raise
            return True
        # Some templates drop the system turn in silence, which would lose the instruction.
        return _PROBE not in shown.text

    def _folded(self, messages: Sequence[Message]) -> list[Message]:
        chat = list(messages)
        if not self.folds_system or not chat or chat[0][0] != "system":
            return chat
        system = chat.pop(0)[1]
        if chat and chat[0][0] == "user":
            return [("user", f"{system}\n\n{chat[0][1]}"), *chat[1:]]
        return [("user", system), *chat]

    def _find_turn_end(self) -> str | None:
        """The token that closes an answer, learnt from how one is rendered."""
        turns = [("user", "Hello"), ("assistant", _PROBE)]
        text = self._chat.render(turns, prompt=False).text
        place = text.rfind(_PROBE)
        if place < 0:
            raise BadInput(
                "The chat template does not show the assistant's answer.", code="bad_chat_template"
            )
        tail = text[place + len(_PROBE) :].lstrip()
        starts = [token for token in self._tokenizer.added if token and tail.startswith(token)]
        return max(starts, key=len, default=None)

    def _answer_spans(self, chat: Sequence[Message], text: str) -> list[tuple[int, int]]:
        """Find each answer as what follows the prompt that asks for it.

        The conversation before an answer, with the generation prompt, must be how the whole
        begins. What the template puts between prompt and answer (an empty thinking block) is
        counted: at inference the model has to write it. Then comes the content itself, which
        templates may strip, and the end-of-turn token.
        """
        spans = []
        for number, (role, content) in enumerate(chat):
            if role != "assistant":
                continue
            prompt = self._chat.render(chat[:number], prompt=True).text
            if not text.startswith(prompt):
                raise _unstable()
            body = content.strip()
            place = text.find(body, len(prompt))
            if place < 0:
                raise _unstable()
            spans.append((len(prompt), self._past_turn_end(text, place + len(body))))
        return spans

    def _past_turn_end(self, text: str, end: int) -> int:
        """Move `end` past the end-of-turn token where that follows, white space between."""
        if self._turn_end is None or text.endswith(self._turn_end, 0, end):
            return end
        place = end
        while place < len(text) and text[place].isspace():
            place += 1
        return place + len(self._turn_end) if text.startswith(self._turn_end, place) else end

    def _ended(self, ids: Sequence[int], counted: Sequence[bool]) -> bool:
        """Every counted stretch's last token is an end token, and there is one at least."""
        lasts = [
            ids[n]
            for n, flag in enumerate(counted)
            if flag and (n + 1 == len(counted) or not counted[n + 1])
        ]
        return bool(lasts) and all(last in self.eos_ids for last in lasts)


def _unstable() -> BadInput:
    return BadInput(
        "The chat template rewrites earlier turns, so it cannot be told which text is the answer.",
        hint="Split the conversation into single exchanges, or put {% generation %} markers "
        "around the answer in a copy of the model's chat_template.jinja.",
        code="template_not_prefix_stable",
    )


def _overlapping(
    offsets: Sequence[tuple[int, int]], spans: Sequence[tuple[int, int]]
) -> list[bool]:
    """Flag each token that has a character in a span; both are in the text's order.

    A token without characters of its own (white space that the offsets leave out) counts by its
    place.
    """
    flags = []
    waiting = iter(spans)
    span = next(waiting, None)
    for first, last in offsets:
        while span is not None and span[1] <= first:
            span = next(waiting, None)
        flags.append(span is not None and (last > span[0] or first >= span[0]))
    return flags
