"""The losses equal an independent float64 reference, exactly as far as their precision goes."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import assume, example, given
from hypothesis import strategies as st
from torch import Tensor

import reference
import tolerance
from loss_problems import (
    HYPOTHESIS,
    SEEDS,
    TEMPERATURES,
    by_similarities,
    check_reference,
    problem,
    random_similarities,
    select_by,
    settings_of,
    value_and_gradient,
)
from tausweep import losses
from tausweep.losses import streaming

pytestmark = pytest.mark.numerical


SHARES = st.floats(0, 1)


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
