"""Influence values of the measures: how much each instance moves them.

The value of a measure of a sample is, to first order, its expectation plus the mean of its
influence values, so their scatter gives its standard error (``estimate.by_influence``). For means
over pairs that is the Hajek projection of a U-statistic (Hoeffding 1948); functions of such means,
a logarithm, a ratio, a rank, follow by the delta method. Where the projection vanishes, at points
that are uniform on the sphere, the error comes out too large, by a factor up to the root of 2.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tausweep.losses.streaming import full_precision, rows_at_once
from tausweep.measures.geometry import normalised

Values = NDArray[np.float64]


def uniformity(x: Tensor, t: float = 2.0) -> Values:
    """Influence values of uniformity, -log of the mean potential of pairs.

    Args:
        x: n x d, n >= 3; normalised inside. Potentials are float32 with float64 sums.
        t: Sharpness of the Gaussian potential, in (0, 20].

    Raises:
        ValueError: Fewer than three rows, a zero or non-finite row.
    """
    n = len(x)
    _at_least_three(n)
    # As in ``geometry.uniformity``: 2^(.) of scaled rows' products, but for e^{-2t}, which a ratio
    # of potentials does not contain.
    rows = normalised(x).mul_(math.sqrt(2 * t * math.log2(math.e))).to(torch.float32)
    sums = []
    with full_precision(rows.device):
        for part in rows.split(rows_at_once(n, rows.device)):
            own = (part * part).sum(dim=1).exp2()
            sums.append((part @ rows.T).exp2_().sum(dim=1, dtype=torch.float64) - own)
    potentials = torch.cat(sums).cpu().numpy() / (n - 1)
    mean = float(potentials.mean())
    # n - 2, not n - 1 or n: then it is the jackknife's variance, exactly.
    return -2 * (n - 1) / (n - 2) * (potentials - mean) / mean


def tolerance(x: Tensor, labels: Tensor) -> Values:
    """Influence values of tolerance, the mean similarity of pairs of one class.

    Which pairs there are depends on the instances as well, so it is a ratio of two means of pairs.

    Args:
        x: n x d; normalised inside, float64.
        labels: n integers, one class with two members or more.
    """
    rows, codes, sums, counts = _classes(x, labels)
    similar = (rows * sums[codes]).sum(dim=1) - 1
    return _ratio(similar, (counts[codes] - 1).to(torch.float64))


def interclass_similarity(x: Tensor, labels: Tensor) -> Values:
    """Influence values of the mean similarity of pairs of different classes.

    Args:
        x: n x d; normalised inside, float64.
        labels: n integers, two classes or more.
    """
    rows, codes, sums, counts = _classes(x, labels)
    similar = rows @ sums.sum(dim=0) - (rows * sums[codes]).sum(dim=1)
    return _ratio(similar, (len(rows) - counts[codes]).to(torch.float64))


def alignment(x: Tensor, y: Tensor) -> Values:
    """Influence values of alignment: squared distances of the positive pairs less their mean.

    Args:
        x: n x d embeddings of one view; normalised inside, float64.
        y: The same of the other.
    """
    distances = (normalised(x) - normalised(y)).square().sum(dim=1).cpu().numpy()
    return np.asarray(distances - distances.mean(), dtype=np.float64)


def common_mean(x: Tensor) -> Values:
    """Influence values of the squared length of the mean of the normalised rows."""
    rows = normalised(x)
    along = (rows @ rows.mean(dim=0)).cpu().numpy()
    return np.asarray(2 * (along - along.mean()), dtype=np.float64)


def rankme(x: Tensor) -> Values:
    """Influence values of RankMe, exp of the entropy H of p_k = s_k / sum s.

    s_k are the roots of the eigenvalues of E x x^T, whose influence values are (v_k . x)^2 - s_k^2;
    dH/ds_k = -(log p_k + H) / sum s. The number of instances counts too: RankMe of few is smaller
    than that of many, and this is the scatter among samples of n.

    Args:
        x: n x d; normalised inside, float64.
    """
    rows = normalised(x).cpu()
    # R of a tall matrix has its singular values and right directions, and is d x d.
    small = torch.linalg.qr(rows, mode="r").R if len(rows) > rows.shape[1] else rows
    _, values, directions = torch.linalg.svd(small, full_matrices=False)
    roots = values / math.sqrt(len(rows))
    # Directions that are empty but for rounding say nothing, and dividing by them would.
    there = roots > roots[0] * max(rows.shape) * torch.finfo(torch.float64).eps
    roots, directions = roots[there], directions[there]
    p = roots / roots.sum()
    entropy = -float(torch.xlogy(p, p).sum())
    slopes = -(p.log() + entropy) / roots.sum() / (2 * roots)
    moves = (rows @ directions.T).square() - roots.square()
    return np.asarray(math.exp(entropy) * (moves @ slopes).numpy(), dtype=np.float64)


def _ratio(similar: Tensor, pairs: Tensor) -> Values:
    """Of sum(similar) / sum(pairs), both sums over an instance's pairs."""
    ratio = similar.sum() / pairs.sum()
    values: Values = (2 * len(pairs) * (similar - ratio * pairs) / pairs.sum()).cpu().numpy()
    return values


def _classes(x: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Normalised rows, the class of each, sums and numbers of the rows of each class."""
    rows = normalised(x).cpu()
    _, codes, counts = torch.unique(labels.cpu(), return_inverse=True, return_counts=True)
    sums = rows.new_zeros(len(counts), rows.shape[1]).index_add_(0, codes, rows)
    return rows, codes, sums, counts


def _at_least_three(n: int) -> None:
    if n < 3:
        raise ValueError(f"x: {n} rows given; allowed is three or more, for pairs must differ")
