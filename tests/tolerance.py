"""How far two right computations of the same number may be apart, from eps, sizes and temperature.

Every numerical tolerance of the suite is made here, so that it holds on every CPU: another
instruction set adds in another order, fuses products with sums, and has exponentials that differ
in the last digit, but it cannot leave these bounds, and a wrong formula does.

``eps`` is the distance from 1 to the next number of a type, two unit roundoffs. Constants that
stand in the tests themselves are of three other kinds: what the documentation promises (a range,
a digit of the paper), what statistics of a sample allow, and what the equations themselves leave
out (the next term of a limit).
"""

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

import reference

Matrix = npt.NDArray[np.float64]


def eps(dtype: torch.dtype = torch.float64) -> float:
    """The distance from 1 to the next larger number."""
    return float(torch.finfo(dtype).eps)


def summed(n: int, dtype: torch.dtype = torch.float64) -> float:
    """Error of a sum of n terms, or of a product of rows of length n, over the sum of their sizes.

    At worst n - 1 additions and one product each round by eps / 2, in whatever order. Roundings
    are not all of one sign: beyond 8 sqrt(n) eps / 2 the error lies with a probability below
    2 n e^{-32} (Higham and Mary 2019), so that bound is taken where it is the smaller.
    """
    return min(n, 4 * math.sqrt(n)) * eps(dtype)


def unit(d: int, dtype: torch.dtype = torch.float64) -> float:
    """Error of an entry of x / |x|, over the entry: half a sum of d squares, root and quotient."""
    return summed(d, dtype) / 2 + 2 * eps(dtype)


def cosine(d: int, dtype: torch.dtype = torch.float64) -> float:
    """Error of the cosine of two rows of length d that are normalised first: at most 1 in size."""
    return summed(d, dtype) + 2 * unit(d, dtype)


def uniformity(n: int, d: int, t: float, dtype: torch.dtype = torch.float64) -> float:
    """Error of -log mean exp(-t |x - y|^2) over the pairs of n rows of length d, at worst.

    Rows are normalised in float64 and multiplied in ``dtype``: the exponent 2 t cos is off by 2 t
    times a product of rows and their roundings to the type. A mean of exponentials moves, relative
    to itself, by no more than its exponents do; their own rounding (4 eps) and a row's sum add to
    it, and the subtraction from 2 t and the logarithm (up to 4 t) round in float64.
    """
    exponent = 2 * t * (cosine(d) + summed(d, dtype) + 3 * eps(dtype))
    return exponent + 4 * eps(dtype) + summed(n, dtype) + (4 + 4 * t) * eps()


def averaged_uniformity(n: int, d: int, t: float = 2.0) -> float:
    """The same in float32, where roundings of unlike rows average out.

    A rounding has the deviation eps / sqrt 12. A product of equal rows adds d of them to partial
    sums that grow evenly up to 1, sqrt(d / 3) in all, and three come from its rows and the
    exponential. Pairs share their rows, so the mean is one over n numbers, not n^2. Eight
    deviations of it are allowed.
    """
    pair = 2 * t * eps(torch.float32) / math.sqrt(12) * math.sqrt(d / 3 + 3)
    return 8 * pair / math.sqrt(n)


def pair_mean(n: int, d: int, pairs: int) -> float:
    """Error of a mean of cosines over ``pairs`` of n rows of length d, taken from sums of rows.

    The squared length of a sum of rows is up to n^2 and loses what the cosines and n d additions
    lose; the pairs share what is left of it.
    """
    return n * n * (cosine(d) + summed(n * d)) / pairs


def singular_value(n: int, d: int) -> float:
    """Error of every singular value of n unit rows of length d (Weyl).

    It is at most the norm of what perturbs the matrix: the rows' roundings, |X| = sqrt n, and the
    algorithm's, max(n, d) eps times the largest singular value, which is at most sqrt n too.
    """
    return (unit(d) + max(n, d) * eps()) * math.sqrt(n)


def weights(temperature: float, n: int, dtype: torch.dtype = torch.float64) -> float:
    """Relative error of e^{s/tau} over a sum of n of them, s given and at most 1 in size.

    The exponents, up to 2 / tau apart, carry the rounding of their scaling, of the shift by the
    largest and of 1/tau (8 eps / tau at most); exponentials, sum and quotients add theirs.
    """
    return (8 / temperature + 8) * eps(dtype) + summed(n, dtype)


def network(layers: int, fan_in: int, dtype: torch.dtype = torch.float32) -> float:
    """Error of a trunk's output over its largest value, between two orders of computing it.

    A layer's product of ``fan_in`` terms is off by ``summed``. Normalisation brings every layer's
    output back to size 1, so that errors of layers add and do not multiply.
    """
    return 2 * layers * summed(fan_in, dtype)


def trained(steps: int, lr: float, gradient: float, off: float, momentum: float = 0.9) -> float:
    """Error of weights after SGD, for gradients of size ``gradient`` that are off by ``off`` of it.

    A step moves a weight by lr times its gradient, and the momentum repeats it, 1 / (1 - m) times
    in all. Errors of steps are not of one sign, so they add as sqrt(steps); four deviations.
    """
    return 4 * math.sqrt(steps) * lr / (1 - momentum) * gradient * off


def view(extent: int, kernel: int, strength: float, dtype: torch.dtype = torch.float32) -> float:
    """Error of a rendered view with pixels in [0, 1].

    Two products of up to ``extent`` pixels resize it, two of ``kernel`` blur it; brightness,
    contrast and saturation, one after the other, multiply what came before by up to 1 + strength;
    conversions to gray and hue round some sixteen times.
    """
    rounded = 2 * summed(extent, dtype) + 2 * summed(kernel, dtype) + 16 * eps(dtype)
    return rounded * (1 + strength) ** 3


def quotient(size: float, parts: int = 2, dtype: torch.dtype = torch.float64) -> float:
    """Error of a short formula of ``parts`` roundings whose terms are at most ``size``."""
    return parts * abs(size) * eps(dtype)


class LossTolerance(NamedTuple):
    """Allowed errors of a loss and of its gradient by the anchors (B x d)."""

    value: float
    gradient: Matrix


def similarities(
    anchors: Tensor, bank: Tensor, dtype: torch.dtype | None = None
) -> tuple[Matrix, float]:
    """The B x N similarities in float64, and how far those of the tensors' own type may be off."""
    a, v = anchors.detach().double().numpy(), bank.detach().double().numpy()
    size = float((np.abs(a) @ np.abs(v).T).max())
    kind = dtype or torch.promote_types(
        torch.promote_types(anchors.dtype, bank.dtype), torch.float32
    )
    return a @ v.T, summed(a.shape[1], kind) * size


def sets_are_clear(
    anchors: Tensor, bank: Tensor, index: Tensor, count: int, literal: bool = False
) -> bool:
    """Whether the ``count`` largest similarities are the same ones however they are rounded.

    Where the last inside and the first outside are nearer than twice the error of a similarity,
    either is right, and the gradient jumps between the two.
    """
    s, error = similarities(anchors, bank)
    if not literal:
        s = np.where(reference.negatives_of(s, index.numpy()), s, -np.inf)
    if count >= s.shape[1] - (not literal):
        return True
    ranked = -np.sort(-s, axis=1)
    return bool((ranked[:, count - 1] - ranked[:, count] > 2 * error).all())


def loss(
    name: str,
    anchors: Tensor,
    bank: Tensor,
    index: Tensor,
    temperature: float | None = None,
    negatives: int | None = None,
    literal_topk: bool = False,
    dtype: torch.dtype | None = None,
) -> LossTolerance:
    """Allowed errors of a loss on these inputs, to first order in eps.

    A similarity is off by ``delta = summed(d) max_ij sum_k |a_ik v_jk|``. The linear losses are
    off by 2 delta, by the sum of the bank (N terms) and by a few roundings; their gradient, a mean
    of bank rows less the positive, by the latter two.

    Eq. 1 is softplus(x), x = log sum_k e^{(s_ik - s_ii)/tau}. Each exponent is off by
    ``(2 delta + 8 eps size) / tau``: two similarities, and the scaling, the shift by the maximum
    and tau itself rounded, at exponents of up to 2 size / tau. Each weight is off relatively by
    that and by the exponential's 4 eps: rho. So x is off by rho and by the sum of N positive
    terms, the loss by P = softplus'(x) times that. The gradient P (mean - v_i) / tau has the
    relative error (1 - P) dx from P; the mean under the softmax moves by no more than
    ``rho sum_k r_k |v_k - mean|``, each row of it from the mean, and by N roundings. All of this
    is 1/tau in the value and 1/tau^2 in the gradient, and vanishes as P does.
    """
    kind = dtype or torch.promote_types(
        torch.promote_types(anchors.dtype, bank.dtype), torch.float32
    )
    s, delta = similarities(anchors, bank, kind)
    a, v = np.abs(anchors.detach().double().numpy()), bank.detach().double().numpy()
    rows, (batch, n) = np.arange(len(s)), s.shape
    own = index.numpy()
    one, adding = eps(kind), summed(n, kind)
    size = float((a @ np.abs(v).T).max())
    mean_over_batch = summed(batch, kind)
    top = float(np.abs(v).max())
    if temperature is None:
        value = 2 * delta + (adding + mean_over_batch + 4 * one) * 2 * size
        return LossTolerance(value, np.full(a.shape, (adding + 4 * one) * 2 * top / batch))
    if literal_topk:
        mask = reference.top_set(s, (negatives or 0) + 1)
    elif negatives is not None:
        mask = reference.hard_set(s, own, negatives)
    else:
        mask = reference.negatives_of(s, own)
    rho = (2 * delta + 8 * one * size) / temperature + 4 * one
    x = reference.log_sum_exp(s / temperature, mask) - s[rows, own] / temperature
    off = rho + adding + quotient(1, 4, kind)
    p = np.ones(batch) if literal_topk else np.exp(-np.logaddexp(0, -x))
    losses = x if literal_topk else np.logaddexp(0, x)
    value = float(np.mean(p * off + 4 * one * np.abs(losses))) + mean_over_batch * float(
        np.abs(losses).mean()
    )
    r = reference.relative_penalties(s, own, temperature, mask)
    gradient = np.empty(a.shape)
    for i in range(batch):
        mean = r[i] @ v
        spread = rho * (r[i] @ np.abs(v - mean)) + (adding + 4 * one) * (r[i] @ np.abs(v))
        from_p = ((1 - p[i]) * off + 8 * one) * np.abs(mean - v[own[i]])
        gradient[i] = p[i] / temperature * (from_p + spread + 4 * one * np.abs(v[own[i]])) / batch
    smallest = torch.finfo(kind).tiny
    return LossTolerance(value + smallest, gradient + smallest)


def check(found: Any, expected: Any, allowed: Any, what: str = "") -> None:
    """``|found - expected| <= allowed`` everywhere; ``allowed`` is a number or an array."""
    difference = np.abs(np.asarray(found, np.float64) - np.asarray(expected, np.float64))
    excess = difference - allowed
    if not (excess <= 0).all():
        worst = np.unravel_index(
            np.argmax(np.where(np.isnan(excess), np.inf, excess)), excess.shape
        )
        at = np.broadcast_to(allowed, excess.shape)[worst]
        raise AssertionError(f"{what} off by {difference[worst]:.3g} at {worst}; allowed {at:.3g}")
