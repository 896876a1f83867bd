"""Gradients under autograd: to the anchors only, scaled, and once."""

import math

import pytest
import torch
import torch.nn.functional as F

import tolerance
from loss_problems import problem, settings_of, value_and_gradient
from tausweep import losses

pytestmark = pytest.mark.numerical


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
    anchors.grad.zero_()
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
