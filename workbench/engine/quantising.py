"""NF4 with double quantisation that gives the same bits on every device and number of threads.

An adapter is bound to the bits of its base, so whoever quantises has to arrive at the same ones.
bitsandbytes' own quantiser does not: it subtracts the mean of a layer's scales as the device adds
them up (in an order that depends on the device and on the threads), each device's kernel chooses
in its own way between two levels that are nearly as near, and the last bits of its table of 8-bit
levels follow the processor's instruction set. `reproducible` puts the quantiser below in its place
while a model is loaded; what comes out is the same format, read by bitsandbytes' kernels. It uses
only operations whose result IEEE 754 prescribes (maxima, subtractions, divisions, comparisons) and
a sum that is exact.

The formats: "QLoRA: Efficient Finetuning of Quantized LLMs" (arXiv 2305.14314, section 3) and
"8-bit Optimizers via Block-wise Quantization" (arXiv 2110.02861, section 2.1).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

import bitsandbytes
import numpy as np
import torch
from bitsandbytes.functional import QuantState, get_4bit_type
from torch import Tensor

# Scales that share one nested scale: what bitsandbytes' fused kernels expect.
SCALES = 256
# Weights that are widened to float32 at a time: 16 MiB a temporary, whatever the layer's size.
# A multiple of every block size.
_CHUNK = 1 << 22
# A block of zeros is divided by this instead of by zero.
_SMALLEST = torch.finfo(torch.float32).tiny


@contextmanager
def reproducible() -> Iterator[None]:
    """Let bitsandbytes quantise to 4 bits by `quantise` within the block."""
    own = bitsandbytes.functional.quantize_4bit
    bitsandbytes.functional.quantize_4bit = quantise
    try:
        yield
    finally:
        bitsandbytes.functional.quantize_4bit = own


def quantise(
    weight: Tensor,
    blocksize: int = 64,
    compress_statistics: bool = True,
    quant_type: str = "nf4",
    quant_storage: torch.dtype = torch.uint8,
) -> tuple[Tensor, QuantState]:
    """Quantise a weight; the arguments and results are those of bitsandbytes' `quantize_4bit`.

    Args:
        weight: Of any shape, in bfloat16, float16 or float32, on any device.

    Returns:
        Two codes a byte, of shape [(weights + 1) // 2, 1], the first in the upper half; and what
        they mean, with scales of 8 bits.

    Raises:
        ValueError: Another format than doubly quantised NF4 in bytes is asked for.
    """
    if (quant_type, compress_statistics, quant_storage) != ("nf4", True, torch.uint8):
        raise ValueError("only doubly quantised NF4 in bytes is implemented")
    levels = get_4bit_type("nf4", device=weight.device)
    packed, scales = [], []
    for part in torch.split(weight.detach().reshape(-1), _CHUNK):
        codes, absmax = _nearest(part.float(), blocksize, levels)
        codes = codes[: len(part) + len(part) % 2]
        packed.append((codes[::2] << 4) | codes[1::2])
        scales.append(absmax)
    absmax = torch.cat(scales)
    offset = _mean(absmax)
    byte_levels = _byte_levels().to(weight.device)
    quantised, nested = _nearest(absmax - offset, SCALES, byte_levels)
    state = QuantState(
        absmax=quantised[: len(absmax)],
        shape=weight.shape,
        dtype=weight.dtype,
        blocksize=blocksize,
        code=levels,
        quant_type="nf4",
        offset=offset,
        state2=QuantState(absmax=nested, code=byte_levels, blocksize=SCALES, dtype=torch.float32),
    )
    return torch.cat(packed).unsqueeze(1), state


def _mean(scales: Tensor) -> Tensor:
    """Return the mean of the scales, summed in float64 and rounded to float32 at the end.

    Scales are magnitudes of bfloat16 numbers, of 8 significant bits. Their sum in float64 is exact
    in any order while the largest of n is below 2**(45 - log2(n)) times the smallest: 2**25 times
    in a matrix of 64 million weights. Beyond that, an order can matter only if the mean lies within
    float64's rounding of the middle between two float32 numbers.
    """
    return scales.double().mean().float()


def _nearest(values: Tensor, block: int, levels: Tensor) -> tuple[Tensor, Tensor]:
    """Return the values' nearest levels (their numbers, in whole blocks) and the blocks' scales.

    Args:
        values: Of shape [n], float32; every `block` of them are divided by their largest magnitude.
            Zeros fill the last block.
        levels: Ascending, from -1 to 1, float32. Exactly between two, the lower one is taken.
    """
    rows = torch.nn.functional.pad(values, (0, -len(values) % block)).view(-1, block)
    scales = rows.abs().amax(dim=1)
    shares = rows / scales.clamp(min=_SMALLEST)[:, None]
    middles = (levels[1:] + levels[:-1]) / 2
    numbers = torch.bucketize(shares, middles, out_int32=True)
    return numbers.to(torch.uint8).view(-1), scales


@lru_cache(maxsize=1)
def _byte_levels() -> Tensor:
    """Return the 256 levels of the signed dynamic 8-bit type, ascending, on the CPU.

    They equal bitsandbytes' `create_dynamic_map` bit for bit where torch computes that with fused
    multiply-adds (x86 with AVX2); numpy's float64 stands in for those on every processor.
    """
    single = np.float32
    found: list[np.ndarray] = [np.array([0.0, 1.0], single)]
    for exponent in range(7):
        steps = 2**exponent
        step = float(single(single(1.0) - single(0.1)) / single(steps))
        count = np.arange(steps + 1)
        rising, falling = float(single(0.1)) + step * count, 1.0 - step * (steps - count)
        edges = np.where(count < (steps + 1) // 2, rising, falling).astype(single)
        means = (edges[:-1] + edges[1:]) / single(2)
        scaled = single(10.0 ** (exponent - 6)) * means
        found += [scaled, -scaled]
    return torch.from_numpy(np.sort(np.concatenate(found)))
