"""The measures for a notebook: each takes NumPy arrays or tensors and returns one value."""

from __future__ import annotations

from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from tausweep.measures import geometry, knn, linear, sphere_dimension
from tausweep.study import KnnSettings, LinearSettings

Array = Tensor | NDArray[Any]


def uniformity(x: Array, t: float = 2.0) -> float:
    """Uniformity: -log of the mean Gaussian potential of all distinct pairs (Eq. 10).

    Args:
        x: n x d embeddings, n >= 2; normalised inside.
        t: Sharpness of the potential, in (0, 300].

    Returns:
        0 if all embeddings are one point; the larger, the more uniform.

    Raises:
        ValueError: Fewer than two rows, a zero or non-finite row, t out of range.

    Examples:
        >>> import numpy as np
        >>> from tausweep.measures import uniformity
        >>> x = np.random.default_rng(0).standard_normal((1000, 128))
        >>> round(uniformity(x), 2)  # points uniform on the sphere come near 2t = 4
        3.94
    """
    return geometry.uniformity(_tensor(x), t)


def tolerance(x: Array, labels: Array) -> float:
    """Tolerance: mean similarity of all distinct pairs of one class (Eq. 11).

    Args:
        x: n x d embeddings; normalised inside.
        labels: n integers.

    Returns:
        In [-1, 1]; 1 if each class is one point.

    Raises:
        ValueError: A zero or non-finite row, or no class with two members.

    Examples:
        >>> import numpy as np
        >>> from tausweep.measures import tolerance
        >>> x = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
        >>> tolerance(x, np.array([0, 0, 1, 1]))
        1.0
    """
    return geometry.tolerance(_tensor(x), _tensor(labels))


def interclass_similarity(x: Array, labels: Array) -> float:
    """Mean similarity of all pairs of different classes.

    Args:
        x: n x d embeddings; normalised inside.
        labels: n integers.

    Returns:
        In [-1, 1]. Tolerance minus this does not contain a mean that all embeddings share.

    Raises:
        ValueError: A zero or non-finite row, or a single class.

    Examples:
        >>> import numpy as np
        >>> from tausweep.measures import interclass_similarity
        >>> x = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
        >>> interclass_similarity(x, np.array([0, 0, 1, 1]))
        0.0
    """
    return geometry.interclass_similarity(_tensor(x), _tensor(labels))


def alignment(x: Array, y: Array) -> float:
    """Alignment: mean squared distance of positive pairs (Wang & Isola 2020).

    Args:
        x: n x d embeddings of one view; normalised inside.
        y: n x d embeddings of the other, row by row.

    Returns:
        0 if both views are the same points, up to 4.

    Raises:
        ValueError: Shapes that differ, a zero or non-finite row.

    Examples:
        >>> import numpy as np
        >>> from tausweep.measures import alignment
        >>> alignment(np.eye(2), np.eye(2)[::-1].copy())
        2.0
    """
    return geometry.alignment(_tensor(x), _tensor(y))


def effective_dimension(uniformity: float, t: float = 2.0) -> float:
    """Dimension of the space whose uniform distribution on the sphere has this uniformity.

    Args:
        uniformity: Uniformity at ``t``.
        t: In (0, 300].

    Returns:
        1 and more; infinite where a finite sample is more uniform than any sphere.

    Raises:
        ValueError: t out of range, uniformity not a number.

    Examples:
        >>> from tausweep.measures import effective_dimension
        >>> round(effective_dimension(3.5))
        16
    """
    return sphere_dimension.effective_dimension(uniformity, t)


def rankme(x: Array) -> float:
    """RankMe: the exponential of the entropy of the singular values (Garrido et al. 2023).

    Args:
        x: n x d embeddings; normalised inside.

    Returns:
        1 if all lie on one line, up to min(n, d).

    Raises:
        ValueError: A zero or non-finite row.

    Examples:
        >>> import numpy as np
        >>> from tausweep.measures import rankme
        >>> round(rankme(np.eye(8)), 3)
        8.0
    """
    return geometry.rankme(_tensor(x))


def knn_accuracy(
    train: Array,
    train_labels: Array,
    test: Array,
    test_labels: Array,
    k: int = KnnSettings().k,
    temperature: float = KnnSettings().temperature,
) -> float:
    """Accuracy of a weighted kNN classifier: k neighbours vote with exp(s / temperature).

    Args:
        train: N x d embeddings; normalised inside.
        train_labels: N integers.
        test: M x d embeddings.
        test_labels: M integers.
        k: Neighbours, 1 to N (Wu et al. 2018: 200).
        temperature: Temperature of the votes (0.07).

    Returns:
        In percent.

    Raises:
        ValueError: Shapes that do not fit, k out of range, a zero or non-finite row.

    Examples:
        >>> import numpy as np
        >>> from tausweep.measures import knn_accuracy
        >>> x, labels = np.eye(3), np.array([0, 1, 2])
        >>> knn_accuracy(x, labels, x, labels, k=1)
        100.0
    """
    keys, queries = (_tensor(train), _tensor(train_labels)), (_tensor(test), _tensor(test_labels))
    return knn.percentage(knn.correct(*keys, *queries, k, temperature))


def linear_probe(
    train: Array,
    train_labels: Array,
    test: Array,
    test_labels: Array,
    settings: LinearSettings | None = None,
    seed: int = 0,
) -> float | None:
    """Accuracy of a linear classifier trained on frozen features, after its last epoch.

    Args:
        train: N x D features, not normalised.
        train_labels: N integers.
        test: M x D features.
        test_labels: M integers.
        settings: Settings of its SGD; by default the paper's, with a learning rate of 30.
        seed: Seed of the initial weights and of the order.

    Returns:
        In percent; none if it diverged.

    Raises:
        ValueError: Shapes that do not fit, features that are not finite.

    Examples:
        >>> import numpy as np
        >>> from tausweep.measures import linear_probe
        >>> from tausweep.study import LinearSettings
        >>> x, labels = np.eye(3, dtype=np.float32), np.array([0, 1, 2])
        >>> linear_probe(x, labels, x, labels, LinearSettings(lr=1.0))
        100.0
    """
    found = linear.probe(
        _tensor(train)[None],
        _tensor(train_labels),
        _tensor(test),
        _tensor(test_labels),
        settings or LinearSettings(),
        seed,
    )
    return found.accuracy


def _tensor(values: Array) -> Tensor:
    return torch.as_tensor(values)
