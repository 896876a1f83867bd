"""Every way to the K largest of a row finds the same ones, whatever the row looks like."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tausweep.losses import selection

pytestmark = pytest.mark.numerical

SIZE = 2 * selection.SAMPLED_ROW
STEP, _ = selection.sampling(SIZE, 1)
ROWS: dict[str, Callable[[np.random.Generator], Any]] = {
    "random": lambda draw: draw.standard_normal(SIZE),
    "many ties": lambda draw: draw.integers(9, size=SIZE),
    "all equal": lambda draw: np.zeros(SIZE),
    "ascending": lambda draw: np.arange(SIZE),
    "descending": lambda draw: -np.arange(SIZE),
    # What the sample meets, every step-th value, is larger than all others, or smaller.
    "a sample too high": lambda draw: draw.random(SIZE) + 9 * (np.arange(SIZE) % STEP == 0),
    "a sample too low": lambda draw: draw.random(SIZE) - 9 * (np.arange(SIZE) % STEP == 0),
}


def rows(kind: str) -> Tensor:
    draw = np.random.default_rng(0)
    return torch.from_numpy(np.stack([ROWS[kind](draw) for _ in range(3)]).astype(np.float32))


@pytest.mark.parametrize("kind", ROWS)
@pytest.mark.parametrize("count", [1, 7, 600, SIZE // 4, SIZE // 2, SIZE - 1, SIZE])
@pytest.mark.parametrize("sampled", [True, False])
def test_the_largest_are_found_and_equal_ones_go_to_the_lower_column(
    kind: str, count: int, sampled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selection, "sampling_pays", lambda: sampled)
    values = rows(kind)
    expected = torch.zeros_like(values, dtype=torch.bool)
    order = values.sort(dim=1, descending=True, stable=True).indices[:, :count]
    expected.scatter_(1, order, True)
    smallest, largest = selection.interval(values, count)
    assert torch.equal(values >= smallest, expected)
    assert torch.equal(largest, rows(kind).amax(1, keepdim=True))


def test_a_sample_leaves_a_tenth_to_order_and_its_bound_may_fail() -> None:
    row = rows("random")[0].numpy()
    assert 600 <= len(selection.by_sample(row, 600)) < SIZE / 8
    assert len(selection.by_sample(rows("a sample too high")[0].numpy(), 3000)) == SIZE
    assert len(selection.by_sample(row, SIZE // 2)) == SIZE


@pytest.mark.parametrize("sampled", [True, False])
def test_what_is_not_a_number_is_the_largest(
    sampled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So a step that has diverged is seen in its loss."""
    monkeypatch.setattr(selection, "sampling_pays", lambda: sampled)
    values = rows("random")
    values[1, 17] = torch.nan
    _, largest = selection.interval(values, 600)
    assert largest.isnan().flatten().tolist() == [False, True, False]
