"""Geometry of embeddings on the unit sphere: how they and their classes are distributed.

Uniformity is Eq. 10, tolerance Eq. 11 (docs/protocol.md); alignment is Wang & Isola 2020; RankMe is
Garrido et al. 2023; Wasserstein uniformity is Fang et al. 2024. Every function normalises its rows,
so scale does not matter, and uses all *distinct* pairs: a point does not form a pair with itself.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from tausweep.losses.streaming import full_precision, rows_at_once
from tausweep.measures.collapse import one_point
from tausweep.measures.sphere_dimension import LARGEST_T, effective_dimension

TILE = {"cpu": 512}
"""Rows of a square tile that fits in a core's cache; other devices need larger kernels."""
LARGER_TILE = 4096
NEAREST_OTHERS = 10
"""Neighbours for ``nearest_interclass_similarity``: as many as there are negatives in Fig. 8."""
FLOAT32_T = 20.0
"""Up to this t, exp(+-2t) and its sums are well within float32's range; above it, use float64."""


def normalised(x: Tensor, name: str = "x") -> Tensor:
    """Rows of x on the unit sphere, in float64.

    Args:
        x: n x d, any floating dtype.
        name: Its name in errors.

    Raises:
        ValueError: x is not an n x d floating tensor, or a row is zero or not finite.
    """
    if x.ndim != 2 or not x.is_floating_point():
        raise ValueError(f"{name}: {tuple(x.shape)} {x.dtype} given; allowed is n x d, floating")
    rows = x.detach().to(torch.float64, copy=True)
    # Divide by the largest entry first, because its square may overflow.
    if rows.shape[1]:
        largest = torch.maximum(rows.amax(dim=1), -rows.amin(dim=1))
    else:
        largest = rows.new_zeros(len(rows))
    bad = torch.nonzero(~(torch.isfinite(largest) & (largest > 0)))
    if len(bad):
        row = int(bad[0])
        fault = "zero" if largest[row] == 0 else "not finite"
        raise ValueError(
            f"{name}: row {row} is {fault} ({len(bad)} such rows); it has no direction"
        )
    rows /= largest[:, None]
    rows /= torch.linalg.vector_norm(rows, dim=1, keepdim=True)
    return rows


def uniformity(x: Tensor, t: float = 2.0, *, tile: int | None = None) -> float:
    """Uniformity -log E exp(-t ||x - y||^2) over distinct pairs (Eq. 10); larger is more uniform.

    Exact. Memory is a copy of x and one tile x tile block, never n x n.

    Args:
        x: n x d, n >= 2; normalised inside. Computed in float32 with float64 sums; in float64 if x
            is float64 or t is above 20.
        t: Sharpness of the Gaussian potential, in (0, 300].
        tile: Rows of a block of pairs; by default chosen for the device.

    Returns:
        0 (all points equal) up to 4t (two antipodes); 2t - O(1/d) for points uniform on S^{d-1}.

    Raises:
        ValueError: Fewer than two rows, a zero or non-finite row, t out of range.
    """
    if not 0 < t <= LARGEST_T:
        raise ValueError(f"t: {t} is not allowed; it is in (0, {LARGEST_T:g}]")
    _at_least_two(x)
    dtype = torch.float64 if x.dtype == torch.float64 or t > FLOAT32_T else torch.float32
    # ||x - y||^2 = 2 - 2s, so the term of a pair is e^{-2t} 2^{2t s log2(e)}. The rows include the
    # factor of s, and e^{-2t} is applied after the sum, which leaves one cheap 2^(.) per pair.
    rows = normalised(x).mul_(math.sqrt(2 * t * math.log2(math.e))).to(dtype)
    n, size = len(rows), tile or TILE.get(rows.device.type, LARGER_TILE)
    total = torch.zeros((), dtype=torch.float64, device=rows.device)
    block = rows.new_empty(min(size, n) ** 2)
    with full_precision(rows.device):
        for start in range(0, n, size):
            a, sums = rows[start : start + size], []
            for other in range(start, n, size):
                b = rows[other : other + size]
                terms = block[: len(a) * len(b)].view(len(a), len(b))
                torch.mm(a, b.T, out=terms).exp2_()
                if other == start:
                    terms.triu_(1)
                sums.append(terms.sum(dim=1))
            total += torch.stack(sums).sum(dtype=torch.float64)
    return 2 * t - math.log(float(total) / (n * (n - 1) / 2))


def collapsed(x: Tensor) -> bool:
    """Whether all points are the same, as far as float32 can tell; uniformity is then near 0.

    See ``collapse.one_point``.

    Args:
        x: n x d, n >= 2; normalised inside, float64.

    Raises:
        ValueError: Fewer than two rows, a zero or non-finite row.
    """
    _at_least_two(x)
    return one_point(normalised(x))


def tolerance(x: Tensor, labels: Tensor) -> float:
    """Mean similarity of same-class distinct pairs, pooled over classes (Eq. 11 as reported).

    Args:
        x: n x d; normalised inside, float64.
        labels: n integers.

    Raises:
        ValueError: A bad row or shape, or no class with two members.
    """
    same, pairs, _, _ = _pair_sums(x, labels)
    if pairs == 0:
        raise ValueError("labels: no class has two members, so there is no same-class pair")
    return same / pairs


def tolerance_literal(x: Tensor, labels: Tensor) -> float:
    """E[x.y 1(same class)] over all distinct pairs: Eq. 11 as written, at most about 1/classes.

    Args and errors as for ``tolerance``, except that classes of one member are allowed.
    """
    same, _, _, _ = _pair_sums(x, labels)
    return same / (len(x) * (len(x) - 1))


def interclass_similarity(x: Tensor, labels: Tensor) -> float:
    """Mean similarity of pairs from different classes (C15).

    Args:
        x: n x d; normalised inside, float64.
        labels: n integers.

    Raises:
        ValueError: A bad row or shape, or a single class.
    """
    _, _, different, pairs = _pair_sums(x, labels)
    if pairs == 0:
        raise ValueError("labels: a single class given, so there is no pair of different classes")
    return different / pairs


def nearest_interclass_similarity(x: Tensor, labels: Tensor, k: int = NEAREST_OTHERS) -> float:
    """Mean similarity of a point to its k most similar points of other classes, over all points.

    If the mean embedding is near 0, ``interclass_similarity`` is about -tolerance / (classes - 1),
    wherever the classes are. This measure says how close other classes come.

    Exact. Memory is copies of x and one block of rows x n (``rows_at_once``), never n x n. If there
    are fewer than k points of other classes, all of them count.

    Args:
        x: n x d; normalised inside. Similarities in float32 with float64 sums; in float64 if x is.
        labels: n integers.
        k: 1 or more.

    Returns:
        In [-1, 1]; 1 if every point coincides with k points of other classes.

    Raises:
        ValueError: A bad row or shape, a single class, or k below 1.
    """
    _check_labelled(x, labels)
    if k < 1:
        raise ValueError(f"k: {k} is not allowed; it is 1 or more")
    order = torch.argsort(labels.to(x.device), stable=True)
    counts = torch.unique(labels, return_counts=True)[1].tolist()
    if len(counts) == 1:
        raise ValueError("labels: a single class given, so there is no pair of different classes")
    n = len(x)
    # Sorted by class, so that the similarities to exclude are one slice.
    rows = normalised(x)[order].to(torch.float64 if x.dtype == torch.float64 else torch.float32)
    total = torch.zeros((), dtype=torch.float64, device=rows.device)
    at_once = rows_at_once(n, rows.device)
    block = rows.new_empty(min(at_once, max(counts)), n)
    start = 0
    with full_precision(rows.device):
        for count in counts:
            end = start + count
            for anchors in rows[start:end].split(at_once):
                similarities = torch.mm(anchors, rows.T, out=block[: len(anchors)])
                similarities[:, start:end] = -math.inf
                nearest = similarities.topk(min(k, n - count), dim=1, sorted=False).values
                total += nearest.to(torch.float64).mean(dim=1).sum()
            start = end
    return float(total) / n


def common_mean(x: Tensor) -> float:
    """Squared length of the mean of the normalised rows: what all embeddings have in common.

    It is part of every similarity: the mean over all pairs, including those of a point with itself,
    is this number. A tolerance that comes from it says nothing about classes.

    Args:
        x: n x d; normalised inside, float64.

    Returns:
        From 0 (points that cancel out; about 1/n for n points uniform on the sphere) to 1 (all
        points equal).

    Raises:
        ValueError: No row, or a zero or non-finite row.
    """
    if len(x) == 0:
        raise ValueError("x: no rows given; allowed is one or more")
    return float(normalised(x).mean(dim=0).square().sum())


def _pair_sums(x: Tensor, labels: Tensor) -> tuple[float, int, float, int]:
    """Sum of similarities and number of ordered distinct pairs, within and between classes.

    From class sums S_c: sum over same-class pairs = sum_c |S_c|^2 - sum_i |x_i|^2.
    """
    _check_labelled(x, labels)
    rows = normalised(x)
    _, codes, counts = torch.unique(labels.cpu(), return_inverse=True, return_counts=True)
    sums = _class_sums(rows, codes, len(counts))
    own = float(torch.dot(rows.flatten(), rows.flatten()))
    within = float(sums.square().sum())
    n, same_pairs = len(rows), int((counts * (counts - 1)).sum())
    between = float(sums.sum(dim=0).square().sum()) - within
    return within - own, same_pairs, between, n * (n - 1) - same_pairs


def _class_sums(rows: Tensor, codes: Tensor, classes: int) -> Tensor:
    """Sums (C x d) of the rows of each class; ``codes`` are n int64 on the CPU.

    On a GPU, index_add_ would sum in any order, so a product with the class members is used.
    """
    if rows.device.type == "cpu":
        return rows.new_zeros(classes, rows.shape[1]).index_add_(0, codes, rows)
    members = codes == torch.arange(classes)[:, None]
    return members.to(rows.device).to(rows.dtype) @ rows


def alignment(x: Tensor, y: Tensor) -> float:
    """Alignment E ||x_i - y_i||^2 over two views of the same instances; smaller is closer.

    Args:
        x: n x d embeddings of one view; normalised inside, float64.
        y: n x d embeddings of the other view, same order.

    Returns:
        In [0, 4].

    Raises:
        ValueError: Different or bad shapes, no row, a zero or non-finite row.
    """
    if x.shape != y.shape or x.ndim != 2 or len(x) == 0:
        raise ValueError(
            f"x, y: {tuple(x.shape)} and {tuple(y.shape)} given; allowed are two equal n x d"
        )
    return float((normalised(x, "x") - normalised(y, "y")).square().sum(dim=1).mean())


def singular_values(x: Tensor) -> list[float]:
    """Singular values of the n x d matrix of normalised rows, not centred; descending, float64.

    Raises:
        ValueError: No row, or a zero or non-finite row.
    """
    if len(x) == 0:
        raise ValueError("x: no rows given; allowed is one or more")
    rows = normalised(x)
    if rows.device.type != "cpu" and len(rows) > rows.shape[1]:
        # Use R (d x d): a GPU's own decomposition of tall matrices iterates over all rows.
        rows = torch.linalg.qr(rows, mode="r").R
    values: list[float] = torch.linalg.svdvals(rows.cpu()).tolist()
    return values


def rankme(x: Tensor) -> float:
    """RankMe (Garrido et al. 2023): exp of the entropy of the normalised singular values.

    Computed on L2-normalised, uncentred embeddings in float64, without the paper's epsilon
    (0 log 0 = 0 is exact).

    Returns:
        From 1 (all on a line) to min(n, d) (a flat spectrum).

    Raises:
        ValueError: See ``singular_values``.
    """
    return _spectral_rank(singular_values(x))


def _spectral_rank(values: list[float]) -> float:
    p = torch.tensor(values, dtype=torch.float64)
    p /= p.sum()
    return math.exp(-float(torch.xlogy(p, p).sum()))


def wasserstein_uniformity(x: Tensor) -> float:
    """-W2 of Fang et al. 2024 (arXiv 2403.00642, sec. 4); at most 0, larger is more uniform.

    W2 is the quadratic Wasserstein distance from N(mean, covariance) of the normalised rows to
    N(0, I/d), which the uniform distribution on S^{d-1} approaches:
    W2^2 = |mean|^2 + 1 + tr(C) - (2 / sqrt d) tr(C^{1/2}), with the population covariance C.
    Unlike uniformity it detects dimensional collapse. The sign is flipped, as in the authors'
    plots, so that it has the same direction as ``uniformity``.

    Args:
        x: n x d, n >= 2; normalised inside, float64.

    Raises:
        ValueError: Fewer than two rows, a zero or non-finite row.
    """
    _at_least_two(x)
    rows = normalised(x)
    mean = rows.mean(dim=0)
    rows -= mean
    covariance = rows.T @ rows / len(rows)
    # d x d: a CPU is as fast, and gives the same decomposition for all devices.
    variances = torch.linalg.eigvalsh(covariance.cpu()).clamp_min_(0)
    squared = mean.square().sum().cpu() + 1 + variances.sum()
    squared -= 2 / math.sqrt(rows.shape[1]) * variances.sqrt().sum()
    return -math.sqrt(max(0.0, float(squared)))


def measure(
    x: Tensor, labels: Tensor, t: float = 2.0, views: tuple[Tensor, Tensor] | None = None
) -> dict[str, Any]:
    """The geometry of one split, ready for JSON; its measures are columns (``columns.GEOMETRY``).

    Args:
        x: n x d embeddings without augmentation.
        labels: n integers; instances with a negative one have no label, and do not count in what
            compares classes. Without two classes that is left out.
        t: Uniformity's t.
        views: Embeddings of two views of the same instances (m x d each), for ``alignment``.

    Returns:
        ``samples``, ``t``, ``uniformity``, ``tolerance``, ``tolerance_literal``,
        ``interclass_similarity``, ``tolerance_gap`` (tolerance - interclass_similarity),
        ``nearest_interclass_similarity``, ``common_mean``, ``alignment`` (if views are given),
        ``effective_dimension``, ``rankme``, ``wasserstein_uniformity``, ``collapsed`` and the
        list ``singular_values``.

    Raises:
        ValueError: See the single measures.
    """
    spread = uniformity(x, t)
    values = singular_values(x)
    block: dict[str, Any] = {"samples": len(x), "t": t, "uniformity": spread}
    known = labels.cpu() >= 0
    if known.all():
        block |= _of_classes(x, labels)
    elif known.any():
        block |= _of_classes(x[known.to(x.device)], labels.cpu()[known])
    block["common_mean"] = common_mean(x)
    if views is not None:
        block["alignment"] = alignment(*views)
    return block | {
        "effective_dimension": effective_dimension(spread, t),
        "rankme": _spectral_rank(values),
        "wasserstein_uniformity": wasserstein_uniformity(x),
        "collapsed": collapsed(x),
        "singular_values": values,
    }


def _of_classes(x: Tensor, labels: Tensor) -> dict[str, Any]:
    """The measures that compare classes; at least two of them, one with two members."""
    within, between = tolerance(x, labels), interclass_similarity(x, labels)
    return {
        "tolerance": within,
        "tolerance_literal": tolerance_literal(x, labels),
        "interclass_similarity": between,
        "tolerance_gap": within - between,
        "nearest_interclass_similarity": nearest_interclass_similarity(x, labels),
    }


def _check_labelled(x: Tensor, labels: Tensor) -> None:
    _at_least_two(x)
    if labels.shape != (len(x),) or labels.is_floating_point():
        raise ValueError(
            f"labels: {tuple(labels.shape)} {labels.dtype} given; allowed are {len(x)} integers"
        )


def _at_least_two(x: Tensor) -> None:
    if len(x) < 2:
        raise ValueError(f"x: {len(x)} rows given; allowed is two or more, for there are no pairs")
