"""The losses equal an independent float64 reference, exactly as far as their precision goes."""

import itertools
import math
import tracemalloc
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import reference
import tolerance
from examples import examples
from tausweep import losses
from tausweep.losses import selection, streaming
from tausweep.machine import kernel_choice

HYPOTHESIS = settings(
    max_examples=examples(20),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
TEMPERATURES = st.sampled_from([0.005, 0.01, 0.05, 0.07, 0.3, 1.0, 10.0])
SEEDS = st.integers(0, 10_000)
SHARES = st.floats(0, 1)


def settings_of(name: str, tau: float = 0.07, negatives: int = 5) -> dict[str, Any]:
    """The keyword arguments that ``make`` needs for this loss."""
    wanted: dict[str, Any] = {}
    if "contrastive" in name:
        wanted["temperature"] = tau
    if name.startswith("hard"):
        wanted["negatives"] = negatives
    return wanted


def problem(
    seed: int, batch: int = 7, size: int = 40, dim: int = 6, dtype: torch.dtype = torch.float64
) -> tuple[Tensor, Tensor, Tensor]:
    """Random unit anchors (with gradient) and bank, and distinct positives."""
    generator = torch.Generator().manual_seed(seed)
    bank = F.normalize(torch.randn(size, dim, generator=generator, dtype=torch.float64), dim=1)
    anchors = F.normalize(torch.randn(batch, dim, generator=generator, dtype=torch.float64), dim=1)
    index = torch.randperm(size, generator=generator)[:batch]
    return anchors.to(dtype).requires_grad_(), bank.to(dtype), index


def value_and_gradient(
    loss: losses.Loss, anchors: Tensor, bank: Tensor, index: Tensor
) -> tuple[Tensor, Tensor]:
    anchors = anchors.detach().clone().requires_grad_()
    value = loss(anchors, bank, index)
    value.backward()
    assert anchors.grad is not None
    return value.detach(), anchors.grad


def by_similarities(
    loss: losses.Loss, similarities: Tensor, index: Tensor
) -> tuple[Tensor, Tensor]:
    """The mean loss and the derivative of each anchor's loss by every similarity (B x N).

    With the unit vectors as bank, an anchor's coordinates are its similarities.
    """
    bank = torch.eye(similarities.shape[1], dtype=similarities.dtype)
    value, gradient = value_and_gradient(loss, similarities, bank, index)
    return value, gradient * len(similarities)


def random_similarities(seed: int, batch: int = 5, size: int = 30) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    s = torch.rand(batch, size, generator=generator, dtype=torch.float64) * 2 - 1
    return s, torch.randint(size, (batch,), generator=generator)


def same_decisions(
    name: str,
    anchors: Tensor,
    bank: Tensor,
    index: Tensor,
    negatives: int = 5,
    literal_topk: bool = False,
) -> bool:
    """Whether rounding cannot turn what the loss decides: the hard set, the nearest, a margin."""
    if name.startswith("hard"):
        count = negatives + literal_topk
        return tolerance.sets_are_clear(anchors, bank, index, count, literal_topk)
    if name != "nearest_negative":
        return True
    s, error = tolerance.similarities(anchors, bank)
    margin = np.where(reference.negatives_of(s, index.numpy()), s, -np.inf).max(1)
    margin -= s[np.arange(len(s)), index]
    return tolerance.sets_are_clear(anchors, bank, index, 1) and bool(
        (abs(margin) > 2 * error).all()
    )


def check_reference(
    value: Tensor,
    gradient: Tensor,
    name: str,
    anchors: Tensor,
    bank: Tensor,
    index: Tensor,
    literal_topk: bool = False,
    **chosen: Any,
) -> None:
    """Loss and gradient are the reference's, as far as their precision and its float64 go."""
    chosen["literal_topk"] = literal_topk
    expected = reference.loss_and_gradient(name, anchors.detach(), bank, index, **chosen)
    ours = tolerance.loss(name, anchors, bank, index, **chosen)
    its = tolerance.loss(name, anchors, bank, index, dtype=torch.float64, **chosen)
    tolerance.check(value, expected[0], ours.value + its.value, "the loss is")
    tolerance.check(gradient, expected[1], ours.gradient + its.gradient, "the gradient is")


def select_by(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Select the hard set as on a CPU ("partition") or as on an accelerator ("topk")."""
    monkeypatch.setattr(selection, "interval", getattr(selection, f"interval_by_{path}"))


@pytest.fixture(params=["partition", "topk"])
def device_path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways of selecting the hard set."""
    select_by(request.param, monkeypatch)
    return str(request.param)


# --- against the reference ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "literal_topk", "path"),
    [(name, False, "partition") for name in losses.NAMES]
    + [("hard_contrastive", False, "topk"), ("hard_simple", False, "topk")]
    + [("hard_contrastive", True, "partition"), ("hard_simple", True, "partition")]
    + [("hard_contrastive", True, "topk"), ("hard_simple", True, "topk")],
)
@given(seed=SEEDS, tau=TEMPERATURES, negatives=st.integers(1, 39))
@HYPOTHESIS
def test_float64_equals_the_reference(
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    literal_topk: bool,
    path: str,
    seed: int,
    tau: float,
    negatives: int,
) -> None:
    select_by(path, monkeypatch)
    chosen = settings_of(name, tau, negatives)
    anchors, bank, index = problem(seed)
    assume(same_decisions(name, anchors, bank, index, negatives, literal_topk))
    loss = losses.make(name, literal_topk=literal_topk, **chosen)
    value, gradient = value_and_gradient(loss, anchors, bank, index)
    assert value.dtype == gradient.dtype == torch.float64
    check_reference(value, gradient, name, anchors, bank, index, literal_topk, **chosen)


@pytest.mark.parametrize("name", losses.NAMES)
@given(seed=SEEDS, tau=TEMPERATURES)
@HYPOTHESIS
def test_float32_equals_the_reference_to_its_precision(name: str, seed: int, tau: float) -> None:
    chosen = settings_of(name, tau)
    anchors, bank, index = problem(seed, dtype=torch.float32)
    assume(same_decisions(name, anchors, bank, index))
    value, gradient = value_and_gradient(losses.make(name, **chosen), anchors, bank, index)
    assert value.dtype == gradient.dtype == torch.float32
    check_reference(value, gradient, name, anchors, bank, index, **chosen)


@pytest.mark.parametrize("name", losses.NAMES)
@given(
    seed=SEEDS, tau=TEMPERATURES, size=st.integers(2, 23), chunk=st.integers(3, 24), share=SHARES
)
@example(seed=225, tau=0.005, size=2, chunk=3, share=0.0)
@example(seed=286, tau=0.005, size=2, chunk=3, share=0.0)
@HYPOTHESIS
def test_any_cut_of_the_bank_into_chunks_gives_the_same(
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    seed: int,
    tau: float,
    size: int,
    chunk: int,
    share: float,
) -> None:
    chosen = settings_of(name, tau, 1 + int(share * (size - 2)))
    anchors, bank, index = problem(seed, batch=min(size, 4), size=size)
    monkeypatch.setattr(streaming, "CHUNK_ROWS_CPU", chunk)
    assume(same_decisions(name, anchors, bank, index, chosen.get("negatives", 1)))
    value, gradient = value_and_gradient(losses.make(name, **chosen), anchors, bank, index)
    check_reference(value, gradient, name, anchors, bank, index, **chosen)


@given(size=st.integers(2, 700_000))
@HYPOTHESIS
def test_chunks_cover_the_bank_once_and_none_is_a_lone_row(size: int) -> None:
    bounds = streaming.chunk_bounds(size, torch.device("cpu"))
    assert bounds[0][0] == 0
    assert bounds[-1][1] == size
    assert all(before[1] == after[0] for before, after in itertools.pairwise(bounds))
    # A lone row could be a positive, and no negative at all has no maximum.
    assert all(2 <= stop - start <= streaming.CHUNK_ROWS_CPU for start, stop in bounds)


# --- identities of section 2 ----------------------------------------------------------------------


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
    allowed = {"rtol": 2 * tolerance.weights(tau, 30), "atol": 1e-200}
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
    # The positive's gradient is the mean under the softmax, -sum r_k: exact but for their sum.
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


# --- what users of other codebases complained of --------------------------------------------------


@pytest.mark.parametrize("tau", [0.07, 0.3, 1.0])
def test_a_bank_of_copies_of_the_anchor_gives_ln_64(tau: float) -> None:
    anchor = F.normalize(torch.randn(1, 128, generator=torch.Generator().manual_seed(1)), dim=1)
    loss = losses.make("contrastive", tau)
    value = loss(anchor, anchor.repeat(64, 1), torch.tensor([17]))
    assert value.item() == pytest.approx(4.1589, abs=5e-5)  # the digits of the complaint
    bank, index = anchor.repeat(64, 1), torch.tensor([17])
    allowed = tolerance.loss("contrastive", anchor, bank, index, tau).value
    assert value.item() == pytest.approx(math.log(64), rel=0, abs=allowed)
    value, gradient = by_similarities(loss, torch.ones(1, 64), torch.tensor([17]))
    rounded = tolerance.weights(tau, 64, torch.float32)
    assert value.item() == pytest.approx(math.log(64), rel=0, abs=rounded)
    assert gradient[0, 17].item() == pytest.approx(-(1 / tau) * (1 - 1 / 64), rel=rounded)
    assert gradient[0, 16].item() == pytest.approx((1 / tau) / 64, rel=rounded)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("tau", [0.005, 0.01, 0.07])
@pytest.mark.parametrize(("positive", "negatives"), [(1, "both"), (-1, "both"), (1, "far")])
@pytest.mark.parametrize("name", ["contrastive", "hard_contrastive"])
def test_small_temperatures_in_half_precision_are_within_a_percent(
    name: str, positive: int, negatives: str, tau: float, dtype: torch.dtype
) -> None:
    signs = torch.ones(32)
    signs[:: 3 if negatives == "both" else 1] = -1
    signs[5] = positive
    direction = F.normalize(torch.ones(16), dim=0)  # 0.25 in each: exact in every type
    anchors = direction[None].to(dtype)
    bank = (signs[:, None] * direction).to(dtype)
    chosen = settings_of(name, tau)
    index = torch.tensor([5])
    value, gradient = value_and_gradient(losses.make(name, **chosen), anchors, bank, index)
    expected, expected_gradient = reference.loss_and_gradient(
        name, anchors.double(), bank.double(), index, **chosen
    )
    assert value.dtype == torch.float32
    assert gradient.dtype == dtype
    assert value.isfinite()
    assert gradient.isfinite().all()
    np.testing.assert_allclose(value, expected, rtol=0.01, atol=1e-37)
    # float16 has nothing between 0 and 6e-8.
    np.testing.assert_allclose(gradient.double(), expected_gradient, rtol=0.01, atol=6e-8)


@pytest.mark.parametrize("tau", [1e-4, 1e-7, 1e-10])
@pytest.mark.parametrize("name", ["contrastive", "hard_contrastive"])
def test_vanishing_temperatures_are_as_exact_as_others(name: str, tau: float) -> None:
    anchors, bank, index = problem(0)
    chosen = settings_of(name, tau)
    value, gradient = value_and_gradient(losses.make(name, **chosen), anchors, bank, index)
    check_reference(value, gradient, name, anchors, bank, index, **chosen)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("name", losses.NAMES)
def test_a_zero_embedding_gives_a_finite_loss_and_gradient(name: str, dtype: torch.dtype) -> None:
    anchors, bank, index = problem(0, dtype=dtype)
    with torch.no_grad():
        anchors[2] = 0
        bank[11] = 0
    loss = losses.make(name, **settings_of(name, 0.005))
    value, gradient = value_and_gradient(loss, anchors, bank, index)
    assert value.isfinite()
    assert gradient.isfinite().all()


@pytest.mark.parametrize("positive", [-3.0, 3.0])
@pytest.mark.parametrize("name", losses.NAMES)
def test_the_positives_bank_row_gets_the_positive_term_only(name: str, positive: float) -> None:
    """By finite differences of the loss in every bank row, s_ii lowest and highest of all."""
    anchors, bank, index = problem(5, batch=1, size=12, dim=4)
    anchors = anchors.detach()
    bank[index] = positive * anchors
    chosen = settings_of(name, 0.5)
    loss = losses.make(name, **chosen)
    s = (anchors @ bank.T).numpy()
    hard = reference.hard_set(s, index.numpy(), 5) if name.startswith("hard") else None
    if "contrastive" in name:
        p = reference.probabilities(s, index.numpy(), 0.5, hard)
        positive_term = -(1 - p[0, index]) / 0.5
    else:
        positive_term = -1.0 if positive < 0 or name != "nearest_negative" else 0.0
    step = 1e-6
    # A central difference leaves out step^2 / 6 of the third derivative, at most 1 / tau^3 times
    # |a|^3, and divides the rounding of two losses (up to 3 / tau) by the step, in d coordinates.
    allowed = 8 * step**2 + 4 * (2 * 12 * tolerance.eps() / step)
    for row in range(12):
        derivative = np.zeros(4)
        for k in range(4):
            moved = bank.clone()
            moved[row, k] += step
            upper = loss(anchors, moved, index).item()
            moved[row, k] -= 2 * step
            derivative[k] = (upper - loss(anchors, moved, index).item()) / (2 * step)
        along = derivative @ anchors[0].numpy()
        if row == index:
            assert along == pytest.approx(np.asarray(positive_term).item(), rel=0, abs=allowed)
        else:
            assert along >= -allowed
        if hard is not None and row != index and not hard[0, row]:
            assert not derivative.any()


@pytest.mark.parametrize("positive", [-2.0, 2.0])
def test_the_hard_set_of_200_anchors_has_k_rows_and_never_the_positive(
    device_path: str, positive: float
) -> None:
    generator = torch.Generator().manual_seed(0)
    s = torch.rand(200, 500, generator=generator) * 2 - 1
    index = torch.randint(500, (200,), generator=generator)
    s[torch.arange(200), index] = positive
    chosen = losses.hard_set(s, index, 41)
    assert (chosen.sum(1) == 41).all()
    assert not chosen[torch.arange(200), index].any()
    assert np.array_equal(chosen, reference.hard_set(s.numpy(), index.numpy(), 41))


@given(data=st.data(), size=st.integers(2, 40), batch=st.integers(1, 20))
@HYPOTHESIS
def test_ties_go_to_the_lower_index_on_every_device_path(
    device_path: str, data: st.DataObject, size: int, batch: int
) -> None:
    seed = data.draw(SEEDS)
    generator = torch.Generator().manual_seed(seed)
    s = torch.randint(-2, 3, (batch, size), generator=generator) / 4
    index = torch.randint(size, (batch,), generator=generator)
    k = data.draw(st.integers(1, size - 1))
    chosen = losses.hard_set(s, index, k)
    assert np.array_equal(chosen, reference.hard_set(s.numpy(), index.numpy(), k))
    assert np.array_equal(losses.hard_set(s, None, k), reference.top_set(s.numpy(), k))


def test_ten_duplicates_at_the_threshold_are_cut_by_index(device_path: str) -> None:
    anchors, bank, index = problem(2, batch=3, size=60, dtype=torch.float32)
    s = anchors.detach() @ bank.T
    # Ten copies, scattered, of the entry that ranks 8th for the first anchor; K = 12 cuts them.
    middle = s[0].argsort(descending=True)[8]
    copies = torch.tensor([row for row in range(0, 60, 4) if row not in index][:10])
    bank[copies] = bank[middle].clone()
    loss = losses.make("hard_contrastive", 0.07, 12)
    sets = [losses.hard_set(anchors @ bank.T, index, 12) for _ in range(5)]
    similarities = (anchors.detach() @ bank.T).numpy()
    assert (sets[0].sum(1) == 12).all()
    assert np.array_equal(sets[0], reference.hard_set(similarities, index.numpy(), 12))
    assert all(torch.equal(sets[0], other) for other in sets)
    tied = similarities[0] == similarities[0, copies[0]]
    inside = sets[0][0].numpy() & tied
    assert 0 < inside.sum() < tied.sum()
    assert inside.nonzero()[0].max() < (tied & ~inside).nonzero()[0].min()
    # The loss takes the same set: off it, gradients are exactly 0.
    wide = torch.from_numpy(similarities)
    _, gradient = by_similarities(loss, wide, index)
    allowed = sets[0].clone()
    allowed[torch.arange(3), index] = True
    assert (gradient[~allowed] == 0).all()
    assert (gradient[sets[0]] > 0).all()


def test_the_hard_set_of_half_precision_similarities_compares_them_as_they_are() -> None:
    s = torch.linspace(0.5, 1, 2000)[None].repeat(2, 1).to(torch.bfloat16)  # thousands of ties
    index = torch.tensor([1999, 0])
    chosen = losses.hard_set(s, index, 700)
    assert np.array_equal(chosen, reference.hard_set(s.float().numpy(), index.numpy(), 700))


@pytest.mark.parametrize("name", losses.NAMES)
def test_autocast_changes_nothing(name: str) -> None:
    anchors, bank, index = problem(4, batch=16, size=3000, dim=32, dtype=torch.float32)
    loss = losses.make(name, **settings_of(name, 0.07, 300))
    value, gradient = value_and_gradient(loss, anchors, bank, index)
    with torch.autocast("cpu", torch.bfloat16):
        cast_value, cast_gradient = value_and_gradient(loss, anchors, bank, index)
    assert torch.equal(value, cast_value)
    assert torch.equal(gradient, cast_gradient)


def test_embeddings_of_a_bf16_model_select_by_their_float32_similarities() -> None:
    anchors, bank, index = problem(4, batch=16, size=3000, dim=32, dtype=torch.float32)
    half = anchors.detach().bfloat16()
    s = half.float() @ bank.T
    chosen = losses.hard_set(s, index, 300)
    loss = losses.make("hard_simple", negatives=300)
    expected = (s * chosen).sum(1) / 300 - s[torch.arange(16), index]
    with torch.autocast("cpu", torch.bfloat16):
        value = loss(half, bank, index)
    allowed = 2 * tolerance.loss("hard_simple", half, bank, index, negatives=300).value
    tolerance.check(value, expected.mean(), allowed)


@pytest.mark.parametrize("mode", ["ieee", "tf32", "none"])
def test_products_are_full_float32_inside_and_as_before_outside(mode: str) -> None:
    matmul = torch.backends.cuda.matmul
    saved = matmul.fp32_precision
    try:
        matmul.fp32_precision = mode
        with streaming.full_precision(torch.device("cpu")):
            assert matmul.fp32_precision in ("ieee", "none")
        assert matmul.fp32_precision == mode
        with pytest.raises(KeyError), streaming.full_precision(torch.device("cpu")):
            raise KeyError
        assert matmul.fp32_precision == mode
    finally:
        matmul.fp32_precision = saved


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


@pytest.mark.parametrize("literal_topk", [False, True])
@pytest.mark.parametrize("name", losses.NAMES)
def test_forward_and_backward_leave_the_bank_bit_identical(name: str, literal_topk: bool) -> None:
    anchors, bank, index = problem(1, dtype=torch.float32)
    before, before_index = bank.clone(), index.clone()
    before_anchors = anchors.detach().clone()
    literal = literal_topk and name.startswith("hard")
    value_and_gradient(
        losses.make(name, literal_topk=literal, **settings_of(name)), anchors, bank, index
    )
    assert torch.equal(bank, before)
    assert torch.equal(index, before_index)
    assert torch.equal(anchors.detach(), before_anchors)


@pytest.mark.parametrize("name", losses.NAMES)
def test_gradients_go_to_the_anchors_only(name: str) -> None:
    anchors, bank, index = problem(1)
    bank.requires_grad_()
    losses.make(name, **settings_of(name))(anchors, bank, index).backward()
    assert anchors.grad is not None
    assert bank.grad is None


# --- the author's variant -------------------------------------------------------------------------


def test_literal_topk_is_equation_9_while_the_positive_is_among_the_top() -> None:
    s, index = random_similarities(0)
    s[torch.arange(5), index] = 2.0
    literal = losses.make("hard_contrastive", 0.2, 6, literal_topk=True)
    ours = losses.make("hard_contrastive", 0.2, 6)
    for got, expected in zip(
        by_similarities(literal, s, index), by_similarities(ours, s, index), strict=True
    ):
        np.testing.assert_allclose(got, expected, rtol=2 * tolerance.weights(0.2, 30), atol=1e-15)


def test_literal_topk_loses_the_positive_from_the_denominator_otherwise() -> None:
    s = torch.tensor([[-1.0, 0.5, 0.25, 0.0]], dtype=torch.float64)
    loss = losses.make("hard_contrastive", 0.5, 1, literal_topk=True)
    value, gradient = by_similarities(loss, s, torch.tensor([0]))
    assert value.item() == pytest.approx(math.log(math.exp(1) + math.exp(0.5)) + 2)
    share = math.exp(1) / (math.exp(1) + math.exp(0.5))
    expected = torch.tensor([[-2.0, 2 * share, 2 * (1 - share), 0.0]], dtype=torch.float64)
    torch.testing.assert_close(gradient, expected)


def test_literal_topk_of_hard_simple_is_the_mean_of_the_top() -> None:
    s = torch.tensor([[0.75, 0.5, 0.25, 0.0]], dtype=torch.float64)
    loss = losses.make("hard_simple", negatives=2, literal_topk=True)
    value, gradient = by_similarities(loss, s, torch.tensor([0]))
    assert value.item() == pytest.approx(0.5 - 0.75)
    expected = torch.tensor([[1 / 3 - 1, 1 / 3, 1 / 3, 0.0]], dtype=torch.float64)
    torch.testing.assert_close(gradient, expected)


# --- autograd -------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("name", losses.NAMES)
def test_the_upstream_gradient_scales_ours(name: str, dtype: torch.dtype) -> None:
    anchors, bank, index = problem(6, dtype=dtype)
    loss = losses.make(name, **settings_of(name, 0.3))
    _, gradient = value_and_gradient(loss, anchors, bank, index)
    assert gradient.dtype == dtype
    (3 * loss(anchors, bank, index) + anchors.sum()).backward()
    assert anchors.grad is not None
    # Each side rounds its gradient to the type, three times it, and the sum with 1.
    allowed = 4 * tolerance.eps(dtype) * (3 * gradient.double().abs() + 1).numpy()
    tolerance.check(anchors.grad.double(), 3 * gradient.double() + 1, allowed)


def test_a_loss_scaler_saves_gradients_that_float16_cannot_hold() -> None:
    anchors = torch.tensor([[1.0, 0.0]], dtype=torch.float16, requires_grad=True)
    bank = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    loss = losses.make("contrastive", 0.045)
    loss(anchors, bank, torch.tensor([0])).backward()
    assert anchors.grad is not None
    assert (anchors.grad == 0).all()  # e^{-1/tau} / tau = 5e-9, a tenth of the least float16
    anchors.grad = None
    (2.0**20 * loss(anchors, bank, torch.tensor([0]))).backward()
    expected = 2.0**20 * math.exp(-1 / 0.045) / 0.045
    allowed = tolerance.eps(torch.float16) + tolerance.weights(0.045, 2, torch.float32)
    torch.testing.assert_close(
        anchors.grad.float(), torch.tensor([[-expected, expected]]), rtol=allowed, atol=0
    )


def test_gradients_flow_on_to_the_encoder() -> None:
    anchors, bank, index = problem(8)
    weight = torch.eye(6, dtype=torch.float64, requires_grad=True)
    loss = losses.make("contrastive", 0.2)
    assert torch.autograd.gradcheck(
        lambda w: loss(F.normalize(anchors.detach() @ w, dim=1), bank, index), (weight,)
    )


@pytest.mark.parametrize("name", losses.NAMES)
def test_without_gradient_the_value_is_the_same(name: str) -> None:
    anchors, bank, index = problem(8)
    loss = losses.make(name, **settings_of(name))
    value = loss(anchors, bank, index)
    assert value.requires_grad
    with torch.no_grad():
        quiet = loss(anchors, bank, index)
    assert not quiet.requires_grad
    assert torch.equal(quiet, value)
    assert torch.equal(loss(anchors.detach(), bank, index), value)


def test_a_second_derivative_is_refused() -> None:
    anchors, bank, index = problem(8)
    value = losses.make("contrastive", 0.2)(anchors, bank, index)
    with pytest.raises(RuntimeError, match="no second derivative"):
        torch.autograd.grad(value, anchors, create_graph=True)


@pytest.mark.parametrize("name", losses.NAMES)
@pytest.mark.parametrize("where", ["anchor", "infinite anchor", "bank"])
def test_a_diverged_embedding_gives_a_loss_that_is_not_finite(
    device_path: str, name: str, where: str
) -> None:
    anchors, bank, index = problem(9, dtype=torch.float32)
    with torch.no_grad():
        if where == "bank":
            bank[20] = math.nan
        else:
            anchors[3] = math.nan if where == "anchor" else math.inf
    assert not losses.make(name, **settings_of(name))(anchors, bank, index).isfinite()


@pytest.mark.parametrize("name", losses.NAMES)
def test_repetitions_give_the_same_bytes(name: str) -> None:
    anchors, bank, index = problem(10, batch=32, size=6000, dim=32, dtype=torch.float32)
    loss = losses.make(name, **settings_of(name, 0.07, 500))
    first = value_and_gradient(loss, anchors, bank, index)
    for _ in range(3):
        again = value_and_gradient(loss, anchors, bank, index)
        assert torch.equal(first[0], again[0])
        assert torch.equal(first[1], again[1])


def test_the_hard_set_does_not_depend_on_the_number_of_threads() -> None:
    s = torch.randint(-50, 50, (37, 300), generator=torch.Generator().manual_seed(0)) / 64
    index = torch.arange(37)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone = losses.hard_set(s, index, 40)
        torch.set_num_threads(3)
        assert torch.equal(losses.hard_set(s, index, 40), alone)
    finally:
        torch.set_num_threads(threads)


# --- memory and the host --------------------------------------------------------------------------


class Allocations(TorchDispatchMode):
    """Counts the bytes of all tensors that operations made and that are still alive."""

    def __init__(self) -> None:
        super().__init__()
        self.alive = 0
        self.peak = 0
        self.seen: dict[int, weakref.finalize[Any, Any]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = {
            t.untyped_storage()._cdata for t in tree_leaves((args, kwargs)) if torch.is_tensor(t)
        }
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if not torch.is_tensor(tensor):
                continue
            storage = tensor.untyped_storage()
            if storage._cdata in given or storage._cdata in self.seen:
                continue
            self.seen[storage._cdata] = weakref.finalize(
                storage, self.forget, storage._cdata, storage.nbytes()
            )
            self.alive += storage.nbytes()
            self.peak = max(self.peak, self.alive)
        return result

    def forget(self, key: int, size: int) -> None:
        del self.seen[key]
        self.alive -= size


@contextmanager
def counted() -> Iterator[Allocations]:
    with Allocations() as allocations:
        yield allocations


def test_allocations_are_counted_while_they_live() -> None:
    x = torch.ones(1000)
    with counted() as memory:
        y = x + 1
        y.add_(1)
        z = y[:10]
        assert memory.alive == 4000
        del y, z
        assert memory.alive == 0
        assert memory.peak == 4000


@pytest.mark.parametrize("name", losses.NAMES)
def test_memory_stays_far_below_all_similarities(name: str) -> None:
    batch, size, dim = 32, 604_388, 8
    anchors, bank, index = problem(0, batch, size, dim, torch.float32)
    all_similarities = 4 * batch * size
    loss = losses.make(name, **settings_of(name, 0.07, 4095))
    tracemalloc.start()
    with counted() as memory:
        value = loss(anchors, bank, index)
        kept = memory.alive
        value.backward()
    _, numpy_peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    if name.startswith("hard"):
        assert all_similarities <= memory.peak < 1.05 * all_similarities
        # One row for each thread.
        assert numpy_peak < (torch.get_num_threads() + 1) * 4 * size
    else:
        assert 0 < memory.peak < 0.02 * all_similarities
    # Between forward and backward: the loss and a gradient of the anchors' size.
    assert kept <= 2 * 4 * batch * dim


@pytest.mark.parametrize("literal_topk", [False, True])
@pytest.mark.parametrize("name", losses.NAMES)
def test_no_step_waits_for_the_host_on_an_accelerator(
    name: str, literal_topk: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fake tensors hold no values, so looking at one fails; nor can a kernel be given them."""
    monkeypatch.setenv(kernel_choice.VARIABLE, kernel_choice.TORCH)
    literal = literal_topk and name.startswith("hard")
    loss = losses.make(name, literal_topk=literal, **settings_of(name))
    with FakeTensorMode():
        anchors = torch.empty(4, 8, device="cuda", requires_grad=True)
        bank = torch.empty(40_000, 8, device="cuda")
        index = torch.empty(4, dtype=torch.int64, device="cuda")
        value = loss(anchors, bank, index)
        assert value.device.type == "cuda"
        assert value.requires_grad


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", losses.NAMES)
def test_a_gpu_gives_what_the_cpu_gives(name: str) -> None:
    anchors, bank, index = problem(4, batch=128, size=50_000, dim=128, dtype=torch.float32)
    loss = losses.make(name, **settings_of(name, 0.07, 4095))
    value, gradient = value_and_gradient(loss, anchors, bank, index)
    there = anchors.detach().cuda(), bank.cuda(), index.cuda()
    torch.cuda.set_sync_debug_mode("error")
    try:
        gpu_value, gpu_gradient = value_and_gradient(loss, *there)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    allowed = tolerance.loss(name, anchors, bank, index, **settings_of(name, 0.07, 4095))
    tolerance.check(gpu_value.cpu(), value, 2 * allowed.value)
    tolerance.check(gpu_gradient.cpu(), gradient, 2 * allowed.gradient)
    s = anchors.detach() @ bank.T
    chosen = losses.hard_set(s.cuda(), index.cuda(), 4095)
    assert torch.equal(chosen.cpu(), losses.hard_set(s, index, 4095))


# --- settings and arguments -----------------------------------------------------------------------


def test_a_loss_says_what_it_is_and_cannot_be_changed() -> None:
    loss = losses.make("hard_contrastive", temperature=0.07, negatives=4095)
    assert (loss.name, loss.temperature, loss.negatives) == ("hard_contrastive", 0.07, 4095)
    assert loss.literal_topk is False
    assert loss == losses.make("hard_contrastive", 0.07, 4095)
    with pytest.raises(AttributeError):
        loss.temperature = 0.1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"name": "infonce"}, "loss 'infonce' is unknown; allowed are contrastive, simple, "),
        ({"name": "contrastive"}, "temperature of the loss contrastive must be .*, not None"),
        ({"name": "contrastive", "temperature": 0}, "must be a finite number > 0, not 0$"),
        ({"name": "contrastive", "temperature": -0.1}, "must be a finite number > 0, not -0.1"),
        ({"name": "contrastive", "temperature": math.nan}, "> 0, not nan"),
        ({"name": "contrastive", "temperature": math.inf}, "> 0, not inf"),
        ({"name": "contrastive", "temperature": True}, "> 0, not True"),
        ({"name": "contrastive", "temperature": "0.1"}, "> 0, not '0.1'"),
        (
            {"name": "contrastive", "temperature": 0.1, "negatives": 5},
            "negatives is 5, but the loss contrastive takes all of them",
        ),
        ({"name": "simple", "temperature": 0.1}, "temperature is 0.1, but the loss simple takes"),
        ({"name": "nearest_negative", "temperature": 0.1}, "nearest_negative takes none"),
        ({"name": "hard_simple", "temperature": 0.1, "negatives": 5}, "hard_simple takes none"),
        ({"name": "hard_simple"}, "negatives of the loss hard_simple must be .*, not None"),
        ({"name": "hard_contrastive", "temperature": 0.1}, "must be an integer >= 1, not None"),
        ({"name": "hard_simple", "negatives": 0}, "must be an integer >= 1, not 0"),
        ({"name": "hard_simple", "negatives": 2.0}, "must be an integer >= 1, not 2.0"),
        ({"name": "simple", "literal_topk": True}, "literal_topk is for the hard losses only"),
    ],
)
def test_wrong_settings_are_refused_in_one_sentence(
    arguments: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        losses.make(**arguments)


def test_more_negatives_than_the_bank_has_are_refused_by_name() -> None:
    anchors, bank, index = problem(0)
    sentence = "negatives of the loss hard_simple is 40, but a bank of 40 has only 39"
    with pytest.raises(ValueError, match=sentence):
        losses.make("hard_simple", negatives=40)(anchors, bank, index)
    s = anchors.detach() @ bank.T
    with pytest.raises(ValueError, match=r"negatives must be an integer in 1\.\.39, not 40"):
        losses.hard_set(s, index, 40)
    with pytest.raises(ValueError, match=r"in 1\.\.40, not 0"):
        losses.hard_set(s, None, 0)


def test_penalties_refuse_a_temperature_of_zero() -> None:
    with pytest.raises(ValueError, match="temperature must be a finite number > 0, not 0"):
        losses.penalties(torch.zeros(1, 3), None, 0)


@pytest.mark.parametrize(
    ("anchors", "bank", "index", "sentence"),
    [
        ((4,), (9, 4), [0], "anchors must be a matrix of floats"),
        ((2, 3), (9, 4), [0, 1], r"\(2, 3\) and bank \(9, 4\) must be B x d and N x d"),
        ((1, 4), (1, 4), [0], "B >= 1 and N >= 2"),
        ((0, 4), (9, 4), [], "B >= 1 and N >= 2"),
        ((2, 4), (9, 4), [0], r"index must be 2 int64 bank rows, not \(1,\)"),
        ((2, 4), (9, 4), [0, 9], r"index must lie in 0\.\.8, the rows of the bank, not in 0\.\.9"),
        ((2, 4), (9, 4), [-1, 3], r"not in -1\.\.3"),
        ((1, 4), (9, 4), [0.0], "int64 bank rows, not .* torch.float32"),
    ],
)
def test_wrong_arguments_are_refused_in_one_sentence(
    anchors: tuple[int, ...], bank: tuple[int, ...], index: list[Any], sentence: str
) -> None:
    rows = torch.tensor(index) if index else torch.empty(0, dtype=torch.int64)
    with pytest.raises(ValueError, match=sentence):
        losses.make("simple")(torch.zeros(anchors), torch.zeros(bank), rows)


def test_integer_anchors_are_refused() -> None:
    with pytest.raises(ValueError, match=r"anchors must be a matrix of floats, not .*int64"):
        losses.make("simple")(
            torch.zeros(2, 3, dtype=torch.int64), torch.zeros(4, 3), torch.tensor([0, 1])
        )
