"""Weighted kNN against scikit-learn's brute force, on embeddings of overlapping classes.

scikit-learn searches unit vectors by Euclidean distance, which ranks as the cosine does and is the
faster of the two: its cosine has no fused search.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from statistics import median

import measure
import numpy as np
import torch
from measure import Cells, Row
from numpy.typing import NDArray
from sklearn.neighbors import KNeighborsClassifier
from threadpoolctl import threadpool_limits
from torch import Tensor

from tausweep.measures import knn

KEYS, QUERIES, DIM, CLASSES = 50_000, 10_000, 128, 10
K, TEMPERATURE = 200, 0.07
NOISE = 3.0
"""Times the distance of the means: a part of the queries is then not their own class's."""


def embeddings(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Unit rows around ten means, which are the same for every seed, and the means' numbers."""
    means = torch.randn(CLASSES, DIM, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(count) % CLASSES
    noise = torch.randn(count, DIM, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.normalize(means[labels] + NOISE * noise, dim=1), labels


def weights(distances: NDArray[np.float32]) -> NDArray[np.float32]:
    """exp(s / tau) of the cosines s that belong to distances of unit vectors."""
    weighted: NDArray[np.float32] = np.exp((1 - distances**2 / 2) / TEMPERATURE)
    return weighted


def rows() -> Iterator[Row]:
    """Aim 8."""
    keys, labels = embeddings(KEYS, 1)
    queries, expected = embeddings(QUERIES, 2)
    models = {
        metric: KNeighborsClassifier(K, algorithm="brute", metric=metric, weights=weights).fit(
            keys.numpy(), labels.numpy()
        )
        for metric in ("euclidean", "cosine")
    }
    peer = models["euclidean"]
    cells: Cells = {
        "ours": lambda: knn.predict(keys, labels, queries, K, TEMPERATURE),
        "scikit-learn": lambda: peer.predict(queries.numpy()),
        "neighbours": lambda: peer.kneighbors(queries.numpy()),
    }
    found = {name: cell() for name, cell in cells.items()}
    ours, theirs = np.asarray(found["ours"]), np.asarray(found["scikit-learn"])
    different = int((ours != theirs).sum())
    # Similarities of two programs differ in the last bits, so near-equal votes may fall apart.
    if different > QUERIES // 1000:
        raise ValueError(f"{different} of {QUERIES:,} predictions differ")
    accuracy = 100 * float((ours == expected.numpy()).mean())
    times = measure.interleave(cells, rounds=3, warmup=0)
    cosine = measure.interleave({"cosine": lambda: models["cosine"].predict(queries.numpy())}, 1, 0)
    what = f"kNN, {QUERIES:,} queries, {KEYS:,} keys, k = {K}, d = {DIM}"
    agree = f"{different} of {QUERIES:,} predictions differ; accuracy {accuracy:.1f} %"
    mine = median(times["ours"])
    for name, against, aim, note in (
        ("scikit-learn", "KNeighborsClassifier, brute, weights exp(s / 0.07)", ">= 3", agree),
        ("neighbours", "its kneighbors alone, without the vote", "", ""),
    ):
        yield Row(
            "8", what, against, mine, median(times[name]), measure.ratio(times, name, "ours"), aim,
            note,
        )  # fmt: skip
    theirs_cosine = cosine["cosine"][0]
    yield Row(
        "8", what, "the same with metric cosine, once", mine, theirs_cosine, theirs_cosine / mine
    )


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    options = measure.arguments(__doc__)
    with threadpool_limits(options.threads):
        measure.show("neighbours", list(rows()))
