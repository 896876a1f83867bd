"""The losses satisfy the identities and limits of the paper's equations."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

import reference
import tolerance
from loss_problems import (
    HYPOTHESIS,
    SEEDS,
    TEMPERATURES,
    by_similarities,
    problem,
    random_similarities,
    settings_of,
    value_and_gradient,
)
from tausweep import losses

pytestmark = pytest.mark.numerical


@pytest.mark.parametrize("name", ["contrastive", "hard_contrastive"])
@given(seed=SEEDS, tau=TEMPERATURES)
@HYPOTHESIS
def test_gradients_by_similarities_are_equations_2_and_4(name: str, seed: int, tau: float) -> None:
    s, index = random_similarities(seed)
    rows = torch.arange(len(s))
    _, gradient = by_similarities(losses.make(name, **settings_of(name, tau)), s, index)
    hard = reference.hard_set(s.numpy(), index.numpy(), 5) if name.startswith("hard") else None
    p = reference.probabilities(s.numpy(), index.numpy(), tau, hard)
    positive = gradient[rows, index].clone()
    negative = gradient.clone()
    negative[rows, index] = 0
    p[rows, index] = 0
    # In float64 nothing below e^-496 of the largest weight is told apart.
    allowed: dict[str, Any] = {"rtol": 2 * tolerance.weights(tau, 30), "atol": 1e-200}
    np.testing.assert_allclose(positive, -p.sum(1) / tau, **allowed)
    np.testing.assert_allclose(negative, p / tau, **allowed)
    np.testing.assert_allclose(negative.abs().sum(1), positive.abs(), **allowed)


@pytest.mark.parametrize("name", ["contrastive", "hard_contrastive"])
@given(seed=SEEDS, tau=TEMPERATURES)
@HYPOTHESIS
def test_negative_gradients_over_the_positive_one_are_equations_5_and_8(
    name: str, seed: int, tau: float
) -> None:
    s, index = random_similarities(seed)
    s[torch.arange(len(s)), index] = -1.0  # the positive's gradient does not underflow
    rows = torch.arange(len(s))
    _, gradient = by_similarities(losses.make(name, **settings_of(name, tau)), s, index)
    ratio = gradient / gradient[rows, index].abs()[:, None]
    ratio[rows, index] = 0
    hard = reference.hard_set(s.numpy(), index.numpy(), 5) if name.startswith("hard") else None
    expected = reference.relative_penalties(s.numpy(), index.numpy(), tau, hard)
    allowed = 2 * tolerance.weights(tau, 30)
    np.testing.assert_allclose(ratio, expected, rtol=2 * allowed, atol=1e-200)
    # The positive's gradient is the mean under the softmax, -sum r_k: exact except for their sum.
    np.testing.assert_allclose(ratio.sum(1), 1.0, rtol=4 * tolerance.summed(30))


@given(seed=SEEDS, tau=TEMPERATURES)
@HYPOTHESIS
def test_penalties_are_equation_5(seed: int, tau: float) -> None:
    s, index = random_similarities(seed)
    r = losses.penalties(s, index, tau)
    expected = reference.relative_penalties(s.numpy(), index.numpy(), tau)
    allowed = 2 * tolerance.weights(tau, 30)
    np.testing.assert_allclose(r, expected, rtol=allowed, atol=1e-300)
    np.testing.assert_allclose(r.sum(1), 1.0, rtol=2 * tolerance.summed(30))
    assert (r[torch.arange(len(s)), index] == 0).all()
    everything = losses.penalties(s, None, tau)
    np.testing.assert_allclose(everything, torch.softmax(s / tau, 1), rtol=allowed, atol=1e-300)


@given(seed=SEEDS, low=st.floats(0.05, 5), step=st.floats(0.05, 5))
@HYPOTHESIS
def test_entropy_of_the_penalties_rises_strictly_with_temperature(
    seed: int, low: float, step: float
) -> None:
    s, index = random_similarities(seed)
    cold = reference.entropy(losses.penalties(s, index, low).numpy())
    warm = reference.entropy(losses.penalties(s, index, low + step).numpy())
    assert (warm > cold).all()


def test_penalties_of_equal_similarities_are_uniform_at_any_temperature() -> None:
    for tau in (0.005, 0.07, 1.0):
        r = losses.penalties(torch.full((1, 11), 0.3), torch.tensor([4]), tau)
        expected = torch.full((1, 11), 0.1)
        expected[0, 4] = 0
        torch.testing.assert_close(r, expected)


def test_penalties_leave_their_input_alone_and_take_half_precision() -> None:
    s = torch.tensor([[1.0, -1.0, 0.5]], dtype=torch.float16)
    before = s.clone()
    r = losses.penalties(s, torch.tensor([1]), 0.005)
    assert r.dtype == torch.float32
    torch.testing.assert_close(r, torch.tensor([[1.0, 0.0, math.exp(-100)]]))
    assert torch.equal(s, before)


@pytest.mark.parametrize("tau", [1e-2, 1e-3, 1e-4])
@given(seed=SEEDS)
@HYPOTHESIS
def test_small_temperatures_approach_nearest_negative(tau: float, seed: int) -> None:
    s, index = random_similarities(seed)
    cold, _ = by_similarities(losses.make("contrastive", tau), s, index)
    limit, _ = by_similarities(losses.make("nearest_negative"), s, index)
    # max(a, 0) <= tau log(1 + sum_k e^{(s_ik - s_ii)/tau}) <= max(a, 0) + tau log N (Eq. 6).
    rounding = tau * 2 * tolerance.weights(tau, 30)
    assert limit - rounding <= tau * cold <= limit + tau * math.log(s.shape[1]) + rounding


def test_gradient_of_small_temperatures_is_that_of_nearest_negative() -> None:
    s = torch.tensor([[0.1, 0.6, 0.5, -0.2], [0.9, 0.6, 0.5, -0.2]], dtype=torch.float64)
    index = torch.tensor([0, 0])
    _, cold = by_similarities(losses.make("contrastive", 1e-3), s, index)
    _, limit = by_similarities(losses.make("nearest_negative"), s, index)
    # The next negative, 0.1 away, weighs e^-100; the second anchor's nearest, 0.3 away, e^-300.
    # The product by tau rounds once.
    np.testing.assert_allclose(cold * 1e-3, limit, rtol=tolerance.eps(), atol=2 * math.exp(-100))
    expected = torch.tensor([[-1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]], dtype=torch.float64)
    assert torch.equal(limit, expected)


@pytest.mark.parametrize("tau", [1e2, 1e3, 1e4])
@given(seed=SEEDS)
@HYPOTHESIS
def test_large_temperatures_approach_simple(tau: float, seed: int) -> None:
    s, index = random_similarities(seed)
    size = s.shape[1]
    warm, gradient = by_similarities(losses.make("contrastive", tau), s, index)
    simple, simple_gradient = by_similarities(losses.make("simple"), s, index)
    # Eq. 7 is (N - 1)/(N tau) times `simple` plus log N; the next term is a variance / (2 tau^2).
    scale = (size - 1) / (size * tau)
    assert abs(warm - (scale * simple + math.log(size))) <= 1 / (2 * tau**2) + (
        8 * tolerance.eps() * math.log(size)
    )
    torch.testing.assert_close(gradient / scale, simple_gradient, rtol=5 / tau, atol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("tau", [1e-6, 1e-4, 1e4, 1e6])
def test_extreme_temperatures_stay_exact(tau: float, dtype: torch.dtype) -> None:
    s = torch.tensor([[0.25, 0.5, -1.0, 0.5, 0.125]], dtype=dtype)
    index = torch.tensor([0])
    value, gradient = by_similarities(losses.make("contrastive", tau), s, index)
    expected, ds = reference.contrastive(s.double().numpy(), index.numpy(), tau)
    # These similarities are exact; 1/tau scales differences that are exact too (below 1e-3 they
    # are taken first), so that only the exponentials and sums of five round, and, above, the
    # scaling of numbers below 1 / tau.
    rounded = tolerance.weights(max(tau, 1.0), 5, dtype)
    np.testing.assert_allclose(value, expected[0], rtol=rounded)
    # Weights end at tiny^0.7 (streamed.py), which no sum of at least 1 can tell from 0.
    floor = torch.finfo(dtype).tiny ** 0.7 / tau
    np.testing.assert_allclose(gradient, ds, rtol=4 * rounded, atol=floor)


@pytest.mark.parametrize("name", losses.NAMES)
@given(seed=SEEDS)
@HYPOTHESIS
def test_exchanging_instances_with_their_augmentations_leaves_the_loss(
    name: str, seed: int
) -> None:
    anchors, bank, index = problem(seed)
    loss = losses.make(name, **settings_of(name))
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(bank), generator=generator)
    new_row = torch.empty_like(order)
    new_row[order] = torch.arange(len(order))
    moved = loss(anchors, bank[order], new_row[index])
    allowed = tolerance.loss(name, anchors, bank, index, **settings_of(name))
    tolerance.check(moved.detach(), loss(anchors, bank, index).detach(), 2 * allowed.value)


def test_fig_1_all_instances_exchanged() -> None:
    anchors, bank, _ = problem(3, batch=12, size=12)
    everyone = torch.arange(12)
    order = torch.randperm(12, generator=torch.Generator().manual_seed(0))
    for name in losses.NAMES:
        loss = losses.make(name, **settings_of(name))
        exchanged = loss(anchors[order], bank[order], everyone)
        allowed = tolerance.loss(name, anchors, bank, everyone, **settings_of(name))
        same = loss(anchors, bank, everyone)
        tolerance.check(exchanged.detach(), same.detach(), 2 * allowed.value, name)


@given(seed=SEEDS, tau=TEMPERATURES)
@HYPOTHESIS
def test_temperature_only_divides_the_similarities(seed: int, tau: float) -> None:
    anchors, bank, index = problem(seed)
    loss, unit = losses.make("contrastive", tau), losses.make("contrastive", 1.0)
    allowed = tolerance.loss("contrastive", anchors, bank, index, tau).value
    divided = unit(anchors / tau, bank, index)
    tolerance.check(loss(anchors, bank, index).detach(), divided.detach(), 2 * allowed)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@given(seed=SEEDS, tau=TEMPERATURES)
@example(seed=3607, tau=0.01)
@HYPOTHESIS
def test_all_negatives_as_hard_ones_give_the_plain_loss(
    device_path: str, dtype: torch.dtype, seed: int, tau: float
) -> None:
    anchors, bank, index = problem(seed, dtype=dtype)
    for hard, plain, temperature in (
        (losses.make("hard_contrastive", tau, 39), losses.make("contrastive", tau), tau),
        (losses.make("hard_simple", negatives=39), losses.make("simple"), None),
    ):
        value, gradient = value_and_gradient(hard, anchors, bank, index)
        expected, expected_gradient = value_and_gradient(plain, anchors, bank, index)
        allowed = tolerance.loss(plain.name, anchors, bank, index, temperature)
        tolerance.check(value, expected, 2 * allowed.value, "the loss is")
        tolerance.check(gradient, expected_gradient, 2 * allowed.gradient, "the gradient is")
