"""Assess embeddings of any encoder: every measure with its interval, and warnings (flags)."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tausweep.measures import estimate, geometry, held_out, influence, quality
from tausweep.measures.estimate import Estimate
from tausweep.measures.quality import Flag, Quality
from tausweep.measures.sphere_dimension import effective_dimension
from tausweep.study import KnnSettings

T = 2.0
SLOPE_STEP = 1e-4
"""Step in uniformity for the slope of the effective dimension."""


def assess(
    x: Tensor,
    labels: Tensor | None = None,
    train: Tensor | None = None,
    train_labels: Tensor | None = None,
    views: tuple[Tensor, Tensor] | None = None,
    name: str = "embeddings",
    k: int = KnnSettings().k,
    temperature: float = KnnSettings().temperature,
) -> Quality:
    """Measure embeddings.

    Args:
        x: n x d float, n >= 2; normalised inside, except for the linear classifier.
        labels: n integers; without them nothing about classes is measured.
        train: N x d embeddings of other instances, from which kNN and the linear classifier learn;
            without them x is split into folds (``held_out``).
        train_labels: N integers.
        views: Embeddings of two views of the same instances, for alignment.
        name: Name of x in the output.
        k: Number of neighbours that vote; all of them if there are fewer.
        temperature: Temperature of their votes.

    Raises:
        ValueError: Fewer than two rows, shapes that do not fit, a zero or non-finite row.
    """
    if len(x) < 2:
        raise ValueError(f"{len(x)} rows given; two or more are needed, for there are no pairs")
    geometry.normalised(x)  # refuses rows without a direction before anything that takes time
    if labels is not None and (labels.shape != (len(x),) or labels.is_floating_point()):
        raise ValueError(
            f"labels: {tuple(labels.shape)} {labels.dtype} given; {len(x)} integers are needed"
        )
    n, dim = x.shape
    found = Quality(
        name, n, dim, None, {}, {}, [], None, None, None, T, {}, {},
        None if labels is None else labels.cpu().numpy().astype(np.int64),
    )  # fmt: skip
    collapsed = geometry.collapsed(x)
    _of_pairs(found, x)
    _of_rank(found, x)
    if views is None:
        found.missing["alignment"] = "there are no views: it needs images and an encoder"
    else:
        moves = influence.alignment(*views)
        value = geometry.alignment(*views)
        _put(found, "alignment", value, moves, 0.0, 4.0)
    if labels is None:
        for measure in ("tolerance", "interclass_similarity", "tolerance_gap"):
            found.missing[measure] = "there are no labels"
        for measure in ("knn_accuracy", "linear_accuracy"):
            found.missing[measure] = "there are no labels"
    else:
        found = replace(found, classes=len(torch.unique(labels)))
        _of_classes(found, x, labels)
        found = _of_classifiers(found, x, labels, train, train_labels, collapsed, (k, temperature))
    estimates = {m: found.estimates[m] for m in quality.QUALITIES if m in found.estimates}
    missing = {m: found.missing[m] for m in quality.QUALITIES if m in found.missing}
    few = [] if collapsed else quality.too_few(estimates)
    flags = [*_general_flags(found, x, collapsed), *few, *found.flags]
    return replace(found, estimates=estimates, missing=missing, flags=flags)


def _put(
    found: Quality,
    name: str,
    value: float,
    moves: NDArray[np.float64] | None,
    least: float,
    most: float,
) -> None:
    if moves is None:
        found.estimates[name] = Estimate(value, None, None, found.n)
        return
    found.estimates[name] = estimate.by_influence(value, moves, least, most)
    found.influence[name] = moves


def _of_pairs(found: Quality, x: Tensor) -> None:
    """Uniformity, the dimension that follows from it, and the common mean."""
    spread = geometry.uniformity(x, T)
    moves = influence.uniformity(x, T) if found.n > 2 else None
    _put(found, "uniformity", spread, moves, 0.0, 4 * T)
    interval = found.estimates["uniformity"]
    dimension = effective_dimension(spread, T)
    # It rises with uniformity, so its interval has the ends of uniformity's interval.
    low, high = (None if u is None else effective_dimension(u, T) for u in _ends(interval))
    found.estimates["effective_dimension"] = Estimate(dimension, low, high, found.n)
    if moves is not None and math.isfinite(dimension):
        above, below = (effective_dimension(spread + h, T) for h in (SLOPE_STEP, -SLOPE_STEP))
        found.influence["effective_dimension"] = (above - below) / (2 * SLOPE_STEP) * moves
    mean = geometry.common_mean(x)
    _put(found, "common_mean", mean, influence.common_mean(x), 0.0, 1.0)


def _ends(interval: Estimate) -> tuple[float | None, float | None]:
    return interval.low, interval.high


def _of_rank(found: Quality, x: Tensor) -> None:
    rank = geometry.rankme(x)
    most = float(min(x.shape))
    if found.n > 2:
        moves = influence.rankme(x)
        found.influence["rankme"] = moves
        found.estimates["rankme"] = estimate.by_influence(rank, moves, 1.0, most, found.n)
    else:
        found.estimates["rankme"] = Estimate(rank, None, None, found.n)
    if found.n < 4:
        found.flags.append(quality.rank_of_so_few(found.n, found.dim, rank))
    else:
        order = torch.from_numpy(np.random.default_rng(0).permutation(found.n))
        halves = [geometry.rankme(x[part]) for part in order.tensor_split(2)]
        found.flags.extend(quality.rank_grows(found.n, rank, sum(halves) / 2))


def _of_classes(found: Quality, x: Tensor, labels: Tensor) -> None:
    """Tolerance, inter-class similarity and their gap."""
    counts = torch.unique(labels, return_counts=True)[1]
    if int(counts.max()) >= 2:
        within = geometry.tolerance(x, labels)
        _put(found, "tolerance", within, influence.tolerance(x, labels), -1.0, 1.0)
    else:
        found.missing["tolerance"] = "no class has two instances"
    if len(counts) >= 2:
        between = geometry.interclass_similarity(x, labels)
        moves = influence.interclass_similarity(x, labels)
        _put(found, "interclass_similarity", between, moves, -1.0, 1.0)
    else:
        found.missing["interclass_similarity"] = "there is a single class"
    pair = ("tolerance", "interclass_similarity")
    if all(name in found.estimates for name in pair):
        value = found.estimates[pair[0]].value - found.estimates[pair[1]].value
        moves = found.influence[pair[0]] - found.influence[pair[1]]
        _put(found, "tolerance_gap", value, moves, -2.0, 2.0)
    else:
        reasons = [found.missing[name] for name in pair if name in found.missing]
        found.missing["tolerance_gap"] = reasons[0]


def _of_classifiers(
    found: Quality,
    x: Tensor,
    labels: Tensor,
    train: Tensor | None,
    train_labels: Tensor | None,
    collapsed: bool,
    votes: tuple[int, float],
) -> Quality:
    """Accuracy of kNN and of the linear classifier, and how they were trained."""
    counts = torch.unique(labels, return_counts=True)[1]
    reason = None
    if collapsed:
        reason = "all embeddings are one point, so rounding would decide"
    elif len(counts) < 2:
        reason = "there is a single class"
    elif train is None and int(counts.max()) < 2:
        reason = "no class has two instances"
    if reason is not None:
        found.missing["knn_accuracy"] = found.missing["linear_accuracy"] = reason
        return found
    if train is None or train_labels is None:
        splits = held_out.folds(labels)
        every, own = x, labels
        split = (
            f"{len(splits)} folds, each class evenly, seed 0: an instance is classified from those "
            "of the other folds"
        )
    else:
        every, own = torch.cat([x, train]), torch.cat([labels, train_labels.to(labels.dtype)])
        rows = torch.arange(len(every))
        splits = [held_out.Split(rows[found.n :], rows[: found.n])]
        split = f"trained on the {len(train):,} instances of the training split"
    trained_on = min(len(part.train) for part in splits)
    neighbours = min(votes[0], trained_on)
    classifiers = {
        "knn_accuracy": held_out.by_neighbours(*votes),
        "linear_accuracy": held_out.linearly,
    }
    for name, classify in classifiers.items():
        right = held_out.correct(classify, every, own, splits).numpy()
        found.correct[name] = right
        found.estimates[name] = estimate.of_share(right)
    found.flags.extend(quality.separable(trained_on, trained_on + len(splits[0].test), found.dim))
    how = f"kNN: k = {neighbours}, votes exp(s / {votes[1]:g}); linear: converged, no penalty"
    return replace(found, split=f"{split} ({how})")


def _general_flags(found: Quality, x: Tensor, collapsed: bool) -> list[Flag]:
    # Without the 1 / n that even unrelated points would have.
    mean = (found.n * found.estimates["common_mean"].value - 1) / (found.n - 1)
    rank, dimension = found.estimates["rankme"].value, found.estimates["effective_dimension"].value
    flags = []
    if collapsed:
        spread = found.estimates["uniformity"].value
        bound = 2 * T * found.dim * 2.0**-24
        sentence = "collapsed: all embeddings are one point, as far as float32 can tell"
        return [Flag("collapsed", None, spread, bound, sentence)]
    if rank < (least := quality.LOW_RANK_SHARE * min(x.shape)):
        sentence = (
            f"low rank: RankMe is {rank:.3g} of at most {min(x.shape)}; less than "
            f"{least:.3g} is called low"
        )
        flags.append(Flag("low_rank", "rankme", rank, least, sentence))
    large_mean = mean > quality.LARGE_COMMON_MEAN
    # A large common mean lowers the effective dimension, whatever the rank is.
    if dimension < quality.LOW_DIMENSION and not large_mean:
        sentence = (
            f"low rank: the effective dimension is {dimension:.3g}; less than "
            f"{quality.LOW_DIMENSION:g} is called low"
        )
        least = quality.LOW_DIMENSION
        flags.append(Flag("low_rank", "effective_dimension", dimension, least, sentence))
    if large_mean:
        sentence = (
            f"large common mean: {mean:.2f} of every similarity is the mean that all embeddings "
            f"share (more than {quality.LARGE_COMMON_MEAN:g}); read the gap, not tolerance alone"
        )
        flags.append(Flag("large_common_mean", None, mean, quality.LARGE_COMMON_MEAN, sentence))
    unique = len(np.unique(x.detach().cpu().numpy(), axis=0))
    if (share := 1 - unique / found.n) > quality.COPIES:
        sentence = (
            f"copies: {found.n - unique:,} of {found.n:,} rows are exact copies of others, "
            "which count as instances of their own here: intervals are too narrow, accuracies "
            "too high"
        )
        flags.append(Flag("copies", None, share, quality.COPIES, sentence))
    return flags
