"""The losses in float64 NumPy, written from the equations of Wang & Liu 2021 and nothing else.

``s`` is B x N with ``s[i, j] = s_ij`` and ``index[i]`` the column of anchor i's positive. Slow and
plain on purpose: every sum stands as the paper has it, over an explicit mask of negatives.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

Matrix = NDArray[np.float64]
Mask = NDArray[np.bool_]
Rows = NDArray[np.int64]


def negatives_of(s: Matrix, index: Rows) -> Mask:
    """B x N bool: true at every j != i."""
    mask = np.ones(s.shape, dtype=bool)
    mask[np.arange(len(s)), index] = False
    return mask


def hard_set(s: Matrix, index: Rows, count: int) -> Mask:
    """B x N bool: the ``count`` largest negatives, ties to the lower column (Eq. 9)."""
    chosen = np.zeros(s.shape, dtype=bool)
    for i, row in enumerate(s):
        others = [j for j in range(len(row)) if j != index[i]]
        for j in sorted(others, key=lambda j: (-row[j], j))[:count]:
            chosen[i, j] = True
    return chosen


def top_set(s: Matrix, count: int) -> Mask:
    """B x N bool: the ``count`` largest of all similarities (the first author's code)."""
    chosen = np.zeros(s.shape, dtype=bool)
    for i, row in enumerate(s):
        for j in sorted(range(len(row)), key=lambda j: (-row[j], j))[:count]:
            chosen[i, j] = True
    return chosen


def log_sum_exp(x: Matrix, mask: Mask) -> Matrix:
    """Log of the sum of e^x over the mask, row by row."""
    largest = np.where(mask, x, -np.inf).max(1, keepdims=True)
    sums: Matrix = np.log(np.where(mask, np.exp(x - largest), 0.0).sum(1)) + largest[:, 0]
    return sums


def softmax(x: Matrix, mask: Mask) -> Matrix:
    """e^x over its sum over the mask, row by row; 0 outside.

    Both are taken from the largest on: e^(x - log sum) would carry the rounding of the logarithm,
    eps times its size (200 at tau = 0.005), into every weight alike.
    """
    weights = np.where(mask, np.exp(x - np.where(mask, x, -np.inf).max(1, keepdims=True)), 0.0)
    shares: Matrix = weights / weights.sum(1, keepdims=True)
    return shares


def probabilities(s: Matrix, index: Rows, tau: float, negatives: Mask | None = None) -> Matrix:
    """P_ij of Eq. 2, the positive's column included; 0 outside ``negatives``."""
    counted = (negatives_of(s, index) if negatives is None else negatives).copy()
    counted[np.arange(len(s)), index] = True
    return softmax(s / tau, counted)


def relative_penalties(s: Matrix, index: Rows, tau: float, negatives: Mask | None = None) -> Matrix:
    """r_i(s_ij) of Eq. 5 (Eq. 8 for a restricted set of negatives)."""
    mask = negatives_of(s, index) if negatives is None else negatives
    return softmax(s / tau, mask)


def entropy(p: Matrix) -> Matrix:
    """Shannon entropy of each row in nats."""
    sums: Matrix = -(np.where(p > 0, p * np.log(np.where(p > 0, p, 1.0)), 0.0)).sum(1)
    return sums


def contrastive(
    s: Matrix, index: Rows, tau: float, negatives: Mask | None = None
) -> tuple[Matrix, Matrix]:
    """Eq. 1 per anchor and its derivative by every s_ij (Eq. 2)."""
    i = np.arange(len(s))
    mask = negatives_of(s, index) if negatives is None else negatives
    # -log(e^a / (e^a + sum e^b)) = log(1 + sum e^(b - a)), which keeps the digits of a small loss.
    losses = np.logaddexp(0.0, log_sum_exp((s - s[i, index][:, None]) / tau, mask))
    gradients = probabilities(s, index, tau, negatives) / tau
    gradients[i, index] = 0.0
    gradients[i, index] = -gradients.sum(1)
    return losses, gradients


def simple(s: Matrix, index: Rows, negatives: Mask | None = None) -> tuple[Matrix, Matrix]:
    """Eq. 3 per anchor, lambda = 1 / number of negatives, and its derivative."""
    i = np.arange(len(s))
    mask = negatives_of(s, index) if negatives is None else negatives
    weights = mask / mask.sum(1, keepdims=True)
    gradients = weights.copy()
    gradients[i, index] = -1.0
    return (weights * s).sum(1) - s[i, index], gradients


def nearest_negative(s: Matrix, index: Rows) -> tuple[Matrix, Matrix]:
    """max(s_max - s_ii, 0) per anchor (Eq. 6) and its derivative, 0 where the loss is 0."""
    i = np.arange(len(s))
    candidates = np.where(negatives_of(s, index), s, -np.inf)
    nearest = candidates.argmax(1)
    margin = candidates.max(1) - s[i, index]
    gradients = np.zeros_like(s)
    gradients[i, nearest] += margin > 0
    gradients[i, index] -= margin > 0
    return np.maximum(margin, 0.0), gradients


def literal_hard_contrastive(
    s: Matrix, index: Rows, tau: float, count: int
) -> tuple[Matrix, Matrix]:
    """The first author's: the top ``count + 1`` of all similarities are the denominator."""
    i = np.arange(len(s))
    chosen = top_set(s, count + 1)
    log_sum = log_sum_exp(s / tau, chosen)
    gradients = softmax(s / tau, chosen) / tau
    gradients[i, index] -= 1 / tau
    return log_sum - s[i, index] / tau, gradients


def literal_hard_simple(s: Matrix, index: Rows, count: int) -> tuple[Matrix, Matrix]:
    """The first author's: the mean over the top ``count + 1`` of all similarities."""
    i = np.arange(len(s))
    weights = top_set(s, count + 1) / (count + 1)
    losses = (weights * s).sum(1) - s[i, index]
    gradients = weights
    gradients[i, index] -= 1.0
    return losses, gradients


def loss_and_gradient(
    name: str,
    anchors: ArrayLike,
    bank: ArrayLike,
    index: ArrayLike,
    temperature: float | None = None,
    negatives: int | None = None,
    literal_topk: bool = False,
) -> tuple[float, Matrix]:
    """Mean loss and its gradient (B x d) by the anchors, from the similarities' derivatives."""
    anchors, bank = np.asarray(anchors, np.float64), np.asarray(bank, np.float64)
    rows = np.asarray(index)
    s = anchors @ bank.T
    hard = hard_set(s, rows, negatives) if negatives is not None and not literal_topk else None
    if name in ("contrastive", "hard_contrastive"):
        assert temperature is not None
        if literal_topk:
            assert negatives is not None
            losses, ds = literal_hard_contrastive(s, rows, temperature, negatives)
        else:
            losses, ds = contrastive(s, rows, temperature, hard)
    elif name in ("simple", "hard_simple"):
        if literal_topk:
            assert negatives is not None
            losses, ds = literal_hard_simple(s, rows, negatives)
        else:
            losses, ds = simple(s, rows, hard)
    else:
        losses, ds = nearest_negative(s, rows)
    return losses.mean(), ds @ bank / len(s)


def bank_update(entry: ArrayLike, embedding: ArrayLike, momentum: float) -> Matrix:
    """v <- normalise(m v + (1 - m) f) for one entry (InstDisc)."""
    moved = momentum * np.asarray(entry, np.float64) + (1 - momentum) * np.asarray(
        embedding, np.float64
    )
    return moved / np.linalg.norm(moved)
