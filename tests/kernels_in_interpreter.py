"""The losses' kernels in Triton's interpreter on a CPU; ``test_bank_softmax.py`` runs this file.

``TRITON_INTERPRET=1`` must be set before Triton is imported, hence the process of its own.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import reference
import tolerance
from loss_problems import by_similarities, check_reference, settings_of, value_and_gradient
from tausweep import losses
from tausweep.losses import bank_softmax
from tausweep.machine import kernel_choice

NAMES = ("contrastive", "hard_contrastive", "hard_simple")
RAGGED = [(5, 70, 8), (16, 131, 24), (6, 300, 128)]
"""B, N, d: none of them is a multiple of all that a program takes at once."""


@pytest.fixture(autouse=True)
def taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every loss goes through the kernels; a row is several times what a program holds."""
    monkeypatch.setattr(kernel_choice, "body", lambda device: "triton")
    monkeypatch.setattr(bank_softmax, "LANES", 64)


def exact(batch: int, size: int, dim: int) -> tuple[Tensor, Tensor, Tensor]:
    """Anchors and bank in quarters, so that their similarities are exact and many are equal.

    The first anchor's positive is its own direction, the nearest of all.
    """
    generator = torch.Generator().manual_seed(size)
    bank = torch.randint(-2, 3, (size, dim), generator=generator) / 4
    anchors = torch.randint(-2, 3, (batch, dim), generator=generator) / 4
    index = torch.randperm(size, generator=generator)[:batch]
    bank[index[0]] = anchors[0]
    return anchors, bank, index


def unit(batch: int, size: int, dim: int) -> tuple[Tensor, Tensor, Tensor]:
    """Random anchors and bank of length 1."""
    generator = torch.Generator().manual_seed(dim)
    bank = F.normalize(torch.randn(size, dim, generator=generator), dim=1)
    anchors = F.normalize(torch.randn(batch, dim, generator=generator), dim=1)
    return anchors, bank, torch.randperm(size, generator=generator)[:batch]


@pytest.mark.parametrize(
    ("shape", "tau"),
    [(RAGGED[0], 0.01), (RAGGED[1], 0.07), (RAGGED[2], 0.3), (RAGGED[0], 1e-6)],
)
def test_contrastive_equals_the_reference(shape: tuple[int, int, int], tau: float) -> None:
    anchors, bank, index = unit(*shape)
    found = value_and_gradient(losses.make("contrastive", tau), anchors, bank, index)
    check_reference(*found, "contrastive", anchors, bank, index, temperature=tau)


# Of all combinations, those of a few seconds; `-m slow` takes the others.
SOON = {
    ("contrastive", RAGGED[1], "all", False),
    ("hard_contrastive", RAGGED[0], "some", False),
    ("hard_contrastive", RAGGED[0], "one", True),
    ("hard_contrastive", RAGGED[2], "all", False),
    ("hard_simple", RAGGED[0], "some", True),
}
COMBINATIONS = [
    pytest.param(*case, marks=[] if case in SOON else pytest.mark.slow)
    for case in itertools.product(NAMES, RAGGED, ("one", "some", "all"), (False, True))
    if case[0].startswith("hard") or case[2:] == ("all", False)
]


@pytest.mark.parametrize(("name", "shape", "negatives", "literal_topk"), COMBINATIONS)
def test_exact_similarities_give_float64_to_a_millionth(
    name: str, shape: tuple[int, int, int], negatives: str, literal_topk: bool
) -> None:
    """With similarities that are exact, the hard set is one set, ties cut, and what is left is
    the softmax's own rounding: below 1e-6 of the loss, and of a gradient's largest possible size.
    """
    anchors, bank, index = exact(*shape)
    count = {"one": 1, "some": shape[1] // 3, "all": shape[1] - 1}[negatives]
    wanted = settings_of(name, 0.07, count)
    loss = losses.make(name, literal_topk=literal_topk, **wanted)
    value, gradient = value_and_gradient(loss, anchors, bank, index)
    expected = reference.loss_and_gradient(
        name, anchors, bank, index, literal_topk=literal_topk, **wanted
    )
    largest = float(bank.abs().max()) / wanted.get("temperature", 1.0) / len(anchors)
    tolerance.check(value, expected[0], 1e-6 * max(1.0, abs(float(expected[0]))), "the loss is")
    tolerance.check(gradient, expected[1], 1e-6 * 2 * largest, "the gradient is")
    if name == "contrastive":
        with torch.no_grad():
            assert torch.equal(loss(anchors, bank, index), value)


def test_the_hard_set_is_exactly_k_with_ties_to_the_lowest_index() -> None:
    """By the unit vectors as bank, the gradient names the set; signed zeros and ends of float32."""
    rows = torch.zeros(5, 70)
    rows[1] = 0.5
    rows[2, ::2] = -0.0
    rows[3] = torch.linspace(-1, 1, 70)
    rows[4, 10:20] = torch.tensor([1e37, -1e37, 1e-40, -1e-40, 1e-30]).repeat_interleave(2)
    index = torch.tensor([0, 69, 3, 69, 10])
    for count in (4, 69):
        _, gradient = by_similarities(losses.make("hard_simple", negatives=count), rows, index)
        expected = reference.hard_set(rows.numpy(), index.numpy(), count)
        assert np.array_equal(gradient.numpy() > 0, expected)


@pytest.mark.parametrize("name", ["contrastive", "hard_contrastive"])
def test_what_is_not_a_number_is_not_hidden(name: str) -> None:
    anchors, bank, index = unit(5, 70, 8)
    bank[69] = torch.nan
    assert 69 not in index
    assert losses.make(name, **settings_of(name))(anchors, bank, index).isnan()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_halves_are_computed_in_float32(dtype: torch.dtype) -> None:
    anchors, bank, index = exact(5, 70, 8)
    loss = losses.make("contrastive", 0.07)
    expected, wide = value_and_gradient(loss, anchors, bank, index)
    value, gradient = value_and_gradient(loss, anchors.to(dtype), bank.to(dtype), index)
    assert value.dtype == torch.float32
    assert torch.equal(value, expected)
    assert torch.equal(gradient, wide.to(dtype))


def test_an_index_outside_the_bank_reads_nothing_and_gives_no_number() -> None:
    """On a GPU nobody has looked at the index before."""
    anchors, bank, index = unit(3, 70, 8)
    index[1] = 2**33
    found, gradients = bank_softmax.per_anchor(anchors, bank, index, 0.3, None, False, True)
    assert gradients is not None
    for values in (found, gradients.sum(1)):
        assert values.isnan().tolist() == [False, True, False]
