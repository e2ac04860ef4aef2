"""The moments of a training step that can be its fullest, in bytes beyond what always stays.

Read off the operations of transformers 5.23, peft 0.21 and our own loss, and tested against the
tracer of the engine. Notation: h hidden size, i MLP width, q and kv: heads x head size, s context,
H heads, V vocabulary, M tokens of a micro-batch, P trained parameters, L layers, n recomputed ones.
The FIRST n layers are recomputed: when the backward pass reaches them, what the others kept is
gone.

This is how plain adapters train, by fused nodes (`workbench.engine.fused`, `norms`);
`workbench.planning.replay` has the other ways.

What one token leaves in one layer for the backward pass (`kept_per_token`), in 16-bit arithmetic:

- each norm its input, 2h, which a recomputed layer has to keep anyway, and one number, 4; those
  before linears their output, 2h, which all linears of a group share: `8h + 8` with two norms,
  `12h + 16` with Gemma's four;
- attention its queries and output, 4q, and keys and values, 4kv; an attention mask has them
  repeated to all heads, 4q instead (a single one serves all as it is), and stands beside them,
  2s (`use_gqa_in_sdpa` and `repeat_kv` in transformers' sdpa_attention.py); 4H for
  the sums of its softmax. Norms of queries and keys: their inputs, 2(q + kv), and 4 for each head;
- Gemma 2 bounds the scores, which no fused kernel does: instead of mask and sums, all scores are
  kept as tanh, softmax (32 bit) and weights, 8Hs;
- Phi-3 cuts queries, keys and values out of one tensor. Where the values are not repeated to all
  heads, the whole tensor stays for them, 2(q + 2kv) less 2kv; without a mask, the output stands
  there twice, 2q more;
- on a processor attention goes record by record (`workbench.engine.attention`): queries and output
  are rearranged, so the output stands there twice, 2q more, and one mask of a record's square
  serves all; in records of up to 256 tokens the scores are kept instead, in 32 bit and as weights,
  6H for each token of one;
- the MLP gate and up: 4i. Adapters leave nothing.

The moments:

1. The loss: all that layers kept; the last norm, counted positions and their gradient, `8h`; rotary
   tables, 4d; logits of a chunk: `12V` a token (the chunk before stands until the next is made:
   32-bit logits twice, 16-bit slope and logits), 10V if there is one chunk only, 16V where they are
   bounded.
2. The start of the backward pass: the last norm's, `16h`.
3. The backward pass of a layer: what it kept, and of its MLP activation and product, then the
   activation and the product's gradient beside the unpacked matrix, `2h + 4i`; then both gradients
   and the input's, `4h + 4i`, beside the next matrix; or a norm's, `16h`.
4. Gemma 2: the backward pass of its attention: `14Hs + 6q + 8h`.
5. The end of the forward pass: a recomputed layer at work holds `6i + 6h`, any other `2i + 6h`
   besides what it keeps, and the unpacked matrix.
6. The update: all gradients, 4P.

In (3) and (4) the gradients of the layers above are there, 4P/L each; the fullest of these is at
one end of the recomputed or of the other layers, because everything changes by the same amount from
a layer to the next. Masks in one byte a pair stay from the first recomputed layer's forward pass to
its backward pass; Gemma has two kinds (Gemma 2: two bytes a pair). The first layer's first norm
keeps nothing: its input wants no gradient.

With offload (`workbench.engine.waiting`) two inputs of recomputed layers, 2h each, are on the
device instead of all; at the end of the forward pass the embeddings as well, which transformers
holds. In the backward pass it is the input of the layer below only: that of the layer at work goes
as soon as it was used.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from workbench.models.facts import ModelFacts

# Up to this length attention on a processor multiplies without torch's fused kernel.
EXPLICIT_TOKENS = 256
# Two more norms than Llama's, whose outputs go into the residual stream.
_SANDWICH = ("gemma2", "gemma3_text")
_EAGER = "gemma2"
# Every layer attends to all that came before, so that no mask is kept for long records.
_WHOLE = ("llama", "qwen2", "qwen3")
_FUSED = "phi3"
# Inputs that offload leaves on the device: `ON_DEVICE` in `workbench.engine.waiting`.
ON_DEVICE = 2


@dataclass(frozen=True)
class Moment:
    """Bytes beyond weights, adapters and the optimizer's moments."""

    activations: int
    logits: int = 0
    workspace: int = 0
    gradients: int = 0

    @property
    def total(self) -> int:
        return self.activations + self.logits + self.workspace + self.gradients


@dataclass(frozen=True)
class Step:
    """What the moments follow from.

    Attributes:
        tokens: M, of `rows` rows of `context` tokens.
        recomputed: n.
        left_out: Bytes that a token leaves less in one layer where linears have no adapter.
        trained: P.
        unpacked: Bytes that one weight of a linear takes while that is unpacked; 0 if it never is.
        masked: Whether attention gets a mask.
        record: Tokens of a record where attention goes record by record, as on a processor;
            0 where it takes whole rows.
        chunk: Tokens that the loss works on at a time.
        wide: Bytes of an activation by those of 16 bit.
        offload: Whether the inputs of recomputed layers wait in main memory.
    """

    facts: ModelFacts
    context: int
    rows: int
    recomputed: int
    left_out: int
    trained: int
    unpacked: float
    masked: bool
    record: int
    chunk: int
    wide: float = 1.0
    offload: bool = False

    @property
    def tokens(self) -> int:
        return self.context * self.rows

    def fullest(self) -> Moment:
        """Return the moment that needs most."""
        return max(self.moments(), key=lambda moment: moment.total)

    def moments(self) -> Iterator[Moment]:
        """Yield all of them, by the numbers above."""
        facts, hidden, every = self.facts, self.facts.hidden, self.kept_by_all()
        tables = (8 if facts.family == "gemma3_text" else 4) * facts.head_dim + 36
        masks = mask_bytes(facts, self.masked, self.recomputed, self.context, self.tokens)
        stays = every + self._bytes(tables)
        logits = logit_bytes(facts, self.tokens, self.chunk)
        yield Moment(stays + self._bytes(8 * hidden), logits, masks)
        yield Moment(stays + self._bytes(16 * hidden), 0, masks)
        for layer in {0, 1, self.recomputed - 1, self.recomputed, facts.layers - 1}:
            if 0 <= layer < facts.layers:
                yield from self._backward(layer, tables, masks)
        at_work = 6 * hidden + (2 if self.recomputed < facts.layers else 6) * facts.mlp
        if self.offload and self.recomputed > ON_DEVICE:
            at_work += 2 * hidden
        yield Moment(stays + self._bytes(at_work), 0, masks + self._matrix("down_proj"))
        yield Moment(self._bytes(tables), 0, 0, 4 * self.trained)

    def _backward(self, layer: int, tables: int, masks: int) -> Iterator[Moment]:
        """Yield what the backward pass of one layer needs at most: (3) and (4)."""
        facts = self.facts
        hidden = facts.hidden
        below = self._bytes(tables) + self.kept_below(layer)
        if layer < self.recomputed:
            # The layer's input, which its norm keeps as well if it wants a gradient.
            known = self.offload or layer > 0
            below += 0 if known else self._bytes(2 * hidden)
        else:
            masks = masks if self.recomputed else 0
        gradients = 4 * self.trained * (facts.layers - 1 - layer) // facts.layers
        own = self.kept_by_layer(layer)
        for width, unpacked in self._widths():
            yield Moment(below + own + self._bytes(width), 0, masks + unpacked, gradients)
        if facts.family == _EAGER:
            scores = 14 * facts.heads * self.context
            queries = 6 * facts.heads * facts.head_dim
            width = scores + queries + 8 * hidden
            yield Moment(below + self._bytes(width), 0, masks, gradients)

    def _widths(self) -> Iterator[tuple[int, int]]:
        """Yield what a token and an unpacked matrix take in a layer's backward pass: (3)."""
        hidden, mlp = self.facts.hidden, self.facts.mlp
        entry = "gate_up_proj" if self.facts.family == _FUSED else "gate_proj"
        yield 2 * hidden + 4 * mlp, self._matrix("down_proj")
        yield 4 * hidden + 4 * mlp, self._matrix(entry)
        yield 16 * hidden, 0

    def kept_by_all(self) -> int:
        """Bytes that all layers keep until the backward pass."""
        return self.kept_below(self.facts.layers)

    def kept_below(self, layer: int) -> int:
        """Bytes that the layers before number `layer` keep."""
        recomputed = min(layer, self.recomputed)
        inputs = recomputed
        if self.offload:
            inputs = min(inputs, ON_DEVICE if layer >= self.recomputed else 1)
        kept = self._bytes(2 * self.facts.hidden) * inputs
        if layer > recomputed:
            kept += self.kept_by_layer(recomputed)
            kept += self.kept_by_layer(1) * (layer - recomputed - 1)
        return kept

    def kept_by_layer(self, layer: int) -> int:
        """Bytes that one layer keeps when it is not recomputed, or has just been."""
        per_token = kept_per_token(self.facts, self.context, self.masked, self.record)
        per_token -= self.left_out
        if layer == 0:
            per_token -= 2 * self.facts.hidden
        kept = self._bytes(per_token)
        if self.record > EXPLICIT_TOKENS and self.facts.family not in _WHOLE:
            kept += int(self.wide * 2 * self.record**2)
        return kept

    def _matrix(self, name: str) -> int:
        """Bytes that unpacking one linear takes."""
        linears = self.facts.linears
        return int(self.unpacked * sum(e.inputs * e.outputs for e in linears if e.name == name))

    def _bytes(self, per_token: int) -> int:
        return int(self.wide * per_token * self.tokens)


def kept_per_token(facts: ModelFacts, context: int, masked: bool, record: int = 0) -> int:
    """Return the bytes that one token leaves in one layer, adapters left out, in 16 bit."""
    queries, keys = facts.heads * facts.head_dim, facts.kv_heads * facts.head_dim
    norms = 4 if facts.family in _SANDWICH else 2
    kept = norms * (2 * facts.hidden + 4) + 4 * facts.hidden + 4 * facts.mlp
    repeated = record > 0 or (masked and facts.kv_heads > 1)
    kept += 4 * queries + (4 * queries if repeated else 4 * keys)
    if facts.qk_norm:
        kept += 2 * (queries + keys) + 4 * (facts.heads + facts.kv_heads)
    if facts.family == _EAGER:
        return kept + 8 * facts.heads * context
    if record > EXPLICIT_TOKENS:
        return kept + 2 * queries + 4 * facts.heads
    if record:
        return kept + 6 * facts.heads * record
    if facts.family == _FUSED:
        kept += 0 if masked else 2 * queries
        kept += 0 if masked and facts.kv_heads < facts.heads else 2 * queries + 2 * keys
    return kept + 4 * facts.heads + (2 * context if masked else 0)


def logit_bytes(facts: ModelFacts, tokens: int, chunk: int) -> int:
    """Return the bytes of a chunk's logits at the loss: (1)."""
    copies = 16 if facts.family == _EAGER else 12 if tokens > chunk else 10
    return copies * facts.vocab * min(tokens, chunk)


def mask_bytes(facts: ModelFacts, masked: bool, recomputed: int, context: int, tokens: int) -> int:
    """Return the bytes of the masks that recomputed layers wait with."""
    if not masked or not recomputed:
        return 0
    kinds = 2 if facts.family in _SANDWICH and recomputed > 1 else 1
    return kinds * (2 if facts.family == _EAGER else 1) * context * tokens
