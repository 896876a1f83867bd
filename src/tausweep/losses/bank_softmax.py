"""Softmax over a bank's similarities in two kernels of Triton: the losses' forward and gradient.

A contrastive or hard loss consists of two matrix products, which cuBLAS computes at the card's
float32 rate, and of the steps between them: the hard set, the softmax and its weights. In plain
torch these steps are about fifty kernels, each of which reads or writes all B x N similarities.
Here they are one kernel with one program per anchor. It reads the anchor's row of similarities once
for the maximum, about eight times for the threshold of a hard set, and once to overwrite it with
the weights. A second kernel turns the result of the second product into the gradient.

Every sum has a fixed order and uses no atomics, so every run gives the same bytes. Only this module
imports Triton, and only ``kernel_choice`` decides whether it is imported.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

LANES = 2048
"""Similarities of a row that a program holds at once: 16 bytes a thread."""
WARPS = 16
NOTHING = tl.constexpr(-0x80000000)
"""A key below that of any similarity."""
ALIGNMENT = 16
"""Rows of similarities begin at multiples of this, so that threads read 16 bytes at a time."""


@triton.jit
def _key(similarity):
    """Integers in the order of the floats: -inf first, -0 as 0, NaN last."""
    bits = tl.where(similarity == 0, 0.0, similarity).to(tl.int32, bitcast=True)
    key = bits ^ ((bits >> 31) & 0x7FFFFFFF)
    return tl.where(similarity == similarity, key, 0x7FFFFFFF)


@triton.jit
def _softplus(x):
    """log(1 + e^x), to float32's precision relative to itself, however small.

    log(1 + u) = 2 artanh z, z = u / (2 + u) <= 1/3: the ninth term is below 2^-27 of the first.
    """
    u = tl.exp(-tl.abs(x))
    z = u / (2 + u)
    q = z * z
    series = 1 / 13 + q * (1 / 15)
    series = 1 / 9 + q * (1 / 11 + q * series)
    series = 1 / 5 + q * (1 / 7 + q * series)
    return tl.maximum(x, 0.0) + 2 * z * (1 + q * (1 / 3 + q * series))


@triton.jit
def _sigmoid(x):
    """1 / (1 + e^-x), to float32's precision relative to itself, however small."""
    u = tl.exp(-tl.abs(x))
    return tl.where(x >= 0, 1.0, u) / (1 + u)


@triton.jit
def _threshold(row, own, size, count, LITERAL: tl.constexpr, LANES: tl.constexpr):
    """Key of the ``count``-th largest similarity of a row, and how many reach and exceed it.

    Each pass over the row fixes three bits of the key, the highest first, by counting for seven
    candidates at once. (With more candidates, counting would take longer than reading.) It ends as
    soon as exactly ``count`` similarities reach a candidate. If no two similarities are equal, this
    takes about 22 of the 32 bits.
    """
    prefix = tl.full((), -0x80000000, tl.int32)
    reaching = size - (0 if LITERAL else 1)
    exceeding = size * 0
    shift = size * 0 + 30
    while (shift >= 0) & (reaching != count):
        # Two bits at first: 32 are no multiple of three.
        digits = tl.minimum(tl.arange(0, 8), tl.where(shift == 30, 3, 7))
        # The prefix has its highest bit flipped, as keys have; its bits from here on are 0.
        candidates = prefix ^ (digits << shift)
        counts = tl.zeros((8, LANES), tl.int32)
        for start in tl.range(0, size, LANES, loop_unroll_factor=2):
            # In two dimensions from the start, which saves an exchange between threads.
            column = start + tl.arange(0, LANES)[None, :]
            inside = column < size
            if not LITERAL:
                inside = inside & (column != own)
            key = tl.where(inside, _key(tl.load(row + column, mask=inside, other=0.0)), NOTHING)
            counts += (key >= candidates[:, None]).to(tl.int32)
        found = tl.sum(counts, 1)
        # Digit 0 is the prefix itself, which enough similarities reach.
        enough = found >= count
        digit = tl.max(tl.where(enough, digits, 0), 0)
        reaching = tl.min(tl.where(enough & (digits == digit), found, reaching), 0)
        exceeding = tl.maximum(exceeding, tl.max(tl.where(enough, 0, found), 0))
        prefix = prefix ^ (digit << shift)
        shift -= 3
    return prefix, reaching, exceeding


@triton.jit(do_not_specialize=["count"], do_not_specialize_on_alignment=["index"])
def _weigh(
    similarities,
    index,
    losses,
    totals,
    factors,
    size,
    stride,
    count,
    inverse,
    scale,
    HARD: tl.constexpr,
    LITERAL: tl.constexpr,
    TEMPERED: tl.constexpr,
    WEIGHTS: tl.constexpr,
    LANES: tl.constexpr,
):
    """Compute an anchor's loss, overwrite its similarities with weights, and write their scale.

    Args:
        similarities: B x N; overwritten by the weights if WEIGHTS, which are not normalised.
        index: B columns of the positives.
        losses: B, written.
        totals: B, written: the weights' sum.
        factors: B, written: the gradient is this times (weighted mean - positive).
        size: N.
        stride: Distance from a row of similarities to the next.
        count: K, or K + 1 if LITERAL; ignored unless HARD.
        inverse: 1 / tau.
        scale: 1 / (tau ln 2).
        HARD: Whether only the ``count`` largest count.
        LITERAL: Whether the positive may be in the hard set (``literal_topk``).
        TEMPERED: Whether the weights are a softmax; otherwise they are those of a plain mean.
        WEIGHTS: Whether weights are needed, for a gradient.
        LANES: Columns that are processed at once.
    """
    anchor = tl.program_id(0)
    row = similarities + anchor.to(tl.int64) * stride
    own = tl.load(index + anchor)
    # An index outside the bank reads nothing, and the loss is NaN.
    positive = tl.load(row + own, mask=(own >= 0) & (own < size), other=float("nan"))
    # All threads have read it before one of them overwrites it.
    tl.debug_barrier()

    largest = tl.full((LANES,), float("-inf"), tl.float32)
    if TEMPERED:
        for start in tl.range(0, size, LANES, loop_unroll_factor=4):
            column = start + tl.arange(0, LANES)
            inside = column < size
            if not LITERAL:
                inside = inside & (column != own)
            largest = tl.maximum(largest, tl.load(row + column, mask=inside, other=float("-inf")))
    top = tl.max(largest, 0)

    threshold, reaching, exceeding = 0, 0, 0
    if HARD:
        threshold, reaching, exceeding = _threshold(row, own, size, count, LITERAL, LANES)
    surplus = reaching > count
    free = count - exceeding

    sums = tl.zeros((LANES,), tl.float32)
    tied_before = size * 0
    for start in tl.range(0, size, LANES):
        column = start + tl.arange(0, LANES)
        inside = column < size
        if not LITERAL:
            inside = inside & (column != own)
        similarity = tl.load(row + column, mask=inside, other=float("-inf"))
        if HARD:
            key = _key(similarity)
            chosen = inside & (key >= threshold)
            if surplus:
                tied = inside & (key == threshold)
                rank = tied_before + tl.cumsum(tied.to(tl.int32), 0)
                chosen = chosen & ((key > threshold) | (rank <= free))
                tied_before += tl.sum(tied.to(tl.int32), 0)
        else:
            chosen = inside
        if TEMPERED:
            weight = tl.where(chosen, tl.exp2((similarity - top) * scale), 0.0)
            sums += weight
        else:
            weight = chosen.to(tl.float32)
            sums += tl.where(chosen, similarity, 0.0)
        if WEIGHTS:
            tl.store(row + column, weight, mask=column < size)
    summed = tl.sum(sums, 0)

    if TEMPERED:
        log_odds = (top - positive) * inverse + tl.log(summed)
        if LITERAL:
            loss = log_odds
            factor = inverse
        else:
            loss = _softplus(log_odds)
            factor = _sigmoid(log_odds) * inverse
        total = summed
    else:
        total = count.to(tl.float32)
        loss = summed / total - positive
        factor = 1.0
    tl.store(losses + anchor, loss)
    tl.store(totals + anchor, total)
    tl.store(factors + anchor, factor)


@triton.jit(do_not_specialize_on_alignment=["index"])
def _gradient(weighted, bank, index, totals, factors, dim, size, LANES: tl.constexpr):
    """Overwrite the weighted sum of entries with ``factor (weighted / total - positive)``."""
    anchor = tl.program_id(0)
    column = tl.arange(0, LANES)
    inside = column < dim
    own = tl.load(index + anchor)
    real = inside & (own >= 0) & (own < size)
    positive = tl.load(bank + own * dim + column, mask=real, other=float("nan")).to(tl.float32)
    place = weighted + anchor * dim + column
    mean = tl.load(place, mask=inside, other=0.0) / tl.load(totals + anchor)
    tl.store(place, tl.load(factors + anchor) * (mean - positive), mask=inside)


def per_anchor(
    anchors: Tensor,
    bank: Tensor,
    index: Tensor,
    temperature: float | None,
    negatives: int | None,
    literal_topk: bool,
    with_gradient: bool,
) -> tuple[Tensor, Tensor | None]:
    """Losses of the anchors, and their gradients with respect to the anchors.

    Args:
        anchors: B x d float32.
        bank: N x d floats, rounded to float32.
        index: B int64, the rows of the positives.
        temperature: tau > 0 of ``contrastive`` and ``hard_contrastive``; None for ``hard_simple``.
        negatives: K in 1..N - 1 of the hard losses; None for ``contrastive``.
        literal_topk: The variant of the hard losses that ``losses.make`` names.
        with_gradient: Whether to form the gradients; it costs the second product.

    Returns:
        The losses (B) and the gradients (B x d) or None, float32.
    """
    (batch, dim), size = anchors.shape, len(bank)
    wide = bank.to(anchors.dtype)
    stride = math.ceil(size / ALIGNMENT) * ALIGNMENT
    index = index.contiguous()
    similarities = anchors.new_empty(batch, stride)[:, :size]
    torch.mm(anchors, wide.T, out=similarities)
    losses, totals, factors = anchors.new_empty(3, batch)
    inverse = 1.0 if temperature is None else 1 / temperature
    _launch(
        _weigh,
        batch,
        (similarities, index, losses, totals, factors),
        (size, stride, (negatives or 0) + literal_topk, inverse, inverse / math.log(2)),
        HARD=negatives is not None,
        LITERAL=literal_topk,
        TEMPERED=temperature is not None,
        WEIGHTS=with_gradient,
        LANES=LANES,
        num_warps=WARPS,
    )
    if not with_gradient:
        return losses, None
    gradients = similarities @ wide
    tensors = (gradients, wide.contiguous(), index, totals, factors)
    _launch(_gradient, batch, tensors, (dim, size), LANES=triton.next_power_of_2(dim), num_warps=4)
    return losses, gradients


def _launch(
    kernel: Any, programs: int, tensors: tuple[Tensor, ...], numbers: tuple[float, ...], **how: Any
) -> None:
    """Run a kernel on the device and the current stream of its tensors."""
    with torch.cuda.device_of(tensors[0]):
        kernel[(programs,)](*tensors, *numbers, **how)
