"""How the loss penalises negatives, measured on a run's own embeddings and bank.

The paper's statements about the loss itself (Eq. 4 to 7, Fig. 1; claims C11 to C13 and C17) hold
for any embeddings. Here they are checked in float64 on the losses and the final embeddings of a
run. Similarities are s_ij = f(x_i) . v_j of the given rows, as in ``tausweep.losses``.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tausweep.losses import make, penalties
from tausweep.measures.separation import check_anchors

TEMPERATURES = (0.05, 0.07, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
"""The author's grid (docs/protocol.md)."""
LOW, HIGH = 1e-5, 1e4
"""Temperatures used for 0+ and infinity: far below the spacing of the nearest negatives, and far
above any similarity, but with ten digits of float64 left for the deviation."""
BEARING = 0.9
CHUNK = 64
GROUPS = 64

LossAt = Callable[[float], Callable[[Tensor, Tensor, Tensor], Tensor]]
"""Gives the loss of a temperature."""


@dataclass(frozen=True)
class Penalties:
    """The relative penalty r_i (Eq. 5) of M anchors at G temperatures, ascending.

    Attributes:
        temperatures: G.
        entropy: M x G float64, H(r_i) in nats, at most log(N - 1).
        width: M x G float64: s_max - s, where s is the largest similarity such that the negatives
            at or above it carry 90% of the penalty. 0 if the nearest negative alone carries it.
    """

    temperatures: tuple[float, ...]
    entropy: Tensor
    width: Tensor

    def entropy_rises(self) -> float:
        """Share of anchors whose entropy rises strictly from each temperature to the next."""
        return float((self.entropy.diff(dim=1) > 0).all(dim=1).to(torch.float64).mean())

    def interval_narrows(self) -> float:
        """Share of anchors whose interval narrows as tau falls.

        It never widens, and is strictly narrower at the lowest tau than at the highest. Steps
        without change are allowed, because there are finitely many negatives.
        """
        steps = (self.width.diff(dim=1) >= 0).all(dim=1)
        ends = self.width[:, 0] < self.width[:, -1]
        return float((steps & ends).to(torch.float64).mean())


def contrastive(temperature: float) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """The project's loss of Eq. 1."""
    return make("contrastive", temperature)


def relative_penalties(
    anchors: Tensor,
    bank: Tensor,
    index: Tensor,
    temperatures: Sequence[float] = TEMPERATURES,
    negatives: int | None = None,
) -> Penalties:
    """Entropy and interval of the relative penalty of every anchor at every temperature.

    Args:
        anchors: M x d.
        bank: N x d.
        index: M int64, the bank rows of the anchors' own instances.
        temperatures: Each above 0, none twice.
        negatives: K of a hard loss: r over the K nearest negatives only; none takes all.

    Raises:
        ValueError: Inputs that do not belong together, bad temperatures, K not in 1 to N - 1.
    """
    check_anchors(anchors, bank, index)
    grid = _ascending(temperatures)
    if negatives is not None and not 1 <= negatives <= len(bank) - 1:
        raise ValueError(f"negatives: {negatives} is not allowed; it is 1 to {len(bank) - 1}")
    entries = bank.detach().to(torch.float64)
    entropy, width = [], []
    for part, rows in _chunks(anchors, index, entries):
        similarities = (part @ entries.T).scatter_(1, rows[:, None], -torch.inf)
        # After sorting, the positive is the last column, the hard set is the first K, and the
        # negatives that carry most of the penalty are a prefix.
        nearest = similarities.sort(dim=1, descending=True).values[:, :-1][:, :negatives]
        distance = nearest[:, :1] - nearest
        entropies, widths = [], []
        for temperature in grid:
            r = penalties(nearest, None, temperature)
            # H = -sum r log r with log r = log r_max - distance / tau: no logarithm per negative.
            entropies.append((r * distance).sum(dim=1) / temperature - r[:, 0].log())
            bearing = (_running_sums(r) < BEARING).sum(dim=1, keepdim=True)
            widths.append(distance.gather(1, bearing.clamp_(max=distance.shape[1] - 1))[:, 0])
        entropy.append(torch.stack(entropies, dim=1))
        width.append(torch.stack(widths, dim=1))
    return Penalties(grid, torch.cat(entropy).cpu(), torch.cat(width).cpu())


def gradient_balance(
    anchors: Tensor,
    bank: Tensor,
    index: Tensor,
    temperatures: Sequence[float] = TEMPERATURES,
    loss: LossAt = contrastive,
) -> float:
    """Largest |sum_{j != i} |dL/ds_ij| / |dL/ds_ii| - 1| over anchors and temperatures (C11).

    The derivatives come from the loss's own backward pass, which only gives dL/df. So the bank gets
    extra columns in which the anchors are 0. They do not change any similarity, and the gradient in
    such a column is the sum of dL/ds_ij over the rows that have a 1 there. Every positive of a
    chunk of anchors has its own column; the other rows share columns in groups.

    Args:
        anchors: M x d.
        bank: N x d.
        index: M int64.
        temperatures: Each above 0.
        loss: Gives the loss of a temperature.

    Returns:
        0 up to rounding, for Eq. 1 and Eq. 9; inf if a positive gets no gradient but negatives do.

    Raises:
        ValueError: Inputs that do not belong together, bad temperatures.
    """
    check_anchors(anchors, bank, index)
    grid = _ascending(temperatures)
    entries = bank.detach().to(torch.float64)
    n, dim = entries.shape
    worst = []
    for part, rows in _chunks(anchors, index, entries):
        positives, own = torch.unique(rows, return_inverse=True)
        column = torch.arange(n, device=rows.device) % GROUPS + len(positives)
        column[positives] = torch.arange(len(positives), device=rows.device)
        indicators = entries.new_zeros(n, len(positives) + GROUPS)
        indicators.scatter_(1, column[:, None], 1.0)
        extended = torch.cat([entries, indicators], dim=1)
        padded = torch.cat([part, part.new_zeros(len(part), indicators.shape[1])], dim=1)
        for temperature in grid:
            f = padded.clone().requires_grad_()
            (gradient,) = torch.autograd.grad(loss(temperature)(f, extended, rows), f)
            sums = gradient[:, dim:].abs()
            positive = sums.gather(1, own[:, None])[:, 0]
            surplus = (sums.scatter(1, own[:, None], 0.0).sum(dim=1) - positive).abs()
            # Both 0 (a gradient below float64's range) is balance; 0 against something is not.
            ratios = torch.where(surplus == 0, 0.0, surplus / positive)
            worst.append(ratios.max())
    # Read once, because the host waits whenever it reads a value from the device.
    return float(torch.stack(worst).max())


def exchange_difference(
    anchors: Tensor,
    bank: Tensor,
    index: Tensor,
    temperatures: Sequence[float] = TEMPERATURES,
    loss: LossAt = contrastive,
    seed: int = 0,
) -> float:
    """Largest |L - L'| over temperatures, L' after instances exchanged places (Fig. 1, C13).

    The anchors' instances exchange their embeddings (augmentation and bank entry together) among
    themselves, and so do the other instances of the bank. This changes semantic labels, but not the
    mean loss.

    Args:
        anchors: M x d.
        bank: N x d.
        index: M int64, none twice.
        temperatures: Each above 0.
        loss: Gives the loss of a temperature.
        seed: Seed of the permutation.

    Raises:
        ValueError: Inputs that do not belong together, an index twice, bad temperatures.
    """
    check_anchors(anchors, bank, index)
    if len(index.unique()) < len(index):
        raise ValueError("index: an instance is listed twice; each can be exchanged only once")
    grid = _ascending(temperatures)
    entries = bank.detach().to(torch.float64)
    f, rows = anchors.detach().to(entries), index.to(entries.device)
    generator = torch.Generator().manual_seed(seed)
    among = torch.randperm(len(rows), generator=generator).to(rows.device)
    kept = torch.ones(len(entries), dtype=torch.bool, device=rows.device)
    kept[rows] = False
    others = torch.nonzero(kept)[:, 0]
    exchanged = entries.clone()
    exchanged[rows] = entries[rows[among]]
    exchanged[others] = entries[others[torch.randperm(len(others), generator=generator)]]
    differences = [
        (loss(tau)(f, entries, rows) - loss(tau)(f[among], exchanged, rows)).abs() for tau in grid
    ]
    return float(torch.stack(differences).max())


def limit_low_error(anchors: Tensor, bank: Tensor, index: Tensor) -> float:
    """How far tau L is from ``nearest_negative`` at tau = 1e-5 (Eq. 6, C12).

    |tau L - mean max(s_max - s_ii, 0)| divided by the mean of |s_max - s_ii|. It is not divided by
    the limit, because that is 0 if every anchor is nearest to its own instance, which is the aim of
    training. As 0 = 0 would show little, anchors are also paired with each other's instances, where
    the limit is not 0. The larger error counts.

    Args:
        anchors: M x d.
        bank: N x d.
        index: M int64.

    Raises:
        ValueError: Inputs that do not belong together.
    """
    f, entries, own = _doubles(anchors, bank, index)
    errors = []
    for rows in (own, own.roll(1)):
        gaps = torch.cat(
            [
                (part @ entries.T).scatter_(1, positive[:, None], -torch.inf).amax(dim=1)
                - (part * entries[positive]).sum(dim=1)
                for part, positive in _chunks(f, rows, entries)
            ]
        )
        limit = make("nearest_negative")(f, entries, rows)
        deviation = LOW * contrastive(LOW)(f, entries, rows) - limit
        errors.append(_relative(float(deviation), float(gaps.abs().mean())))
    return max(errors)


def limit_high_error(anchors: Tensor, bank: Tensor, index: Tensor) -> float:
    """How far L - log N is from ``simple`` up to its scale at tau = 1e4 (Eq. 7, C12).

    Eq. 7 is L -> log N + (N - 1) / (N tau) (-s_ii + mean_k s_ik). The deviation of L - log N from
    its second term is divided by the mean absolute value of that term over anchors.

    Args and errors as for ``limit_low_error``.
    """
    f, entries, rows = _doubles(anchors, bank, index)
    n = len(entries)
    scale = (n - 1) / (n * HIGH)
    own = entries[rows]
    terms = (f * ((entries.sum(dim=0) - own) / (n - 1) - own)).sum(dim=1)
    expected = scale * make("simple")(f, entries, rows)
    deviation = contrastive(HIGH)(f, entries, rows) - math.log(n) - expected
    return _relative(float(deviation), scale * float(terms.abs().mean()))


def measure(
    anchors: Tensor,
    bank: Tensor,
    index: Tensor,
    temperatures: Sequence[float] = TEMPERATURES,
    temperature: float | None = None,
    negatives: int | None = None,
) -> dict[str, Any]:
    """All of the above for one run, ready for JSON.

    Args:
        anchors: M x d float, embeddings of augmented training images. A few hundred are enough;
            time grows with M x N x temperatures (256 x 50,000 take about half a minute on one
            core).
        bank: N x d float.
        index: M int64, the bank rows of the anchors' own instances, none twice.
        temperatures: The grid, each above 0.
        temperature: The run's temperature, for ``effective_negatives``, if its loss has one.
        negatives: K of the run's hard loss, also for ``effective_negatives``; none for all.

    Returns:
        Lists along ``temperatures`` (ascending), means over anchors: ``entropy`` (nats),
        ``effective_negatives_by_temperature`` (exp H), ``interval_width``. Scalars:
        ``effective_negatives`` (exp H of the run's own r, or none), ``entropy_rises`` and
        ``interval_narrows`` (shares of anchors), ``gradient_balance``, ``exchange_difference``,
        ``limit_low_error``, ``limit_high_error``; and ``anchors``, ``bank``, ``bearing``,
        ``low_temperature``, ``high_temperature``.

    Raises:
        ValueError: Inputs that do not belong together, an index twice, bad temperatures.
    """
    grid = relative_penalties(anchors, bank, index, temperatures)
    own = None
    if temperature is not None:
        single = relative_penalties(anchors, bank, index, (temperature,), negatives)
        own = float(single.entropy.exp().mean())
    return {
        "anchors": len(anchors),
        "bank": len(bank),
        "temperatures": list(grid.temperatures),
        "entropy": grid.entropy.mean(dim=0).tolist(),
        "effective_negatives_by_temperature": grid.entropy.exp().mean(dim=0).tolist(),
        "interval_width": grid.width.mean(dim=0).tolist(),
        "bearing": BEARING,
        "effective_negatives": own,
        "entropy_rises": grid.entropy_rises(),
        "interval_narrows": grid.interval_narrows(),
        "gradient_balance": gradient_balance(anchors, bank, index, temperatures),
        "exchange_difference": exchange_difference(anchors, bank, index, temperatures),
        "low_temperature": LOW,
        "limit_low_error": limit_low_error(anchors, bank, index),
        "high_temperature": HIGH,
        "limit_high_error": limit_high_error(anchors, bank, index),
    }


def _ascending(temperatures: Sequence[float]) -> tuple[float, ...]:
    grid = tuple(sorted(float(tau) for tau in temperatures))
    if not grid or not all(0 < tau < math.inf for tau in grid):
        raise ValueError(f"temperatures: {list(temperatures)} not allowed; each is above 0")
    if any(a == b for a, b in itertools.pairwise(grid)):
        raise ValueError(f"temperatures: {list(temperatures)} not allowed; one is listed twice")
    return grid


def _chunks(anchors: Tensor, index: Tensor, entries: Tensor) -> list[tuple[Tensor, Tensor]]:
    parts = anchors.detach().to(entries).split(CHUNK)
    return list(zip(parts, index.to(entries.device).split(CHUNK), strict=True))


def _doubles(anchors: Tensor, bank: Tensor, index: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    check_anchors(anchors, bank, index)
    entries = bank.detach().to(torch.float64)
    return anchors.detach().to(entries), entries, index.to(entries.device)


def _running_sums(r: Tensor) -> Tensor:
    """Running sums of each row, M x N; ``r`` is overwritten.

    On a GPU, torch's cumsum may add in any order. There, sums over 1, 2, 4, ... values are each
    made from two sums of half as many.
    """
    if r.device.type == "cpu":
        return r.cumsum_(dim=1)
    step = 1
    while step < r.shape[1]:
        r[:, step:].add_(r[:, :-step].clone())
        step *= 2
    return r


def _relative(deviation: float, scale: float) -> float:
    return abs(deviation) / scale if scale > 0 else (0.0 if deviation == 0 else math.inf)
