"""Weighted k-nearest-neighbour classification of embeddings (Wu et al. 2018; docs/protocol.md)."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from tausweep.losses import selection
from tausweep.losses.streaming import full_precision, rows_at_once
from tausweep.measures.geometry import normalised

SMALLEST_SAVING = 16
"""A sample's bound is worth the search only if it leaves at most one in this many columns."""
SMALLEST_GROUP = 4
"""Smallest useful group: in smaller ones, two searches cost more than one among all keys."""


def percentage(right: Tensor) -> float:
    """Share of true values among M bools, in percent."""
    return 100.0 * float(right.to(torch.float64).mean())


def correct(
    train: Tensor,
    train_labels: Tensor,
    test: Tensor,
    test_labels: Tensor,
    k: int,
    temperature: float,
) -> Tensor:
    """Test embeddings for which ``predict`` gives their own label.

    Args:
        train: N x d keys; normalised inside.
        train_labels: N integers.
        test: M x d queries, M >= 1; normalised inside.
        test_labels: M integers; a label that no key has counts as an error.
        k: Neighbours that vote, 1 to N.
        temperature: tau > 0.

    Returns:
        M bool, on the CPU.

    Raises:
        ValueError: See ``predict``.
    """
    _check_labels("test_labels", test_labels, len(test))
    return predict(train, train_labels, test, k, temperature) == test_labels.cpu()


def predict(
    train: Tensor, train_labels: Tensor, test: Tensor, k: int, temperature: float
) -> Tensor:
    """The label with the largest sum of exp(s / temperature) over each query's k nearest keys.

    Similarities s are float32 cosines. Votes are summed in float64 relative to the weight of the
    nearest key, so that no temperature overflows. Ties between neighbours go to the lower row, ties
    between votes to the lower label. So all devices that compute the same similarities give the
    same result.

    Args:
        train: N x d keys; normalised inside.
        train_labels: N integers; they define the classes.
        test: M x d queries, M >= 1; normalised inside.
        k: Neighbours that vote, 1 to N.
        temperature: tau > 0.

    Returns:
        M labels, int64, on the CPU.

    Raises:
        ValueError: k or temperature out of range, shapes that do not fit, a zero or non-finite row.
    """
    _check_labels("train_labels", train_labels, len(train))
    if not 1 <= k <= len(train):
        raise ValueError(f"k: {k} is not allowed; with {len(train)} keys it is 1 to {len(train)}")
    if not (temperature > 0 and math.isfinite(temperature)):
        raise ValueError(f"temperature: {temperature} is not allowed; it is above 0")
    if train.shape[1:] != test.shape[1:] or len(test) == 0:
        raise ValueError(
            f"test: {tuple(test.shape)} given; allowed is M x {train.shape[-1]} with M >= 1"
        )
    keys = normalised(train, "train").to(torch.float32)
    queries = normalised(test, "test").to(torch.float32)
    classes, codes = torch.unique(train_labels.cpu().to(torch.int64), return_inverse=True)
    predicted = []
    # One buffer for all chunks: allocating fresh pages would cost a fifth of the product.
    at_once = rows_at_once(len(keys), keys.device)
    buffer = keys.new_empty(min(at_once, len(queries)), len(keys))
    with full_precision(keys.device):
        for part in queries.split(at_once):
            values, rows = _nearest(torch.mm(part, keys.T, out=buffer[: len(part)]), k)
            weights = torch.exp((values - values[:, :1]) / temperature)
            # The CPU adds a row's votes in the order of its neighbours, so that classes with the
            # same similarities tie exactly.
            votes = weights.new_zeros(len(part), len(classes))
            votes.scatter_add_(1, codes[rows], weights)
            predicted.append(classes[votes.argmax(dim=1)])
    return torch.cat(predicted)


def _nearest(similarities: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k largest of each row: float64 values, descending, and columns, on the CPU.

    Ties go to the lower column, which ``topk`` alone does not guarantee.
    """
    values, columns = _largest(similarities, min(k + 1, similarities.shape[1]))
    cut = values.shape[1] > k
    ties = torch.nonzero(values[:, k - 1] == values[:, k])[:, 0].tolist() if cut else []
    values, columns = values[:, :k], columns[:, :k]
    for row in ties:
        threshold = values[row, -1]
        tied = values[row] == threshold
        lowest = torch.nonzero(similarities[row] == threshold)[:, 0]
        columns[row, tied] = lowest[: int(tied.sum())]
    return values.to("cpu", torch.float64), columns.cpu()


def _largest(similarities: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """``topk`` of each row: the ``count`` largest values, descending, and their columns."""
    columns = similarities.shape[1]
    step, above = selection.sampling(columns, count)
    few = step > 1 and SMALLEST_SAVING * above * step < columns
    found = _by_sample(similarities, count, step, above) if few else None
    if found is None:
        return _by_groups(similarities, count)
    values, places, missing = found
    if len(missing):
        values[missing], places[missing] = _by_groups(similarities[missing], count)
    return values, places


def _by_sample(
    similarities: Tensor, count: int, step: int, above: int
) -> tuple[Tensor, Tensor, Tensor] | None:
    """``_largest`` among the values that are not below a bound from every ``step``-th column.

    Returns:
        Values, columns, and the rows with fewer than ``count`` values left, which are not valid.
        None if too many values are left to save time, or on an accelerator.
    """
    if similarities.device.type != "cpu":
        return None
    values = similarities.numpy()
    rows, columns = values.shape
    sample = values[:, ::step].copy()
    rank = sample.shape[1] - 1 - above
    sample.partition(rank, axis=1)
    kept = values >= sample[:, rank, None]
    if SMALLEST_GROUP * np.count_nonzero(kept) > kept.size:
        return None
    flat = np.flatnonzero(kept)
    row = flat // columns
    found = np.bincount(row, minlength=rows)
    place = np.arange(len(flat)) - np.repeat(np.cumsum(found) - found, found)
    shape = rows, max(count, int(found.max()))
    candidates = np.full(shape, -np.inf, dtype=values.dtype)
    candidates[row, place] = values.reshape(-1)[flat]
    column = np.zeros(shape, dtype=np.int64)
    column[row, place] = flat - row * columns
    largest, chosen = torch.from_numpy(candidates).topk(count, dim=1)
    missing = torch.from_numpy(np.flatnonzero(found < count))
    return largest, torch.from_numpy(column).gather(1, chosen), missing


def _by_groups(similarities: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """``_largest`` on any device.

    Columns are split into groups. The ``count`` groups with the largest maxima contain the
    ``count`` largest values, because a value outside them is at most each of their maxima. So two
    searches among some thousands replace one among all columns.
    """
    rows, columns = similarities.shape
    size = math.isqrt(columns // count)
    if size < SMALLEST_GROUP:
        return similarities.topk(count, dim=1)
    groups = columns // size
    # Group g has the columns g, g + groups, ..., so that maxima run along contiguous memory.
    maxima = similarities[:, : size * groups].unflatten(1, (size, groups)).amax(dim=1)
    chosen = maxima.topk(count, dim=1, sorted=False).indices
    steps = groups * torch.arange(size, device=chosen.device)
    remainder = torch.arange(size * groups, columns, device=chosen.device).expand(rows, -1)
    candidates = torch.cat([(chosen[:, None] + steps[:, None]).flatten(1), remainder], dim=1)
    values, places = similarities.gather(1, candidates).topk(count, dim=1)
    return values, candidates.gather(1, places)


def _check_labels(name: str, labels: Tensor, count: int) -> None:
    if labels.shape != (count,) or labels.is_floating_point():
        raise ValueError(
            f"{name}: {tuple(labels.shape)} {labels.dtype} given; allowed are {count} integers"
        )
