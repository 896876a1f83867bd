"""Which instances do kNN and a linear classifier get right without having seen them?

If there is no training split, scikit-learn splits the instances into folds, each class evenly. Each
fold is classified from all other folds, so every instance counts once.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from sklearn.model_selection import StratifiedKFold
from torch import Tensor

from tausweep.measures import knn, linear, logistic

FOLDS = 5

Classify = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


class Split(NamedTuple):
    """Rows of the instances that a classifier is trained on, and of those held out."""

    train: Tensor
    test: Tensor


def folds(labels: Tensor, seed: int = 0) -> list[Split]:
    """Split instances into folds of equal size, each class evenly.

    Args:
        labels: n integers, one class with two members or more.
        seed: Seed of the order within a class.

    Returns:
        ``FOLDS`` splits, or as many as the largest class has members.

    Raises:
        ValueError: No class has two members.
    """
    codes = labels.cpu().numpy()
    largest = int(np.unique(codes, return_counts=True)[1].max())
    cutter = StratifiedKFold(min(FOLDS, largest), shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        # A class with fewer members than folds is missing in some of them, which is allowed.
        warnings.filterwarnings("ignore", "The least populated class", UserWarning)
        parts = list(cutter.split(codes, codes))
    return [Split(torch.from_numpy(train), torch.from_numpy(test)) for train, test in parts]


def correct(classify: Classify, x: Tensor, labels: Tensor, splits: list[Split]) -> Tensor:
    """Which held-out instances of all splits are classified correctly.

    Args:
        classify: ``nearest`` or ``linearly``; takes training and test embeddings and labels.
        x: n x d.
        labels: n integers.
        splits: Rows of x; each row may be held out only once.

    Returns:
        One bool per held-out instance, in the order of their rows in x.
    """
    rows = torch.cat([split.test for split in splits])
    found = [
        classify(x[split.train], labels[split.train], x[split.test], labels[split.test])
        for split in splits
    ]
    return torch.cat(found)[rows.argsort()]


def by_neighbours(k: int, temperature: float) -> Classify:
    """The weighted kNN classifier; if there are fewer than k training instances, all vote."""

    def classify(train: Tensor, own: Tensor, test: Tensor, truth: Tensor) -> Tensor:
        return knn.correct(train, own, test, truth, min(k, len(train)), temperature)

    return classify


def linearly(train: Tensor, own: Tensor, test: Tensor, truth: Tensor) -> Tensor:
    """Logistic regression without a penalty, at its optimum (``linear.converged``)."""
    classes, codes = torch.unique(own.cpu().to(torch.int64), return_inverse=True)
    if len(classes) < 2:
        return torch.eq(truth.cpu(), classes[0])
    fitted = logistic.on_the_cpu(
        train.cpu().float(), codes, test.cpu().float(), len(classes), linear.MAX_ITERATIONS
    )
    return torch.eq(classes[torch.from_numpy(fitted.predicted)], truth.cpu())
