"""How much memory a training run will need, component by component, from plain arithmetic.

The formulas are those of common practice for HF models under autocast, refitted to a trace of our
own stack (torch 2.13, transformers 5.23, peft 0.21, bitsandbytes 0.50): for Llama-3.1-8B they meet
the traced peaks within 3 %. The numbers (1) to (7) below are referred to in the code.

1. NF4 with double quantisation keeps NK/2 bytes of codes, one byte of scale for each 64 weights
   and one 4-byte constant for each 256 scales, and about 1.5 KB of tables a linear.
2. Everything else (embeddings, output layer, norms, biases) stays in 16 bit. Nothing is cast to
   32 bit, which peft's `prepare_model_for_kbit_training` would do.
3. Adapters and their gradients are 32-bit: 4P each; AdamW 8P, with 8-bit moments 2.03P.
4. a, the bytes that one token leaves in one layer for the backward pass:
   `12h + 4q + 4kv + 8i + 2r a target + 4 heads + 8`; with an attention mask the keys and values are
   repeated to all heads, so 4kv becomes 4q, and the mask is kept as 2 bytes a pair. Where peft
   casts the inputs of adapters to 32 bit and autocast casts them back, which it does for plain
   LoRA and, on the processor, for 4-bit layers, each adapter keeps a copy of its own. A layer also
   keeps the bf16 copies of its adapter weights, 2P/L.
5. Logits: 12V a token of the chunk that the loss works on (three 32-bit copies; one more where
   they are soft-capped), and the gradient of the hidden states, 2h a token.
6. The fullest moment is either the loss, with all that the layers kept, or the backward pass
   through a recomputed layer, with only the layers below it. The FIRST k layers are the recomputed
   ones: when the backward pass reaches them, what the others kept is gone. The last layer is the
   one least worth it: it is at work at the fullest moment anyway.
7. On the device stand, besides, fragmentation of the allocator, the CUDA context, cuBLAS.

h: hidden size, i: MLP width, q and kv: heads x head size, V: vocabulary, M: tokens of a
micro-batch, r: rank, P: trained parameters, L: layers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal

from workbench.errors import UsageError
from workbench.models.facts import LinearShape, ModelFacts

Method = Literal["qlora", "lora", "full"]
Device = Literal["cuda", "cpu"]

MIB = 1 << 20

# The loss is computed over this many tokens at a time, so the logits of more never exist.
# Large enough to keep a GPU busy while it reads the output layer, small enough to be 0.75 GiB for
# a vocabulary of 128k.
LOGIT_CHUNK_TOKENS = 512

# Share of the peak that the allocator holds but cannot use; published fits lie between 2 and 8 %
# with expandable segments.
FRAGMENTATION = 0.05
# What `cudaMemGetInfo` misses after the first kernel; 0.3 to 0.6 GB by driver and device.
CUDA_CONTEXT = 512 * MIB
# cuBLAS workspace on Hopper; 8 MiB on earlier devices.
CUBLAS_WORKSPACE = 32 * MIB
# Resident size of an engine that trains almost nothing on the processor, libraries included.
CPU_PROCESS = 576 * MIB

_NF4_TABLES = 1536
EIGHT_BIT_MOMENTS = 2.03
# Linears that formula (4) counts with one input for all of each group.
_SHARING = (
    {"q_proj", "k_proj", "v_proj", "qkv_proj"},
    {"gate_proj", "up_proj", "gate_up_proj"},
    {"down_proj"},
)


@dataclass(frozen=True)
class Prediction:
    """What stands in memory at the fullest moment of a training step, in bytes.

    Attributes:
        weights: The base model, as it is kept.
        adapters: The trained adapter weights; 0 for full fine-tuning.
        gradients: Of whatever is trained.
        optimizer: Its moments; paged ones count in full, though they may move to main memory.
        activations: What layers keep for the backward pass, and one layer at work.
        logits: The loss at work; 0 when a layer's backward pass is the fuller moment.
        workspace: Short-lived copies of weights in computing precision, and the attention mask.
        overhead: Fragmentation and what the device or process takes before any tensor.
    """

    weights: int
    adapters: int
    gradients: int
    optimizer: int
    activations: int
    logits: int
    workspace: int
    overhead: int

    @property
    def allocated(self) -> int:
        """Bytes of tensors: everything but the overhead."""
        return (
            self.weights
            + self.adapters
            + self.gradients
            + self.optimizer
            + self.activations
            + self.logits
            + self.workspace
        )

    @property
    def total(self) -> int:
        return self.allocated + self.overhead

    def to_json(self) -> dict[str, int]:
        """Return the components and their total."""
        return {**asdict(self), "total": self.total}


def predict(
    facts: ModelFacts,
    *,
    method: Method,
    rank: int,
    context: int,
    micro_batch: int,
    recomputed_layers: int | None = None,
    optimizer: str = "paged_adamw_8bit",
    targets: str | Sequence[str] = "all-linear",
    dropout: float = 0.0,
    dora: bool = False,
    device: Device = "cuda",
    compute_bytes: int = 2,
    masked: bool = True,
    logit_chunk: int = LOGIT_CHUNK_TOKENS,
) -> Prediction:
    """Predict the peak of a training step; takes tens of microseconds.

    Args:
        context: Tokens of one row; `micro_batch` rows pass through the model together.
        recomputed_layers: How many of the first layers are recomputed; None: all of them.
        compute_bytes: Bytes of one activation: 2 for bf16, 4 where the processor lacks it.
        masked: Whether attention gets a mask, as packed or padded rows need one.
        logit_chunk: Tokens that the loss works on at a time.

    Raises:
        UsageError: `targets` names a module that the model does not have.
    """
    wide = compute_bytes / 2
    tokens = context * micro_batch
    trained = trained_parameters(facts, method=method, rank=rank, targets=targets, dora=dora)
    adapters = 0 if method == "full" else 4 * trained
    moments = 8.0 if optimizer == "adamw" else EIGHT_BIT_MOMENTS
    layer = _kept_per_token(facts, context, masked)
    if method != "full":
        layer += _kept_by_adapters(
            targeted(facts, targets),
            rank=rank,
            dropout=dropout,
            dora=dora,
            casts=compute_bytes == 2 and (method == "lora" or device == "cpu"),
            device=device,
        )
    recomputed = facts.layers if recomputed_layers is None else recomputed_layers
    activations, logits, workspace = _fullest_moment(
        facts,
        tokens=tokens,
        layer=int(wide * layer),
        weight_copies=2 * trained // facts.layers if adapters and compute_bytes == 2 else 0,
        recomputed=min(recomputed, facts.layers),
        copies=int(wide * _copied_weights(facts, method, dora)),
        logit_chunk=logit_chunk,
        wide=wide,
    )
    if method == "full" and compute_bytes == 2:
        # Autocast keeps its bf16 copies until the backward pass is through.
        workspace += 2 * facts.parameters
    if masked:  # one byte a pair as it is made, two as the attention kernel adds it
        workspace += 3 * context * context * micro_batch
    prediction = Prediction(
        weights=weight_bytes(facts, method, compute_bytes),
        adapters=adapters,
        gradients=4 * trained,
        optimizer=int(moments * trained),
        activations=activations,
        logits=logits,
        workspace=workspace,
        overhead=0,
    )
    fixed = CPU_PROCESS if device == "cpu" else CUDA_CONTEXT + CUBLAS_WORKSPACE
    overhead = int(FRAGMENTATION * prediction.allocated) + fixed
    return Prediction(**{**asdict(prediction), "overhead": overhead})


def weight_bytes(facts: ModelFacts, method: Method, compute_bytes: int = 2) -> int:
    """Return the bytes of the base model in memory: formulas (1) and (2).

    `lora` keeps it in computing precision, `full` in 32 bit, cast to bf16 as it is used.
    """
    if method == "full":
        return 4 * facts.parameters
    if method == "lora":
        return compute_bytes * facts.parameters
    linear = facts.layers * sum(each.inputs * each.outputs for each in facts.linears)
    packed = facts.layers * sum(_nf4_bytes(each) for each in facts.linears)
    return packed + compute_bytes * (facts.parameters - linear)


def trained_parameters(
    facts: ModelFacts,
    *,
    method: Method,
    rank: int,
    targets: str | Sequence[str] = "all-linear",
    dora: bool = False,
) -> int:
    """Return P, the number of trained parameters: all of them for `full`."""
    if method == "full":
        return facts.parameters
    chosen = targeted(facts, targets)
    each = sum(rank * (linear.inputs + linear.outputs) for linear in chosen)
    sizes = sum(linear.outputs for linear in chosen) if dora else 0
    return facts.layers * (each + sizes)


def targeted(facts: ModelFacts, targets: str | Sequence[str]) -> tuple[LinearShape, ...]:
    """Return the linears of one layer that get an adapter.

    Raises:
        UsageError: A name is none of this model's linears.
    """
    if targets == "all-linear":
        return facts.linears
    asked = (targets,) if isinstance(targets, str) else tuple(targets)
    names = {linear.name for linear in facts.linears}
    unknown = [name for name in asked if name not in names]
    if unknown:
        raise UsageError(
            f"targets: this model has no {', '.join(unknown)}.",
            hint=f"Its modules are {', '.join(linear.name for linear in facts.linears)}.",
            code="unknown_target",
        )
    return tuple(linear for linear in facts.linears if linear.name in asked)


def _nf4_bytes(linear: LinearShape) -> int:
    """Formula (1)."""
    count = linear.inputs * linear.outputs
    return -(-count // 2) + -(-count // 64) + 4 * -(-count // 16_384) + _NF4_TABLES


def _kept_per_token(facts: ModelFacts, context: int, masked: bool) -> int:
    """Formula (4) without adapters: bytes that one token leaves in one layer, in bf16."""
    queries, keys = facts.heads * facts.head_dim, facts.kv_heads * facts.head_dim
    kept = 12 * facts.hidden + 8 * facts.mlp + 4 * facts.heads + 8 + 4 * queries
    kept += 4 * queries + 2 * context if masked else 4 * keys
    if facts.qk_norm:
        kept += 4 * (queries + keys)
    if facts.norms > 3 * facts.hidden:  # two more norms around the MLP, a 32-bit copy each
        kept += 8 * facts.hidden
    if facts.family == "gemma2":  # soft-capped attention has no fused kernel: all pairs are kept
        kept += 8 * facts.heads * context
    return kept


def _kept_by_adapters(
    chosen: Sequence[LinearShape],
    *,
    rank: int,
    dropout: float,
    dora: bool,
    casts: bool,
    device: Device,
) -> int:
    """Formula (4), the part of the adapters."""
    inputs = sum(linear.inputs for linear in chosen)
    kept = 2 * rank * len(chosen)
    if casts:  # a copy each, where q, k, v and gate, up would have shared their input
        kept += 2 * inputs
        for group in _SHARING:
            kept -= 2 * max((each.inputs for each in chosen if each.name in group), default=0)
    if dropout > 0:
        # The mask (the processor keeps it in 32 bit); without casts the dropped input besides.
        kept += inputs * ((4 if device == "cpu" else 1) if casts else 3)
    if dora:  # output of the base and of the adapter, for the gradient of the sizes
        kept += 4 * sum(linear.outputs for linear in chosen)
    return kept


def _copied_weights(facts: ModelFacts, method: Method, dora: bool) -> int:
    """Bytes of the bf16 weights that exist only while one matrix is at work."""
    largest = max(linear.inputs * linear.outputs for linear in facts.linears)
    if method == "full":
        return 0
    # bitsandbytes unpacks one matrix at a time; DoRA adds the adapter's product and its square.
    return (2 * largest if method == "qlora" else 0) + (8 * largest if dora else 0)


def _fullest_moment(
    facts: ModelFacts,
    *,
    tokens: int,
    layer: int,
    weight_copies: int,
    recomputed: int,
    copies: int,
    logit_chunk: int,
    wide: float,
) -> tuple[int, int, int]:
    """Formula (6): activations, logits and workspace of the fuller of the two moments."""
    stream = int(2 * wide * facts.hidden)  # one token's residual stream
    chunk = min(tokens, logit_chunk)
    inputs = stream * recomputed * tokens
    one = layer * tokens + weight_copies
    kept = inputs + one * (facts.layers - recomputed)
    at_work = int(4 * wide * facts.mlp) * tokens
    copies_of_logits = 4 if facts.family == "gemma2" else 3
    logits = 4 * copies_of_logits * facts.vocab * chunk + stream * tokens
    loss = (kept + 4 * stream * tokens, logits, 0)
    moments = [loss]
    if recomputed:
        moments.append((inputs + one + at_work, 0, copies))
    if recomputed < facts.layers:
        moments.append((kept + at_work, 0, copies))
    return max(moments, key=sum)
