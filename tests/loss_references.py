"""The losses beside the paper's, from their equations: NumPy, float64, one anchor after the other.

What takes no gradient in an equation is a ``frozen`` number here, so that differences of the value
are differences of what is trained.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Problem:
    """A batch, as ``tausweep.losses.batch.Batch`` has it."""

    anchors: Matrix
    bank: Matrix
    index: Rows
    keys: Matrix | None = None
    queue: Matrix | None = None
    labels: Rows | None = None
    progress: float = 0.0
    source: str = "bank"

    def pairs(self) -> list[tuple[float, Matrix]]:
        """Of each anchor, the similarity to its positive and those to its negatives."""
        found = []
        if self.source == "bank":
            for f, i in zip(self.anchors, self.index, strict=True):
                others = [f @ v for j, v in enumerate(self.bank) if j != i]
                found.append((float(f @ self.bank[i]), np.array(others)))
            return found
        assert self.keys is not None
        if self.source == "queue":
            assert self.queue is not None
            for f, k in zip(self.anchors, self.keys, strict=True):
                found.append((float(f @ k), np.array([f @ q for q in self.queue])))
            return found
        views = [*self.anchors, *self.keys]
        size = len(self.anchors)
        for i, f in enumerate(views):
            other = (i + size) % (2 * size)
            rest = [f @ v for j, v in enumerate(views) if j not in (i, other)]
            found.append((float(f @ views[other]), np.array(rest)))
        return found


PerAnchor = Callable[[float, Matrix], float]


def mean_over(per_anchor: PerAnchor) -> Callable[[Problem, Any], float]:
    """The mean of a loss of one anchor; nothing in it is frozen."""
    return lambda problem, _: float(np.mean([per_anchor(p, n) for p, n in problem.pairs()]))


def cross_entropy(positive: float, negatives: Matrix, tau: float) -> float:
    """-log of the positive's share of the softmax."""
    return float(
        -np.log(np.exp(positive / tau) / np.exp(np.append(negatives, positive) / tau).sum())
    )


def negatives_share(positive: float, negatives: Matrix, tau: float) -> float:
    """1 - P_ii."""
    weights = np.exp(np.append(negatives, positive) / tau)
    return float(weights[:-1].sum() / weights.sum())


def hcl(positive: float, negatives: Matrix, tau: float, beta: float, tau_plus: float) -> float:
    """Robinson et al. 2021, as their code has it."""
    e, own, count = np.exp(negatives / tau), np.exp(positive / tau), len(negatives)
    weights = e**beta
    reweighted = (weights * e).sum() / weights.mean()
    total = max((reweighted - tau_plus * count * own) / (1 - tau_plus), count * np.exp(-1 / tau))
    return float(-np.log(own / (own + total)))


def hardest(negatives: Matrix, count: int) -> Matrix:
    """The ``count`` largest."""
    return np.sort(negatives)[::-1][:count]


def dual_temperature(tau: float, ratio: float) -> tuple[Callable[..., float], Callable[..., Any]]:
    """Zhang et al. 2022: the value, and what is frozen in it."""

    def frozen(problem: Problem) -> list[float]:
        return [
            negatives_share(p, n, ratio * tau) / negatives_share(p, n, tau)
            for p, n in problem.pairs()
        ]

    def value(problem: Problem, weights: list[float]) -> float:
        losses = [cross_entropy(p, n, tau) for p, n in problem.pairs()]
        return float(np.mean(np.array(weights) * losses))

    return value, frozen


def macl(
    tau: float, alpha: float, threshold: float
) -> tuple[Callable[..., float], Callable[..., Any]]:
    """Huang et al. 2023: the value, and what is frozen in it."""

    def frozen(problem: Problem) -> tuple[float, list[float]]:
        alignment = float(np.mean([p for p, _ in problem.pairs()]))
        adapted = tau * (1 + alpha * (alignment - threshold))
        return adapted, [negatives_share(p, n, adapted) for p, n in problem.pairs()]

    def value(problem: Problem, kept: tuple[float, list[float]]) -> float:
        adapted, shares = kept
        losses = [cross_entropy(p, n, adapted) for p, n in problem.pairs()]
        return float(np.mean(np.array(losses) / shares))

    return value, frozen


def supcon(problem: Problem, tau: float) -> float:
    """Khosla et al. 2020, L_out."""
    assert problem.keys is not None
    assert problem.labels is not None
    views, labels = [*problem.anchors, *problem.keys], [*problem.labels, *problem.labels]
    losses = []
    for i, f in enumerate(views):
        total = sum(np.exp(f @ v / tau) for j, v in enumerate(views) if j != i)
        same = [j for j in range(len(views)) if j != i and labels[j] == labels[i]]
        losses.append(-np.mean([np.log(np.exp(f @ views[j] / tau) / total) for j in same]))
    return float(np.mean(losses))


def isogclr(
    problem: Problem, tau: float, rho: float, gamma: float, eta: float, beta: float,
    smallest: float, largest: float, clip: float, steps: int,
) -> tuple[list[float], Matrix]:  # fmt: skip
    """Qiu et al. 2023: the values of some steps on one batch, and the temperatures after them."""
    batch, views = len(problem.index), len(problem.pairs()) // len(problem.index)
    taus = np.full(batch, tau)
    running: list[float | None] = [None] * batch
    velocity = np.zeros(batch)
    values = []
    for _ in range(steps):
        means, gradients, losses = np.zeros(batch), np.zeros(batch), []
        for place, (positive, negatives) in enumerate(problem.pairs()):
            i = place % batch
            h = negatives - positive
            now = np.exp(h / taus[i]).mean()
            before = running[i]
            u = now if before is None else (1 - gamma) * before + gamma * now
            gradient = np.log(u) + rho - (np.exp(h / taus[i]) / u * h / taus[i]).mean()
            losses.append(taus[i] * (np.log(u) + rho))
            means[i] += u / views
            gradients[i] += gradient / views
        values.append(float(np.mean(losses)))
        for i in range(batch):
            running[i] = float(means[i])
            velocity[i] += beta * (np.clip(gradients[i], -clip, clip) - velocity[i])
            taus[i] = np.clip(taus[i] - eta * velocity[i], smallest, largest)
    return values, taus


def gradients(
    value: Callable[[Problem, Any], float], problem: Problem, frozen: Any, step: float = 1e-6
) -> dict[str, Matrix]:
    """Central differences by the anchors, and by the keys where they are anchors as well."""
    wanted = ["anchors", "keys"] if problem.source == "batch" else ["anchors"]
    found = {}
    for name in wanted:
        given: Matrix = getattr(problem, name)
        gradient = np.zeros_like(given)
        for place in np.ndindex(*given.shape):
            ends = []
            for sign in (1, -1):
                moved = given.copy()
                moved[place] += sign * step
                changed: dict[str, Any] = {name: moved}
                ends.append(value(replace(problem, **changed), frozen))
            gradient[place] = (ends[0] - ends[1]) / (2 * step)
        found[name] = gradient
    return found
